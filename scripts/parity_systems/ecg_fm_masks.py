"""Span masks recorded from fairseq-signals (``mask_*`` of ``augmentations.npz``).

Our sampler draws from torch's generator and so gives other masks. The published rule is written
out here with numpy's old generator and must meet the recorded masks exactly; our sampler must have
as many masked frames as the published one can have, alike in all rows and none of them padded.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ecg_fairseq.networks.layers.masking import MIN_SPANS, SpanRule, draw_spans
from parity_systems.check import Check

# Fact sheet ecg-fm 2.3: single calls have the seed of the file, masks the third and fourth after.
SEED_STEPS = {"plain": 3, "padded": 4}
_NAME = re.compile(r"mask_(?:padded_)?B(\d+)(?:_T(\d+))?(?:_p([\d.]+))?(?:_l(\d+))?")
_NUM_DRAWS = 200


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of a folder with ``augmentations.npz``."""
    recorded = case_dir / "augmentations.npz"
    if recorded.is_file():
        with np.load(recorded, allow_pickle=False) as case:
            yield from mask_checks({name: case[name] for name in case.files})


def mask_checks(case: dict[str, np.ndarray]) -> Iterator[Check]:
    """Yield the comparisons of all recorded masks; settings are read off the names."""
    rule = SpanRule(0.65, 10)
    for name in sorted(case, key=lambda key: "padded" in key):
        found = _NAME.fullmatch(name)
        if found is None:
            continue
        if found[3] and found[4]:
            rule = SpanRule(float(found[3]), int(found[4]))
        recorded, padding = case[name], case.get(f"{name}__padding")
        step = SEED_STEPS["plain" if padding is None else "padded"]
        rng = np.random.RandomState(int(case["seed"]) + step)
        published = published_mask(recorded.shape, rule, padding, rng)
        same_shape = published.shape == recorded.shape
        differing = float((published != recorded).sum()) if same_shape else float("inf")
        yield Check(f"masks/{name}", differing, 0)
        yield Check(f"masks/{name}/ours", _num_unlike(recorded, rule, padding), 0)


def published_mask(
    shape: tuple[int, ...], rule: SpanRule, padding: np.ndarray | None, rng: np.random.RandomState
) -> np.ndarray:
    """Draw a mask, bool (B, F), in the published order: luck and starts row by row, then thinning.

    Args:
        rule: static lengths, spans that may overlap.
        padding: bool (B, F), or None.
    """
    num_rows, num_frames = shape
    # Drawn in any case, and not used where there is padding.
    common = max(MIN_SPANS, int(rule.prob * num_frames / rule.length + rng.rand()))
    masked = []
    for row in range(num_rows):
        size, num_spans = num_frames, common
        if padding is not None:
            size -= int(padding[row].sum())
            num_spans = max(MIN_SPANS, int(rule.prob * size / rule.length + rng.rand()))
        shortest = rule.length if size - rule.length > num_spans else size - num_spans - 1
        starts = rng.choice(size - shortest, num_spans, replace=False)
        frames = np.unique(starts[:, None] + np.arange(rule.length))
        masked.append(frames[frames < size])
    fewest = min(len(frames) for frames in masked)
    mask = np.zeros(shape, dtype=bool)
    for row, frames in enumerate(masked):
        kept = rng.choice(frames, fewest, replace=False) if len(frames) > fewest else frames
        mask[row, kept] = True
    return mask


def _num_unlike(recorded: np.ndarray, rule: SpanRule, padding: np.ndarray | None) -> float:
    """Return how many of our masks break a rule of the published ones, and how far counts are off.

    The recorded count of masked frames must lie within the range of ours.
    """
    is_padded = None if padding is None else torch.from_numpy(padding)
    generator = torch.Generator().manual_seed(0)
    counts, broken = [], 0
    for _ in range(_NUM_DRAWS):
        mask = draw_spans(*recorded.shape, rule, is_padded, generator)
        per_row = mask.sum(1)
        counts.append(int(per_row[0]))
        broken += bool((per_row != per_row[0]).any())
        broken += is_padded is not None and bool((mask & is_padded).any())
    count = int(recorded[0].sum())
    return float(broken + max(0, min(counts) - count, count - max(counts)))
