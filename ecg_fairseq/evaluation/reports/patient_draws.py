"""How often each report counts when patients are drawn with replacement.

For figures that are no mean of values of the reports, such as a pooled F1. A report about several
patients counts as often as the product of their draws, as in ``evaluation/intervals.py``, which
does this for means.
"""

from collections.abc import Iterator, Sequence

import numpy as np

_CELLS_PER_BLOCK = 4_000_000


def patient_weights(
    patient_ids: Sequence[Sequence[str]], num_resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """Yield blocks of float64 (R', N): weights of N reports in some of the draws.

    Args:
        patient_ids: the patients of each report, N lists.
        num_resamples: R, the draws of all blocks together.
        seed: of the draws; figures of one set with the same seed are paired draw by draw.

    Raises:
        ValueError: a report has no patient.
    """
    if not all(patient_ids):
        raise ValueError("every report needs at least one patient id")
    names = sorted({name for members in patient_ids for name in members})
    places = {name: place for place, name in enumerate(names)}
    width = max(len(members) for members in patient_ids)
    # The patient behind the last one counts once in every draw.
    members = np.full((len(patient_ids), width), len(names), dtype=np.int64)
    for row, patients in enumerate(patient_ids):
        distinct = sorted({places[name] for name in patients})
        members[row, : len(distinct)] = distinct
    generator = np.random.default_rng(seed)
    rows_at_once = max(1, _CELLS_PER_BLOCK // max(members.size, len(names)))
    for start in range(0, num_resamples, rows_at_once):
        rows = min(rows_at_once, num_resamples - start)
        counts = np.ones((rows, len(names) + 1))
        counts[:, :-1] = generator.multinomial(
            len(names), np.full(len(names), 1.0 / len(names)), size=rows
        )
        yield counts[:, members].prod(axis=2)
