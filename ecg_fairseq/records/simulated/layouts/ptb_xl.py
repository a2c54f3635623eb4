"""PTB-XL's layout with ECG-QA's questions: see :mod:`ecg_fairseq.records.simulated.cohort`."""

from pathlib import Path
from typing import Any

from ecg_fairseq.records.simulated.cohort import CohortSettings, write_cohort


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write ``records500/``, ``records100/``, the tables, and ``ecg-qa/``."""
    return dict(write_cohort(folder, settings, workers))
