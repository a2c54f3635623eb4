"""Symbols for the tokenizer's benchmarks: simulated 10-s twelve-lead records, as a manifest's.

Records come from the project's simulator and the ``ecg_byte_10s`` recipe. Simulating is slower than
training, so from a number on records are made from earlier ones with another gain, another phase
and fresh noise: other strings of the same kind, never copies.
"""

import math
from collections.abc import Sequence

import numpy as np

from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import get_recipe
from ecg_fairseq.signal.simulator import (
    derive_findings,
    draw_anatomy,
    draw_nuisance,
    simulate_recording,
)
from ecg_fairseq.tokenizer import Quantizer

RECIPE = "ecg_byte_10s"
SYMBOLS_PER_RECORD = 30_000
_FS_HZ = 500
_NOISE_MV = 0.01


def simulate_segments(num_records: int, num_distinct: int = 200, seed: int = 1) -> np.ndarray:
    """Return float32 (N, 30000) mV, lead after lead; the first ``num_distinct`` are simulated."""
    recipe = get_recipe(RECIPE)
    simulated = []
    for index in range(min(num_records, num_distinct)):
        random = np.random.default_rng([seed, index])
        recording = simulate_recording(
            derive_findings(random.random(10)),
            draw_anatomy(random),
            draw_nuisance(random),
            _FS_HZ,
            random,
        )
        segments = recipe.apply(recording.signal, CANONICAL_LEADS, _FS_HZ)
        simulated.append(segments[0].reshape(-1))
    values = np.zeros((num_records, SYMBOLS_PER_RECORD), dtype=np.float32)
    for index in range(num_records):
        values[index] = simulated[index % len(simulated)]
        if index >= len(simulated):
            values[index] = _vary(values[index], np.random.default_rng([seed, index]))
    return values


def _vary(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    leads = values.reshape(len(CANONICAL_LEADS), -1) * np.float32(random.uniform(0.7, 1.3))
    leads = np.roll(leads, int(random.integers(leads.shape[1])), axis=1)
    noise = _NOISE_MV * random.standard_normal(leads.shape, dtype=np.float32)
    return (leads + noise).reshape(-1)


def benchmark_quantizer(values: np.ndarray) -> Quantizer:
    """Return a quantiser over the percentiles of the first 50 records, widened by 0.5 mV."""
    low, high = np.percentile(values[:50], [1, 99])
    return Quantizer(float(low) - 0.5, float(high) + 0.5)


def parse_sizes(words: Sequence[str]) -> list[int]:
    """Return numbers of records for sizes such as ``0.3M`` symbols, each at least one record."""
    sizes = []
    for word in words:
        scale = {"k": 1e3, "M": 1e6}.get(word[-1], 1.0)
        try:
            symbols = float(word.rstrip("kM")) * scale
        except ValueError:
            raise ValueError(f"size {word!r}: expected symbols such as 300k or 1.5M") from None
        if not math.isfinite(symbols) or symbols <= 0:
            raise ValueError(f"size {word!r}: expected a positive number of symbols")
        sizes.append(max(1, round(symbols / SYMBOLS_PER_RECORD)))
    return sizes
