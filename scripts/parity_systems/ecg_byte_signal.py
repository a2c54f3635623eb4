"""ECG-Byte's preprocessing and quantiser against recorded stages (``preprocess_case_*.npz``)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.signal.leads import select_leads
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.signal.recipes import get_recipe
from ecg_fairseq.tokenizer.quantizer import Quantizer
from parity_systems.check import Check

RECIPES = ("ecg_byte", "ecg_byte_10s", "ecg_byte_reference")
MARGIN_MV = 0.5
# The published 0.05 Hz high-pass as (b, a) moves by up to 1.7e-4 mV with the CPU and numpy's build,
# and differs by 3e-4 mV from second-order sections; more where the recording is larger than this.
FILTERED_TOLERANCE_MV = 5e-4
USUAL_SIZE_MV = 1.5
# So a sample at the border of two symbols may fall to either side.
SHARE_OF_OTHER_SYMBOLS = 5e-4
# The quantiser alone, without the filters.
TOLERANCE_MV = 1e-5
FS_HZ = 500.0
# The order the published code assumes in its MIMIC files before it permutes the columns.
_PERMUTED_FROM = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons for every ``preprocess_case_*.npz`` and ``quantiser_edges.json``."""
    for path in sorted(case_dir.glob("preprocess_case_*.npz")):
        with np.load(path, allow_pickle=False) as case:
            tensors = {name: case[name] for name in case.files}
        for name in RECIPES:
            yield from _stage_checks(f"{path.stem}/{name}", tensors, get_recipe(name))
        yield from _segment_checks(path.stem, tensors, get_recipe("ecg_byte_reference"))
    edges = case_dir / "quantiser_edges.json"
    if edges.is_file():
        yield from _edge_checks(edges.stem, json.loads(edges.read_text(encoding="utf-8")))


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest absolute difference; infinity when the shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0))


def _is_equal(ours: str, theirs: str) -> np.ndarray:
    """Return which symbols are equal; none where the lengths differ."""
    if len(ours) != len(theirs):
        return np.zeros(max(len(ours), 1), dtype=bool)
    symbols = (np.frombuffer(text.encode("ascii"), np.uint8) for text in (ours, theirs))
    return np.equal(*symbols)


def _raw(case: dict[str, Any]) -> np.ndarray:
    return (case["raw_uV"].astype(np.float64) / 1000.0).T


def _stage_checks(name: str, case: dict[str, Any], recipe: Recipe) -> Iterator[Check]:
    """Compare the stages; the case's columns are given the names the recipe wants, in its order."""
    leads = tuple(dict.fromkeys(strip.lead for strip in recipe.strips))
    raw = _raw(case)
    steps = {step: array for step, _, array in recipe.steps(raw, leads, FS_HZ)}
    size_mv = float(np.abs(raw - np.median(raw, axis=1, keepdims=True)).max())
    tolerance = FILTERED_TOLERANCE_MV * max(1.0, size_mv / USUAL_SIZE_MV)
    for stage in ("filtered", "denoised", "resampled"):
        error = difference(steps[stage].T, case[stage])
        yield Check(f"{name}/{stage}", error, tolerance)


def _segment_checks(name: str, case: dict[str, Any], recipe: Recipe) -> Iterator[Check]:
    leads = tuple(strip.lead for strip in recipe.strips)
    reordered = select_leads(_raw(case), _PERMUTED_FROM, leads)[:, 0]
    yield Check(
        f"{name}/reordered_first_row", difference(reordered, case["reordered_first_row"]), 0
    )
    segments = recipe.apply(_raw(case), leads, FS_HZ)
    shape = np.array(segments.shape)[[0, 2, 1]]
    yield Check(f"{name}/segments_shape", difference(shape, case["segments_shape"]), 0)
    quantizer = _quantizer(case["percentile_1"], case["percentile_99"])
    symbols = quantizer.symbols(segments[0])
    is_equal = _is_equal(symbols.tobytes().decode("ascii"), str(case["seg0_symbols"]))
    yield Check(f"{name}/seg0_symbols", float(1 - is_equal.mean()), SHARE_OF_OTHER_SYMBOLS)
    ours, theirs = quantizer.values(symbols), case["seg0_reconstructed"]
    # Another symbol is a whole step away; it is counted above.
    error = difference(ours, theirs)
    if ours.shape == theirs.shape and len(is_equal) == ours.size:
        error = difference(ours.ravel()[is_equal], theirs.ravel()[is_equal])
    yield Check(f"{name}/seg0_reconstructed", error, TOLERANCE_MV)


def _quantizer(percentile_1: float, percentile_99: float) -> Quantizer:
    low, high = float(percentile_1) - MARGIN_MV, float(percentile_99) + MARGIN_MV
    return Quantizer(low=low, high=high, decode="reference")


def _edge_checks(name: str, case: dict[str, Any]) -> Iterator[Check]:
    quantizer = _quantizer(case["percentile_1"], case["percentile_99"])
    symbols = quantizer.symbols(np.array(case["values"], dtype=np.float64))
    text = symbols.tobytes().decode("ascii")
    yield Check(f"{name}/symbols", float(1 - _is_equal(text, case["symbols"]).mean()), 0)
    reverse = difference(quantizer.values(symbols), np.array(case["reverse"]))
    yield Check(f"{name}/reverse", reverse, TOLERANCE_MV)
