"""Runs steps that need each other, some side by side; those that are complete are passed over.

A step is complete when it ended well with the command, the input files and the needed steps that it
has now. After a change its folder is emptied and it runs anew; after an interruption it goes on, as
far as its command can.
"""

import shutil
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import read_json, sha256_of_file, sha256_of_json, write_json
from steps.runner import CommandRunner


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: of the step, its log and its state.
        command: program and arguments.
        makes: what it writes, a file or folder of its own; None when its log is its result.
        needs: names of steps before it.
        inputs: files outside the run on which the result depends.
    """

    name: str
    command: tuple[str, ...]
    makes: Path | None = None
    needs: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()


class StepGraph:
    """Runs steps and remembers which are complete.

    Attributes:
        seconds: step -> wall seconds, also of steps that were complete before.
    """

    def __init__(self, out: Path, jobs: int) -> None:
        self.out, self.jobs = out, jobs
        self.seconds: dict[str, float] = {}
        self._runner = CommandRunner(out)

    @property
    def peak_rss_mb(self) -> float:
        """Largest summed memory of this process and all below it; 0 when nothing ran."""
        return self._runner.peak_rss_mb

    def log(self, name: str) -> Path:
        """Return the path of a step's output."""
        return self._runner.log(name)

    def run(self, steps: Iterable[Step]) -> None:
        """Run all steps; each must stand behind those it needs.

        Raises:
            EcgError: a step failed. Steps beside it are waited for, others not begun.
        """
        waiting = list(steps)
        keys = _keys(waiting)
        done: set[str] = set()
        running: dict[Future[None], Step] = {}
        with ThreadPoolExecutor(self.jobs) as pool:
            while waiting or running:
                ready = [step for step in waiting if set(step.needs) <= done]
                for step in ready[: self.jobs - len(running)]:
                    waiting.remove(step)
                    running[pool.submit(self._run_one, step, keys[step.name])] = step
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done.add(running.pop(future).name)
                    future.result()

    def _run_one(self, step: Step, key: str) -> None:
        state_file = self.out / "steps" / f"{step.name}.json"
        state = _state(state_file)
        is_there = step.makes is None or step.makes.exists()
        if state["key"] == key and state["is_done"] and is_there:
            self._runner.pass_over(step.name)
            self.seconds[step.name] = state["seconds"]
            return
        if state["key"] != key or state["is_done"]:
            state = {"key": key, "is_done": False, "seconds": 0.0}
            _remove(step.makes)
            _remove(self.log(step.name))
        write_json(state_file, state)
        if step.makes is not None:
            step.makes.parent.mkdir(parents=True, exist_ok=True)
        self._runner.run(step.name, step.command)
        if step.makes is not None and not step.makes.exists():
            raise EcgError(f"step {step.name} ended well, but {step.makes} is not there")
        state["seconds"] = round(state["seconds"] + self._runner.seconds[step.name], 1)
        write_json(state_file, {**state, "is_done": True})
        self.seconds[step.name] = state["seconds"]


def _keys(steps: Iterable[Step]) -> dict[str, str]:
    """Return for each step the hash of its command and of everything it depends on."""
    keys: dict[str, str] = {}
    for step in steps:
        missing = [str(path) for path in step.inputs if not path.is_file()]
        if missing:
            raise EcgError(f"step {step.name} needs {', '.join(missing)}, which is not there")
        keys[step.name] = sha256_of_json(
            {
                "command": step.command,
                "inputs": [sha256_of_file(path) for path in step.inputs],
                "needs": [keys[name] for name in step.needs],
            }
        )
    return keys


def _state(path: Path) -> dict[str, Any]:
    """Return what is known of a step; nothing when its file is missing or damaged."""
    try:
        state = read_json(path, EcgError, "state of a step")
        return {name: state[name] for name in ("key", "is_done", "seconds")}
    except (EcgError, KeyError, TypeError):
        return {"key": "", "is_done": False, "seconds": 0.0}


def _remove(path: Path | None) -> None:
    """Delete a file or folder that a changed step has left, if any."""
    if path is not None and path.is_dir():
        shutil.rmtree(path)
    elif path is not None:
        path.unlink(missing_ok=True)
