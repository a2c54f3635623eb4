"""Prepare many MIMIC-layout records: memory, SIGKILL and resume, parts and merge, projection.

usage: python scripts/scale_mimic.py --work DIR [--records 100000] [--workers 2] [--shards]
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from scale import checks
from scale.raw_data import RawSettings, make_raw_data
from scale.watched_run import Sample, prepare_command, run_killed, run_watched

from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.preparation.prepare import records_per_shard

NUM_KILLS = 5
NUM_PARTS = 3


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and manifests")
    parser.add_argument("--records", type=int, default=100_000, help="records (default 100000)")
    parser.add_argument("--signals", type=int, default=512, help="different signals (default 512)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="of signals and moments of death")
    parser.add_argument(
        "--shards", action="store_true", help="compare 1, 2 and 4 workers, and parts with merge"
    )
    return parser


def check_killed_runs(raw: Path, out: Path, arguments: argparse.Namespace) -> list[checks.Check]:
    """Run once to the end and once with five deaths; compare, time and project."""
    command = prepare_command(raw, out, arguments.workers)
    seconds, samples = run_watched(command, out)
    num_shards = -(-arguments.records // records_per_shard(arguments.records))
    found = [_nothing_skipped(out), *checks.memory_checks(samples, num_shards)]
    found.append(checks.index_check(out))
    checks.write_samples(out.with_name("memory.tsv"), samples)
    print(checks.parent_note(samples, arguments.records))
    print(checks.projection(out, seconds, arguments.records, arguments.workers))
    wanted = checks.digests(out)
    checks.empty(out)
    for shards, delay in _moments(samples, num_shards, seconds, arguments):
        done = run_killed(command, out, shards, delay)
        print(f"killed with {done} of {num_shards} shards complete", flush=True)
    run_watched(command, out)
    name = f"{NUM_KILLS} times SIGKILL and resume"
    return [*found, checks.same_files(name, wanted, checks.digests(out))]


def _moments(
    samples: list[Sample], num_shards: int, seconds: float, arguments: argparse.Namespace
) -> list[tuple[int, float]]:
    """Draw moments of death, (shards complete, seconds after): within shards, the last at the end.

    The delays are parts of what a shard and the end took, so that a faster run is met as well.
    """
    random = np.random.default_rng(arguments.seed)
    shards = np.sort(random.integers(0, max(1, num_shards - arguments.workers), NUM_KILLS - 1))
    of_shard = seconds * arguments.workers / num_shards
    complete = [sample.seconds for sample in samples if sample.shards_done == num_shards]
    of_end = seconds - min(complete, default=seconds)
    moments = [(int(number), float(random.uniform(0, of_shard / 2))) for number in shards]
    return [*moments, (num_shards, float(random.uniform(0, of_end / 5)))]


def _nothing_skipped(out: Path) -> checks.Check:
    count = len((out / "skipped.tsv").read_text().splitlines()) - 1
    return checks.Check("skipped records", str(count), count == 0)


def check_parts(raw: Path, out: Path) -> list[checks.Check]:
    """Compare a single run with more workers, and with parts that are merged."""
    run_watched(prepare_command(raw, out, 1), out)
    wanted, found = checks.digests(out), []
    for workers in (2, 4):
        checks.empty(out)
        run_watched(prepare_command(raw, out, workers), out)
        found.append(checks.same_files(f"{workers} workers and 1", wanted, checks.digests(out)))
    checks.empty(out)
    parts = [out.with_name(f"part{number}") for number in range(NUM_PARTS)]
    for number, part in enumerate(parts):
        checks.empty(part)
        run_watched(prepare_command(raw, part, 1, "--shard", f"{number}/{NUM_PARTS}"), part)
    merge = [sys.executable, "-m", "ecg_fairseq.cli.main", "merge", *map(str, parts)]
    subprocess.run([*merge, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    found.append(checks.same_files("parts merged and 1 run", wanted, checks.digests(out)))
    folders = sorted({name.partition("/")[0] for name in wanted if "/" in name})
    return [*found, checks.Check("folders compared", ", ".join(folders), len(folders) >= 5)]


def main(argv: list[str] | None = None) -> int:
    """Return 0 when every check is met, 1 otherwise."""
    arguments = build_parser().parse_args(argv)
    raw, out = arguments.work.resolve() / "raw", arguments.work.resolve() / "manifest"
    try:
        make_raw_data(raw, RawSettings(arguments.records, arguments.signals, arguments.seed))
        checks.empty(out)
        found = (
            check_parts(raw, out) if arguments.shards else check_killed_runs(raw, out, arguments)
        )
    except (EcgError, subprocess.CalledProcessError) as error:
        print(f"scale_mimic: {error}", file=sys.stderr)
        return 1
    print(*(check.line() for check in found), sep="\n")
    return 0 if all(check.is_met for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
