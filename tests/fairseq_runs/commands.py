"""Runs fairseq's console commands as users do, in processes of their own."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
SMALL = [
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.num_key_value_heads=2",
    "model.intermediate_size=64",
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


def _pipe_options(folder: Path) -> dict[str, Any]:
    """Make the folder; return how a command runs there, its output in one text stream."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "cwd": folder,
        "env": environment(),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def run(command: list[str], folder: Path) -> str:
    """Run a command to its end; return its output or fail with its last lines."""
    result = subprocess.run(command, timeout=600, **_pipe_options(folder))
    assert result.returncode == 0, f"{command}\n{result.stdout[-4000:]}"
    return result.stdout


def run_and_kill(command: list[str], folder: Path, update: int) -> None:
    """Run a training command and kill it hard once it has logged ``update``."""
    process = subprocess.Popen(command, start_new_session=True, **_pipe_options(folder))
    assert process.stdout is not None
    for line in process.stdout:
        if f'"num_updates": "{update}"' in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"


def curve(output: str) -> dict[int, tuple[str, str, str]]:
    """Return update -> (loss, gnorm, lr) of the inner training lines."""
    points = {}
    for text in re.findall(r"\[train_inner\]\[INFO\] - (\{.*\})", output):
        line = json.loads(text)
        points[int(line["num_updates"])] = (line["loss"], line["gnorm"], line["lr"])
    return points
