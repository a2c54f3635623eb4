"""The commands that are killed, and what must be the same in the end."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ecg_fairseq.cli.main import main as ecg_fairseq
from ecg_fairseq.compat import register
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from kill_scenarios.running import Running

PROJECT = Path(__file__).resolve().parents[2]
_SMALL = (
    *("model.hidden_size=32", "model.num_layers=1", "model.num_heads=2"),
    *("model.num_key_value_heads=2", "model.intermediate_size=64", "dataset.batch_size=2"),
    *("dataset.num_workers=0", "optimization.max_update=12", "lr_scheduler.warmup_updates=2"),
    *("lr_scheduler.lr_period_updates=12", "dataset.validate_interval_updates=4"),
    # Every update is saved and copied twice: most of the run is writing.
    *("checkpoint.save_interval_updates=1", "checkpoint.keep_interval_updates=2"),
)


@dataclass(frozen=True)
class Scenario:
    """A kind of work.

    Attributes:
        name: of the scenario.
        start: begins it in a folder; one command, or two that run at the same time.
        result: what must equal the result of an uninterrupted run.
        is_alone: False where one of the commands may be refused, because the other is at work.
    """

    name: str
    start: Callable[[Path], list[Running]]
    result: Callable[[Path], dict[str, Any]]
    is_alone: bool = True


def scenarios(inputs: Path) -> dict[str, Scenario]:
    """Make what all need (seconds), and return the scenarios by name.

    Args:
        inputs: folder for a simulated cohort, its manifest with tokenizer, and two parts of it.
    """
    cohort, manifest = inputs / "cohort", inputs / "manifest"
    parts = [inputs / f"part{number}" for number in range(2)]
    if not (inputs / "tok.json").exists():
        _run("simulate", "--out", cohort, "--patients", "24", "--workers", "1")
        _run(*_preparation(cohort, manifest))
        _run("tokenizer", "train", "--input", manifest, "--num-merges", "20", "--out",
             inputs / "tok.json")  # fmt: skip
        for number, part in enumerate(parts):
            _run(*_preparation(cohort, part), "--shard", f"{number}/2")

    def prepare(folder: Path) -> list[Running]:
        words = _preparation(cohort, folder / "m")
        return [_ecg_fairseq(folder / name, *words) for name in ("first", "second")]

    def merge(folder: Path) -> list[Running]:
        return [_ecg_fairseq(folder, "merge", *parts, "--out", folder / "m")]

    def train(folder: Path) -> list[Running]:
        # Before the fork, so that a moment drawn is one of training and not of imports.
        import fairseq_cli.hydra_train  # noqa: F401

        register()
        words = ("--config-name", "ecg_byte_qa_tiny", f"task.data={manifest}", *_SMALL)
        return [Running(_fairseq_train, ("fairseq-hydra-train", *words), folder)]

    def quickstart(folder: Path) -> list[Running]:
        words = ("quickstart.py", "--smoke", "--out", str(folder / "q"))
        return [Running(_quickstart, words, folder)]

    return {
        each.name: each
        for each in (
            Scenario("training", train, _weights),
            Scenario("merge", merge, _files),
            Scenario("preparations", prepare, _files, is_alone=False),
            Scenario("quickstart", quickstart, _answers),
        )
    }


def _preparation(cohort: Path, out: Path) -> tuple[object, ...]:
    words = ("prepare", "ptb_xl", cohort, "--out", out, "--recipe", "ecg_byte_beat")
    return (*words, "--questions", "from-labels", "--progress", "silent")


def _run(*words: object) -> None:
    status = ecg_fairseq(list(map(str, words)))
    if status:
        raise SystemExit(status)


def _ecg_fairseq(folder: Path, *words: object) -> Running:
    return Running(lambda: ecg_fairseq(sys.argv[1:]), ["ecg-fairseq", *map(str, words)], folder)


def _fairseq_train() -> None:
    from fairseq_cli.hydra_train import cli_main

    torch.set_num_threads(1)
    cli_main()


def _quickstart() -> int:
    import quickstart

    return quickstart.main()


def _files(folder: Path) -> dict[str, Any]:
    """Every file of the manifest; line 1 of its lists names the folder itself."""
    root = folder / "m"
    found = {
        str(path.relative_to(root)): path.read_bytes().replace(str(root).encode(), b"ROOT")
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    if not found:
        raise FileNotFoundError(root)
    return found


def _weights(folder: Path) -> dict[str, Any]:
    """Names and tensors of all checkpoints, and their number of updates; not what took how long."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "checkpoints").iterdir()):
        state = read_checkpoint_file(path)
        found[path.name] = state["optimizer_history"][-1]["num_updates"]
        for name, tensor in _tensors(state["model"], state["last_optimizer_state"]):
            found[f"{path.name} {name}"] = tensor.numpy().tobytes()
    return found


def _tensors(*containers: Any) -> list[tuple[str, torch.Tensor]]:
    found = []
    for number, container in enumerate(containers):
        if isinstance(container, torch.Tensor):
            found.append((str(number), container))
        elif isinstance(container, dict):
            for key, value in container.items():
                found += [(f"{number}.{key}.{name}", item) for name, item in _tensors(value)]
    return found


def _answers(folder: Path) -> dict[str, Any]:
    """Answers and scores of a quickstart, without times."""
    out = folder / "q"
    names = ("predictions.jsonl", "blind_predictions.jsonl", "scores.json", "tokenizer.json")
    found = {name: (out / name).read_bytes() for name in names}
    text = re.sub(rb'"seconds": [\d.]+', b"", found["tokenizer.json"])
    return {**found, "tokenizer.json": text.replace(str(out).encode(), b"OUT")}
