"""Read WFDB records of 12 leads by 5000 samples: ours against the wfdb package, formats 16 and 212.

Records are made here; the physical values of both must agree to 1e-6 mV before anything is timed.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import wfdb

from benchmarks.recipe import consume
from benchmarks.timing import interleave, versions
from ecg_fairseq.records.readers.wfdb_record import read_wfdb
from ecg_fairseq.signal.leads import CANONICAL_LEADS

FORMATS = ("16", "212")
TOLERANCE_MV = 1e-6
NUM_SAMPLES = 5000
# Steps of 1 uV in format 16 and 5 uV in 212, whose range is only +-2047 steps.
_GAINS = {"16": 1000.0, "212": 200.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the stage."""
    parser.add_argument("--records", type=int, default=40, help="distinct records a format")
    parser.add_argument("--repeats", type=int, default=7, help="rounds")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return for each format the times of all records, how many times as fast, and the error."""
    result: dict[str, Any] = {"stage": "wfdb-read", "records": arguments.records}
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMATS:
            paths = _write(Path(folder) / form, form, arguments.records)
            error = max(_difference(path) for path in paths)
            if error > TOLERANCE_MV:
                raise ValueError(f"format {form}: values differ from wfdb's by {error:g} mV")
            timings = interleave(
                {
                    "wfdb": lambda paths=paths: consume(map(wfdb.rdrecord, paths)),
                    "ours": lambda paths=paths: consume(map(read_wfdb, paths)),
                },
                arguments.repeats,
            )
            table = timings.to_dict("wfdb")
            table["max_abs_err_mv"] = error
            table["us_per_record"] = timings.median_wall("ours") / len(paths) * 1e6
            result[f"format_{form}"] = table
    result["versions"] = versions(("numpy", "wfdb", "pandas"))
    return result


def _write(folder: Path, form: str, count: int) -> list[str]:
    folder.mkdir()
    limit = 2000
    for number in range(count):
        generator = np.random.default_rng(number)
        steps = np.cumsum(generator.integers(-40, 41, (NUM_SAMPLES, 12)), axis=0)
        wfdb.wrsamp(
            f"r{number:04d}",
            fs=500,
            units=["mV"] * 12,
            sig_name=list(CANONICAL_LEADS),
            d_signal=np.clip(steps, -limit, limit),
            fmt=[form] * 12,
            adc_gain=[_GAINS[form]] * 12,
            baseline=[0] * 12,
            write_dir=str(folder),
        )
    return [str(folder / f"r{number:04d}") for number in range(count)]


def _difference(path: str) -> float:
    return float(np.abs(read_wfdb(path).signal - wfdb.rdrecord(path).p_signal.T).max())
