"""PTB-XL+'s layout, and PTB-XL's own below ``ptb-xl``: median beats, features and statements.

As published: headers of ``12sl`` begin with the folder of their makers and are of format 32, those
of ``unig`` have ids of six digits and are of format 16; both say mV where the values are uV; some
recordings have no beat; ``ecg_id`` stands in the middle of the feature table, whose lines are in no
order.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.simulated.cohort import CohortSettings, claim_folder
from ecg_fairseq.records.simulated.derived_signals import heart_rate, typical_beat
from ecg_fairseq.records.simulated.layouts.ptb_xl import write_layout as write_ptb_xl
from ecg_fairseq.records.simulated.plan import PlannedRecord, draw_case, plan_cohort
from ecg_fairseq.records.simulated.wfdb_files import signal_line, write_file
from ecg_fairseq.signal.leads import CANONICAL_LEADS

_FS_HZ = 500
_12SL_PREFIX = "ge_median_beats_wfdb/"
_12SL_GAIN, _UNIG_GAIN, _UNIG_BASELINE = 100.0, 5.9756, -1557
_NO_12SL_EVERY, _NO_UNIG_EVERY = 25, 100
_NORMAL, _FIBRILLATION, _SINUS = "NML", "AFIB", "NSR"


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write PTB-XL's layout, then the beats of its recordings, then the tables.

    Raises:
        EcgError: bad settings, a folder that holds something else, or a full disk.
    """
    folder = Path(folder)
    claim_folder(folder, "ptb_xl_plus", settings)
    figures = write_ptb_xl(folder / "ptb-xl", settings, workers)
    planned = plan_cohort(settings.patients, settings.seed, settings.difficulty)
    jobs = [(folder, item, settings.seed) for item in planned]
    done = run_tasks(_write_beats, jobs, min(workers, len(jobs)))
    rows = dict(track(done, len(jobs), "median beats"))
    # The published tables begin with record 1 and go on in an order of their own.
    order = sorted(rows, key=lambda ecg_id: (ecg_id != 1, -ecg_id))
    features = [rows[ecg_id][0] for ecg_id in order]
    _write_table(folder / "features" / "12sl_features.csv", features)
    _write_table(folder / "labels" / "12sl_statements.csv", [rows[ecg_id][1] for ecg_id in order])
    return {**figures, "median_beats": len(list(folder.glob("median_beats/12sl/*/*.hea")))}


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, text.getvalue())


def _write_beats(
    job: tuple[Path, PlannedRecord, int],
) -> tuple[int, tuple[dict[str, Any], dict[str, Any]]]:
    """Write the beats of one recording; return its id, features and statements."""
    folder, planned, seed = job
    ecg_id, block = planned.ecg_id, f"{planned.ecg_id // 1000 * 1000:05d}"
    record = read_record(folder / "ptb-xl" / "records500" / block / f"{ecg_id:05d}_hr")
    beat = typical_beat(record.signal, record.fs_hz)
    microvolts = beat * 1000.0
    if ecg_id % _NO_12SL_EVERY != 7:
        path = folder / "median_beats" / "12sl" / block / f"{ecg_id:05d}_medians"
        steps = np.rint(microvolts * _12SL_GAIN).astype("<i4")
        _write_wfdb(path, steps, "32", f"{_12SL_GAIN:g}(0)/mV", _12SL_PREFIX)
    if ecg_id % _NO_UNIG_EVERY != 9:
        path = folder / "median_beats" / "unig" / block / f"{ecg_id:06d}_medians"
        steps = np.rint(microvolts * _UNIG_GAIN + _UNIG_BASELINE)
        steps = np.clip(steps, -32767, 32767).astype("<i2")
        _write_wfdb(path, steps, "16", f"{_UNIG_GAIN}({_UNIG_BASELINE})/mV", "")
    rate = heart_rate(record.signal, record.fs_hz)
    return ecg_id, (_features(ecg_id, beat, rate), _statements(planned, seed))


def _write_wfdb(path: Path, steps: np.ndarray, form: str, gain: str, prefix: str) -> None:
    name, resolution = path.name, int(form)
    lines = [f"{prefix}{name} {len(steps)} {_FS_HZ} {steps.shape[1]}"]
    lines += [
        signal_line(f"{name}.dat", form, gain, row, lead, resolution)
        for row, lead in zip(steps, CANONICAL_LEADS, strict=True)
    ]
    write_file(path.with_name(f"{name}.dat"), np.ascontiguousarray(steps.T).tobytes())
    write_file(path.with_name(f"{name}.hea"), "\n".join(lines) + "\n")


def _features(ecg_id: int, beat: np.ndarray, rate: float) -> dict[str, Any]:
    """Return a line of the feature table: a value of each lead, the id, values of all leads."""
    heights = zip(CANONICAL_LEADS, beat.max(axis=1), beat.min(axis=1), strict=True)
    row: dict[str, Any] = {}
    for lead, highest, lowest in heights:
        row |= {f"R_Amp_{lead}": f"{highest:.3f}", f"S_Amp_{lead}": f"{lowest:.3f}"}
    net = beat.max(axis=1) + beat.min(axis=1)
    axis = np.degrees(np.arctan2(net[5] * 2.0, net[0] * np.sqrt(3.0)))
    row["ecg_id"] = ecg_id
    # An empty cell is how the published tables write what could not be measured.
    row["HR__Global"] = "" if np.isnan(rate) else f"{rate:.1f}"
    row["R_AxisFrontal_Global"] = f"{axis:.1f}"
    return row


def _statements(planned: PlannedRecord, seed: int) -> dict[str, Any]:
    findings = draw_case(planned, seed).findings
    rhythm = _FIBRILLATION if findings.atrial_fibrillation else _SINUS
    statements: Iterable[str] = [rhythm, _NORMAL] if findings.is_normal_ecg else [rhythm]
    return {"ecg_id": planned.ecg_id, "statements": str(list(statements))}
