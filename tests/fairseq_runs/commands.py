"""Runs fairseq's console commands as users do, in processes of their own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from warm_processes import WarmProcess, run_until

BIN = Path(sys.executable).parent
SMALL = [
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.num_key_value_heads=2",
    "model.intermediate_size=64",
]

# What a machine without GPUs needs to be told; on GPUs torchrun alone is enough.
TWO_CPU_PROCESSES = [
    "distributed_training.distributed_world_size=2",
    "++distributed_training.distributed_backend=gloo",
    "++distributed_training.distributed_init_method='env://'",
    "++distributed_training.distributed_no_spawn=true",
    '++distributed_training.distributed_rank="${oc.decode:${oc.env:RANK}}"',
]


def environment() -> dict[str, str]:
    """One thread, so that results do not depend on the machine's load."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def train_command(manifest: Path, *overrides: str, config: str = "ecg_byte_qa_tiny") -> list[str]:
    """Return the command that README shows, with overrides."""
    return [
        str(BIN / "fairseq-hydra-train"),
        "--config-name",
        config,
        f"task.data={manifest}",
        *overrides,
    ]


def run(command: list[str], folder: Path) -> str:
    """Run a command to its end; return its output or fail with its last lines."""
    if Path(command[0]).name == "torchrun":
        folder.mkdir(parents=True, exist_ok=True)
        result = subprocess.run(
            command,
            timeout=600,
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    else:
        result = WarmProcess(command, folder, environment()).wait()
    assert result.returncode == 0, f"{command}\n{result.stdout[-4000:]}"
    return result.stdout


def run_and_kill(command: list[str], folder: Path, update: int) -> None:
    """Run a training command and kill it hard once it has logged ``update``."""
    process = WarmProcess(command, folder, environment())
    run_until(process, f'"num_updates": "{update}"')
    if process.is_running():
        process.kill()
    assert process.wait().returncode == -signal.SIGKILL, "the run ended before it could be killed"


def curve(output: str) -> dict[int, tuple[str, str, str]]:
    """Return update -> (loss, gnorm, lr) of the inner training lines."""
    points = {}
    for text in re.findall(r"\[train_inner\]\[INFO\] - (\{.*\})", output):
        line = json.loads(text)
        points[int(line["num_updates"])] = (line["loss"], line["gnorm"], line["lr"])
    return points


def torchrun(command: list[str]) -> list[str]:
    """Return the command that runs a training command in two processes on the CPU."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = [str(BIN / "torchrun"), "--nproc_per_node=2", f"--master_port={port}"]
    return [*launcher, *command, *TWO_CPU_PROCESSES]


def last_state(folder: Path) -> dict[str, Any]:
    """Return the last checkpoint of a run."""
    return torch.load(folder / "checkpoints/checkpoint_last.pt", weights_only=True)


def assert_equal(first: Any, second: Any) -> None:
    """Compare nested containers; tensors must be bitwise equal."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_equal(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for left, right in zip(first, second, strict=True):
            assert_equal(left, right)
    else:
        assert first == second
