"""LLM-ECG-Dual-Attention's preprocessing: z-score, padding and resampling in ``io.npz``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.rate_change import change_rate
from ecg_fairseq.signal.recipes import get_recipe
from parity_systems.check import Check, difference

RECIPES = ("dual_attention", "dual_attention_reference")
TOLERANCE = 1e-5
RELATIVE_TOLERANCE = 1e-6
FS_HZ = 500.0
SLOW_FS_HZ = 100.0


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of a ``preprocess`` folder, given itself or by the folder above it."""
    for path in (case_dir / "io.npz", case_dir / "preprocess/io.npz"):
        if not path.is_file():
            continue
        with np.load(path, allow_pickle=False) as case:
            if not {"raw", "x"} <= set(case.files):
                continue
            tensors = {name: case[name] for name in case.files}
        yield from _case_checks(tensors)


def _case_checks(case: dict[str, np.ndarray]) -> Iterator[Check]:
    for name in RECIPES:
        for number, (raw, wanted) in enumerate(zip(case["raw"], case["x"], strict=True)):
            ours = get_recipe(name).apply(raw, CANONICAL_LEADS, FS_HZ)[0]
            yield Check(f"preprocess/{name}/x_{number}", difference(ours, wanted), TOLERANCE)
    if "resampled_500_to_100" in case:
        wanted = case["resampled_500_to_100"]
        ours = change_rate(case["raw"][0], FS_HZ, SLOW_FS_HZ, "fourier")
        # Raw recorder units in thousands, recorded in float32.
        tolerance = RELATIVE_TOLERANCE * float(np.abs(wanted).max())
        yield Check("preprocess/resampled_500_to_100", difference(ours, wanted), tolerance)
