"""HeartLLM's tokenizer input: per-lead z-scores of ``raw_mv`` in ``fsq_*.npz``."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes.heartllm import HEARTLLM
from parity_systems.check import Check, difference

TOLERANCE = 1e-5
FS_HZ = 500.0


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield one comparison a recording; lead count and length come from the case."""
    for path in sorted(case_dir.glob("*.npz")):
        with np.load(path, allow_pickle=False) as case:
            if not {"raw_mv", "signal"} <= set(case.files):
                continue
            raw, signal = case["raw_mv"], case["signal"]
        leads = CANONICAL_LEADS[: raw.shape[2]]
        recipe = replace(HEARTLLM, leads=leads, window_samples=raw.shape[1])
        for number, (columns, wanted) in enumerate(zip(raw, signal, strict=True)):
            ours = recipe.apply(columns.T, leads, FS_HZ)[0]
            yield Check(f"{path.stem}/signal_{number}", difference(ours, wanted), TOLERANCE)
