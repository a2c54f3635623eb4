"""Further tensors of a manifest's records, by name: ``task.extra`` -> ``sample["extra"]``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.targets import read_extra_tensor


class ExtraTensors:
    """Tensors of a manifest folder; they are mapped, so that worker processes share them.

    Args:
        manifest: the manifest folder; None where the lists are of none.
        names: of files ``extra/NAME.safetensors``; each once.

    Raises:
        ManifestError: a tensor is missing, damaged, or of another table of records.
    """

    def __init__(self, manifest: Path | None, names: Sequence[str]) -> None:
        if manifest is None:
            raise ManifestError(
                f"task.extra={list(names)} names tensors of a manifest's records, but task.data is "
                "no manifest made by ecg_fairseq"
            )
        self.manifest, self.names = manifest, tuple(names)
        self._tensors: dict[str, np.ndarray] = {}
        for name in names:
            self._tensor(name)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped files behind: a worker process maps them itself."""
        return {**self.__dict__, "_tensors": {}}

    def _tensor(self, name: str) -> np.ndarray:
        if name not in self._tensors:
            self._tensors[name] = read_extra_tensor(self.manifest, name)
        return self._tensors[name]

    def rows(self, records: Sequence[int]) -> dict[str, Tensor]:
        """Return name -> (B, ...), a copy.

        Args:
            records: B lines of ``records.tsv``, from 0.
        """
        chosen = np.asarray(records, dtype=np.int64)
        return {name: torch.from_numpy(np.array(self._tensor(name)[chosen])) for name in self.names}
