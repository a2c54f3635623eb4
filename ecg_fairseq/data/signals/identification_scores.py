"""Embeddings of a gallery and its probes over a whole validation pass, of all processes together.

Accuracy is no sum over batches: every probe is compared with the whole gallery. So rows are kept
here until the pass is over.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.evaluation.identification import matched_share, unit_rows


@dataclass(frozen=True)
class IdentificationAccuracy:
    """Shares of probes whose best gallery entry is of the same patient.

    Attributes:
        embedding: by the cosine of embeddings.
        published: as fairseq-signals: by the dot product of vectors of cosines to the training
            classes.
    """

    embedding: float
    published: float


class IdentificationScores:
    """Collects rows; a segment that comes again opens a new pass, as does another split."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[bool, int, np.ndarray, np.ndarray]] = {}
        self._split = ""

    def add(self, batch: dict[str, Any], embeddings: Tensor, cosines: Tensor) -> None:
        """Add a batch of :class:`GalleryDataset`.

        Args:
            batch: with ``id``, ``is_probe``, ``label`` (B,) and ``split``.
            embeddings: (B, D).
            cosines: (B, K), to the directions of the K training patients.
        """
        ids = batch["id"].tolist()
        if batch["split"] != self._split or any(key in self._rows for key in ids):
            self._rows, self._split = {}, batch["split"]
        columns = (
            batch["is_probe"].tolist(),
            batch["label"].tolist(),
            embeddings.float().cpu().numpy(),
            cosines.float().cpu().numpy(),
        )
        self._rows.update(zip(ids, zip(*columns, strict=True), strict=True))

    def accuracy(self) -> IdentificationAccuracy:
        """Return the accuracies over all rows of this pass; every process must ask."""
        rows = _of_all_processes(self._split, self._rows)
        ordered = [rows[key] for key in sorted(rows)]
        parts = [[row for row in ordered if row[0] is is_probe] for is_probe in (False, True)]
        if not all(parts):
            return IdentificationAccuracy(0.0, 0.0)
        patients = [np.array([row[1] for row in part]) for part in parts]
        embeddings = [unit_rows(np.stack([row[2] for row in part])) for part in parts]
        cosines = [np.stack([row[3] for row in part]) for part in parts]
        return IdentificationAccuracy(
            matched_share(embeddings[0], patients[0], embeddings[1], patients[1]),
            matched_share(cosines[0], patients[0], cosines[1], patients[1]),
        )


def _of_all_processes(split: str, rows: dict[int, Any]) -> dict[int, Any]:
    """Return the rows of every process; the first one has rows of the present split."""
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return rows
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, (split, rows))
    present = gathered[0][0]
    return {key: row for name, part in gathered if name == present for key, row in part.items()}
