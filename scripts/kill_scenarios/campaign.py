"""Kills at random moments, runs to the end, and comparisons with a run that nobody interrupted."""

import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from kill_scenarios.running import Running
from kill_scenarios.scenarios import Scenario

_KILLS_A_RUN = 4


@dataclass
class Outcome:
    """What became of a scenario: kills that met a running command, runs ended, and faults."""

    kills: int = 0
    runs: int = 0
    faults: list[str] = field(default_factory=list)


def interrupt(
    scenario: Scenario, folder: Path, num_kills: int, draws: random.Random, deadline: float
) -> Outcome:
    """Kill a scenario's commands ``num_kills`` times in all, in runs of a few kills each.

    Args:
        scenario: what.
        folder: for its runs; faulty ones are kept.
        num_kills: how often.
        draws: moments.
        deadline: of ``time.monotonic``; no further run begins behind it.
    """
    outcome = Outcome()
    start = time.monotonic()
    error = _finish(scenario, folder / "whole")
    if error:
        outcome.faults.append(f"the uninterrupted run: {error}")
        return outcome
    longest = time.monotonic() - start
    wanted = scenario.result(folder / "whole")
    while outcome.kills < num_kills and time.monotonic() < deadline:
        run = folder / f"run{outcome.runs}"
        for _ in range(min(_KILLS_A_RUN, num_kills - outcome.kills)):
            outcome.kills += _kill(scenario.start(run), longest, draws)
        error = _finish(scenario, run) or _difference(scenario, run, wanted)
        outcome.runs += 1
        if error:
            outcome.faults.append(f"{run}: {error}")
        else:
            shutil.rmtree(run)
    return outcome


def _kill(commands: list[Running], longest: float, draws: random.Random) -> int:
    """Kill one or all commands at a moment of the run; return how many were met running."""
    moment = draws.uniform(0, longest)
    met = [command.kill_after(moment if number == 0 else 0) for number, command in
           enumerate(draws.sample(commands, draws.randint(1, len(commands))))]  # fmt: skip
    for command in commands:
        command.wait()
    return sum(met)


def _finish(scenario: Scenario, run: Path) -> str | None:
    """Run to the end; return what went wrong."""
    commands = scenario.start(run)
    statuses = [command.wait() for command in commands]
    wrong = [status != 0 for status in statuses]
    if any(wrong) if scenario.is_alone else all(wrong):
        tail = commands[0].log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return f"status {statuses}: {tail}"
    return None


def _difference(scenario: Scenario, run: Path, wanted: dict[str, object]) -> str | None:
    found = scenario.result(run)
    names = sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )
    return f"not as without interruption: {', '.join(names[:8])}" if names else None
