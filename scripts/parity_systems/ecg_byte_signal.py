"""ECG-Byte's preprocessing and quantiser against recorded stages (``preprocess_case_*.npz``)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.signal.leads import select_leads
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.signal.recipes import get_recipe
from ecg_fairseq.tokenizer.quantiser import Quantiser
from parity_systems.check import Check

RECIPES = ("ecg_byte", "ecg_byte_10s", "ecg_byte_reference")
MARGIN_MV = 0.5
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


def _different_places(ours: str, theirs: str) -> float:
    if len(ours) != len(theirs):
        return float("inf")
    return float(sum(a != b for a, b in zip(ours, theirs, strict=True)))


def _raw(case: dict[str, Any]) -> np.ndarray:
    return (case["raw_uV"].astype(np.float64) / 1000.0).T


def _stage_checks(name: str, case: dict[str, Any], recipe: Recipe) -> Iterator[Check]:
    """Compare the stages; the case's columns are given the names the recipe wants, in its order."""
    leads = tuple(dict.fromkeys(strip.lead for strip in recipe.strips))
    steps = {step: array for step, _, array in recipe.steps(_raw(case), leads, FS_HZ)}
    for stage in ("filtered", "denoised", "resampled"):
        error = difference(steps[stage].T, case[stage])
        yield Check(f"{name}/{stage}", error, TOLERANCE_MV)


def _segment_checks(name: str, case: dict[str, Any], recipe: Recipe) -> Iterator[Check]:
    leads = tuple(strip.lead for strip in recipe.strips)
    reordered = select_leads(_raw(case), _PERMUTED_FROM, leads)[:, 0]
    yield Check(
        f"{name}/reordered_first_row", difference(reordered, case["reordered_first_row"]), 0
    )
    segments = recipe.apply(_raw(case), leads, FS_HZ)
    shape = np.array(segments.shape)[[0, 2, 1]]
    yield Check(f"{name}/segments_shape", difference(shape, case["segments_shape"]), 0)
    quantiser = _quantiser(case["percentile_1"], case["percentile_99"])
    symbols = quantiser.symbols(segments[0])
    theirs = str(case["seg0_symbols"])
    yield Check(
        f"{name}/seg0_symbols", _different_places(symbols.tobytes().decode("ascii"), theirs), 0
    )
    ours = quantiser.values(symbols)
    yield Check(
        f"{name}/seg0_reconstructed", difference(ours, case["seg0_reconstructed"]), TOLERANCE_MV
    )


def _quantiser(percentile_1: float, percentile_99: float) -> Quantiser:
    low, high = float(percentile_1) - MARGIN_MV, float(percentile_99) + MARGIN_MV
    return Quantiser(low=low, high=high, decode="reference")


def _edge_checks(name: str, case: dict[str, Any]) -> Iterator[Check]:
    quantiser = _quantiser(case["percentile_1"], case["percentile_99"])
    symbols = quantiser.symbols(np.array(case["values"], dtype=np.float64))
    text = symbols.tobytes().decode("ascii")
    yield Check(f"{name}/symbols", _different_places(text, case["symbols"]), 0)
    reverse = difference(quantiser.values(symbols), np.array(case["reverse"]))
    yield Check(f"{name}/reverse", reverse, TOLERANCE_MV)
