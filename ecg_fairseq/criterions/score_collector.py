"""Scores of a whole validation pass: areas under curves are no sums over batches.

fairseq reduces what criterions log by static methods, so the scores of the process's one criterion
are kept here. They are taken together over all processes when fairseq asks for the result, which
every process does at the end of a pass, and never enter a checkpoint.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.evaluation.label_scores import LabelScores, label_scores


class ScoreCollector:
    """Collects (segment, scores, labels) until the result is asked for; then starts anew."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._result: LabelScores | None = None

    def add(self, ids: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            ids: int (B,); a segment that comes twice counts once.
            scores: (B, K).
            labels: (B, K).
        """
        if self._result is not None:
            self._rows, self._result = {}, None
        rows = zip(scores.float().cpu().numpy(), labels.cpu().numpy(), strict=True)
        self._rows.update(zip(ids.tolist(), rows, strict=True))

    def result(self) -> LabelScores:
        """Return the areas over everything added since the last result, in all processes."""
        if self._result is None:
            rows = _of_all_processes(self._rows)
            ordered = [rows[key] for key in sorted(rows)]
            scores, labels = (np.stack(column) for column in zip(*ordered, strict=True))
            self._result = label_scores(labels, scores)
        return self._result


def _of_all_processes(rows: dict[int, Any]) -> dict[int, Any]:
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return rows
    gathered: list[dict[int, Any]] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, rows)
    return {key: row for part in gathered for key, row in part.items()}
