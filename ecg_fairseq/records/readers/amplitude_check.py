"""Is every group of records as high as an ECG? Finds wrong gains, which no header can show.

An early release of the PhysioNet challenge wrote 200 instead of 1000 steps per mV: such records are
five times too high and look like any other. A few records of each group are read and the group's
typical height is noted; nothing is changed.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.any_format import read_record

RECORDS_PER_GROUP = 12
# Median over leads and records of the height of an ECG, in mV; the datasets lie at 0.6 to 1.8.
PLAUSIBLE_MV = (0.2, 4.0)
_SECONDS = 10.0


def signal_height(signal: np.ndarray, fs_hz: float) -> float:
    """Return the median over leads of peak to peak in mV, of at most the first ten seconds.

    Args:
        signal: (L, T) in mV; flat leads are left out, and one sample in two hundred at either end.
    """
    start = signal[:, : max(1, round(_SECONDS * fs_hz))].astype(np.float64)
    low, high = np.nanpercentile(start, (0.5, 99.5), axis=1)
    heights = (high - low)[high > low]
    return float(np.median(heights)) if len(heights) else 0.0


def amplitude_notes(groups: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Return group -> {records, tried, height_mv, is_plausible}; implausible ones go to stderr.

    Args:
        groups: name of a group (``georgia, 1000/mV``) -> paths of its records.
    """
    notes = {}
    for name, paths in groups.items():
        heights = _heights(paths)
        if not heights:
            continue
        height = round(float(np.median(heights)), 3)
        is_plausible = PLAUSIBLE_MV[0] <= height <= PLAUSIBLE_MV[1]
        notes[name] = {
            "records": len(paths),
            "tried": len(heights),
            "height_mv": height,
            "is_plausible": is_plausible,
        }
        if not is_plausible:
            print(
                f"warning: {name}: the {len(paths)} records are about {height:g} mV high, an ECG "
                f"is {PLAUSIBLE_MV[0]:g} to {PLAUSIBLE_MV[1]:g} mV; are their gains right? They "
                "are used as they are",
                file=sys.stderr,
            )
    return notes


def _heights(paths: Sequence[str]) -> list[float]:
    """Return heights of a few records, evenly spaced; unreadable and flat ones are left out."""
    chosen = np.linspace(0, len(paths) - 1, min(len(paths), RECORDS_PER_GROUP))
    heights = []
    for index in chosen:
        try:
            record = read_record(paths[int(index)])
        except RecordError:
            continue  # the preparation reads it again and reports why
        if np.isfinite(record.signal).any():
            heights.append(signal_height(record.signal, record.fs_hz))
    return [height for height in heights if height > 0]
