"""Train BPE on growing corpora: ours, Hugging Face tokenizers, a full recount, sentencepiece.

Every run is a fresh process, so that its peak memory is its own; rounds are interleaved. Peers are
called through their public Python API on whole records (one record = one line, no pre-tokeniser),
and their merges must equal ours, except sentencepiece's, which follow other rules.
"""

import argparse
import importlib.util
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bpe_corpus import (
    SYMBOLS_PER_RECORD,
    benchmark_quantizer,
    parse_sizes,
    simulate_segments,
)
from benchmarks.timing import load_average, versions

SLOW = ("hf", "recount", "sentencepiece")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the stage."""
    add = parser.add_argument
    add("--sizes", nargs="+", default=["0.3M", "1.5M", "15M"], help="symbols, e.g. 1.5M 150M")
    add("--num-merges", type=int, default=3500)
    add("--threads", type=int, nargs="+", default=[1, 2], help="of our trainer")
    add("--repeats", type=int, default=5, help="rounds of our trainer")
    add("--peer-repeats", type=int, default=1, help="rounds of the peers, which take minutes")
    add("--peer-max", default="0.3M", help="largest size that the peers are run on")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return one table of all sizes and candidates, and the growth of our time with the text."""
    sizes = parse_sizes(arguments.sizes)
    peer_max = parse_sizes([arguments.peer_max])[0]
    rows: list[dict[str, Any]] = []
    load_before = load_average()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "symbols.npy"
        np.save(path, _symbols(max(sizes)))
        for num_records in sizes:
            names = [f"ours_{threads}_threads" for threads in arguments.threads]
            if num_records <= peer_max:
                names += peers()
            rows += _one_size(path, num_records, names, arguments)
    return {
        "stage": "bpe-train",
        "num_merges": arguments.num_merges,
        "rows": rows,
        "growth": growth(rows, f"ours_{arguments.threads[0]}_threads"),
        "versions": versions(["tokenizers", "sentencepiece", "numpy", "ecg-bpe"]),
        "load_before": load_before,
        "load_after": load_average(),
    }


def peers() -> list[str]:
    """Return the peers that are installed."""
    found = ["recount"]
    if importlib.util.find_spec("tokenizers"):
        found.append("hf")
    if importlib.util.find_spec("sentencepiece"):
        found.append("sentencepiece")
    return found


def _symbols(num_records: int) -> np.ndarray:
    """Return uint8 (N, 30000), made in parts so that the floats never stand in memory at once."""
    part = 500
    quantizer = benchmark_quantizer(simulate_segments(50))
    parts = [
        quantizer.symbols(simulate_segments(min(part, num_records - start), seed=1 + start))
        for start in range(0, num_records, part)
    ]
    return np.concatenate(parts)


def _one_size(
    path: Path, num_records: int, names: list[str], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Run the rounds of one size and return a row per candidate, fastest baseline first."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(max(arguments.repeats, arguments.peer_repeats)):
        for name in names if turn % 2 == 0 else reversed(names):
            if turn < (arguments.peer_repeats if name in SLOW else arguments.repeats):
                runs[name].append(_fresh_process(name, path, num_records, arguments.num_merges))
    num_symbols = num_records * SYMBOLS_PER_RECORD
    expected = runs[names[0]][0]["merges_sha256"]
    base_cpu = statistics.median(run["cpu_s"] for run in runs[names[0]])
    rows = []
    for name in names:
        cpu = statistics.median(run["cpu_s"] for run in runs[name])
        peak = max(run["peak_bytes"] for run in runs[name])
        rows.append(
            {
                "symbols": num_symbols,
                "name": name,
                "cpu_s": cpu,
                "wall_s": statistics.median(run["wall_s"] for run in runs[name]),
                "min_cpu_s": min(run["cpu_s"] for run in runs[name]),
                "symbols_per_cpu_s": num_symbols / cpu,
                "peak_mib": peak / 2**20,
                "peak_bytes_per_symbol": peak / num_symbols,
                "times_our_cpu": cpu / base_cpu,
                "same_merges": all(run["merges_sha256"] == expected for run in runs[name]),
                "repeats": len(runs[name]),
            }
        )
    return rows


def _fresh_process(name: str, path: Path, num_records: int, num_merges: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bpe_train_worker"]
    command += [name, str(path), str(num_records), str(num_merges)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"benchmark of {name} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def growth(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the exponent of CPU time in the number of symbols, between neighbouring sizes."""
    ours = sorted((row["symbols"], row["min_cpu_s"]) for row in rows if row["name"] == name)
    steps = {}
    for (small, fast), (large, slow) in itertools.pairwise(ours):
        if large > small:
            steps[f"{small}_to_{large}"] = math.log(slow / fast) / math.log(large / small)
    per_symbol = {str(symbols): 1e9 * seconds / symbols for symbols, seconds in ours}
    return {"exponents": steps, "ns_per_symbol": per_symbol}
