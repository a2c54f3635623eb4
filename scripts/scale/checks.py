"""What is asked of a preparation at scale: memory, equal bytes, an index that opens at once."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_fairseq.files import sha256_of_file
from scale.watched_run import Sample

MOST_WORKER_MIB = 600.0
MOST_GROWTH = 0.05
MOST_INDEX_SECONDS = 1.0
FULL_SIZE = 800_000
_OPEN = """
import sys, time
from ecg_fairseq.records.manifest.folder import Manifest
start = time.perf_counter()
manifest = Manifest.load(sys.argv[1])
name = next(name for name, row in manifest.records.items() if row.is_ok)
segment = manifest.segment(name)
print(time.perf_counter() - start)
"""
_IMPORT = """
import psutil
import ecg_fairseq.records.preparation.command_line
print(psutil.Process().memory_info().rss / 2**20)
"""


@dataclass(frozen=True)
class Check:
    """One requirement: what was found, and whether that is enough."""

    name: str
    found: str
    is_met: bool

    def line(self) -> str:
        """Return the check as a line of text."""
        return f"{'ok  ' if self.is_met else 'FAIL'}  {self.name}: {self.found}"


def digests(folder: Path) -> dict[str, str]:
    """Return file -> SHA-256 of everything in a folder."""
    return {
        str(path.relative_to(folder)): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def same_files(name: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> Check:
    """Compare two folders' files byte for byte."""
    names = sorted(wanted.keys() | found.keys())
    different = [item for item in names if wanted.get(item) != found.get(item)]
    text = f"{len(different)} of {len(names)} files differ"
    return Check(
        name, text + (f" ({', '.join(different[:5])})" if different else ""), not different
    )


def memory_checks(samples: Sequence[Sample], num_shards: int) -> list[Check]:
    """Judge the workers' memory: peak, and growth from a tenth of the records to all of them."""
    busy = [sample for sample in samples if sample.workers_mib]
    peak = max((max(sample.workers_mib) for sample in busy), default=0.0)
    early = _largest(busy, 0.05 * num_shards, 0.15 * num_shards)
    late = _largest(busy, 0.85 * num_shards, num_shards)
    checks = [Check("memory of a worker", f"peak {peak:.0f} MiB", 0 < peak <= MOST_WORKER_MIB)]
    if early and late:
        growth = late / early - 1
        text = f"{early:.0f} MiB at a tenth, {late:.0f} MiB at the end ({growth:+.1%})"
        checks.append(Check("growth of a worker", text, growth < MOST_GROWTH))
    else:
        checks.append(Check("growth of a worker", "too few samples; use more records", False))
    return checks


def _largest(samples: Sequence[Sample], least: float, most: float) -> float:
    inside = [sample for sample in samples if least <= sample.shards_done <= most]
    return max((max(sample.workers_mib) for sample in inside), default=0.0)


def parent_note(samples: Sequence[Sample], num_records: int) -> str:
    """Say how much the main process needs, which holds a line for each record."""
    peak = max(sample.parent_mib for sample in samples)
    base = float(_output(sys.executable, "-c", _IMPORT))
    whole = base + (peak - base) * FULL_SIZE / num_records
    return (
        f"main process: peak {peak:.0f} MiB, of which {base:.0f} for the program; projected for "
        f"{FULL_SIZE} records {whole:.0f} MiB"
    )


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write what was sampled as a table: seconds, complete shards, MiB of all processes."""
    lines = ["seconds\tshards_done\tparent_mib\tworkers_mib"]
    for sample in samples:
        workers = ",".join(f"{value:.1f}" for value in sample.workers_mib)
        lines.append(
            f"{sample.seconds:.1f}\t{sample.shards_done}\t{sample.parent_mib:.1f}\t{workers}"
        )
    path.write_text("\n".join(lines) + "\n")


def index_check(folder: Path, repeats: int = 5) -> Check:
    """Time opening the manifest and its first segment, each time in a fresh process."""
    seconds = []
    for _ in range(repeats):
        seconds.append(float(_output(sys.executable, "-c", _OPEN, str(folder))))
    times = ", ".join(f"{value:.2f}" for value in sorted(seconds))
    median = sorted(seconds)[len(seconds) // 2]
    return Check("opening the index", f"{times} s", median < MOST_INDEX_SECONDS)


def projection(folder: Path, seconds: float, num_records: int, workers: int) -> str:
    """Project time and disk to the whole of MIMIC-IV-ECG."""
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    scale = FULL_SIZE / num_records
    each = 1000 * seconds / num_records
    return (
        f"{num_records} records: {seconds:.0f} s with {workers} workers ({each:.2f} ms a record), "
        f"{num_bytes / 1e9:.2f} GB; projected for {FULL_SIZE}: {seconds * scale / 3600:.2f} h, "
        f"{num_bytes * scale / 1e9:.1f} GB"
    )


def empty(folder: Path) -> None:
    """Remove a manifest folder of an earlier run."""
    if folder.exists():
        shutil.rmtree(folder)
