"""What a task learns about recordings: ``y.npy`` or ``targets.npz``, and the names of columns."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_fairseq.data.signals.label_rows import has_label, load_labels
from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.records.labels.label_files import (
    DEFINITION_FILE,
    LABEL_FOLDER,
    MATRIX_FILE,
    check_label_owner,
    read_label_names,
)
from ecg_fairseq.records.labels.targets import TARGETS_FILE, read_targets
from ecg_fairseq.records.manifest.record_table import RecordTable

if TYPE_CHECKING:
    from ecg_fairseq.data.signals.segment_dataset import SegmentDataset  # imports fairseq

logger = logging.getLogger(__name__)
_NAMES_SHOWN = 12


@dataclass(frozen=True, eq=False)
class LabelSource:
    """Labels of recordings.

    Attributes:
        path: of the file.
        values: (recordings, K), mapped; row ``idx`` is of recording ``idx``. Of kind ``survival``
            (recordings, 2): days and event.
        names: of the K columns; None where they are not known.
        kind: ``binary``, ``real`` or ``survival``; ``y.npy`` is binary.
    """

    path: Path
    values: np.ndarray
    names: tuple[str, ...] | None
    kind: str = "binary"

    @classmethod
    def find(
        cls, folder: SegmentFolder, label_file: str | None, is_survival: bool = False
    ) -> "LabelSource | None":
        """Open the label file of the settings, else the manifest's own; None without any.

        The manifest's own is ``y.npy``, else ``targets.npz``; for survival only the latter.

        Args:
            folder: of the segment lists.
            label_file: what ``task.label_file`` says. A path that does not exist as it stands is
                also looked for beside the lists and among the manifest's labels.
            is_survival: whether times and events are wanted.

        Raises:
            ManifestError: the file is missing, damaged, of another kind, or has other rows than the
                manifest.
        """
        own = [] if folder.manifest is None else [folder.manifest / LABEL_FOLDER]
        if label_file is None:
            names = (TARGETS_FILE,) if is_survival else (MATRIX_FILE, TARGETS_FILE)
            candidates = [place / name for place in own for name in names]
        else:
            candidates = [Path(label_file), *(p / label_file for p in (folder.path, *own))]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None and label_file is None:
            if is_survival:
                raise ManifestError(
                    f"{folder.manifest or folder.path} has no {LABEL_FOLDER}/{TARGETS_FILE} of "
                    "times and events, which task.items=survival needs; name a file with "
                    "task.label_file"
                )
            return None
        source = cls._open(path or candidates[0].resolve(), folder)
        if (source.kind == "survival") != is_survival:
            raise ManifestError(
                f"{source.path} holds {source.kind} targets; task.items=survival goes with times "
                "and events, task.items=segments with labels: change task.items or task.label_file"
            )
        return source

    @classmethod
    def _open(cls, path: Path, folder: SegmentFolder) -> "LabelSource":
        if path.suffix == ".npz":
            targets = read_targets(path, folder.manifest)
            return cls(path, targets.values, targets.names or None, targets.kind)
        values = load_labels(path)
        _check_rows(path, values, folder)
        return cls(path, values, _names(path, values.shape[1]))

    @property
    def num_labels(self) -> int:
        """Outputs K that a network needs: one a column; of survival one, the risk."""
        return 1 if self.kind == "survival" else int(self.values.shape[1])

    def named(self, columns: np.ndarray) -> str:
        """Return the names, or else the numbers, of columns, for a message."""
        shown = [str(self.names[k]) if self.names else str(k) for k in columns[:_NAMES_SHOWN]]
        return ", ".join(shown) + (", ..." if len(columns) > _NAMES_SHOWN else "")

    def check_count(self, num_labels: int) -> None:
        """Refuse a network with another number of outputs; EcgError."""
        if num_labels != self.num_labels:
            names = f" ({self.named(np.arange(self.num_labels))})" if self.names else ""
            raise EcgError(
                f"model.num_labels={num_labels}, but {self.path} has {self.num_labels} columns"
                f"{names}; set model.num_labels={self.num_labels} or give another task.label_file"
            )

    def check_positives(self, dataset: "SegmentDataset", split: str) -> None:
        """Warn of labels that are always or never true; ManifestError when none ever is.

        Args:
            dataset: of labelled segments; only binary labels are checked.
            split: its name.
        """
        if self.kind != "binary":
            return
        rows = np.asarray(self.values)
        if dataset.segments.is_store:
            rows = rows[dataset.segments.recording_ids()[dataset.kept]]
        rows = rows[has_label(rows)]
        positives = (rows > 0).sum(axis=0)
        if not positives.any():
            raise ManifestError(
                f"{self.path}: no label is ever true on the {split} side ({len(rows):,} segments, "
                f"{self.num_labels} labels), so there is nothing to learn; check task.label_file"
            )
        for what, columns in (
            ("never", np.flatnonzero(positives == 0)),
            ("always", np.flatnonzero(positives == len(rows))),
        ):
            if len(columns):
                logger.warning(
                    f"{len(columns)} of {self.num_labels} labels are {what} true on the {split} "
                    f"side: {self.named(columns)}. Nothing can be learnt about them there"
                )


def _check_rows(path: Path, values: np.ndarray, folder: SegmentFolder) -> None:
    """Compare the number of rows with the manifest's number of records."""
    if folder.manifest is None:
        return
    records = folder.manifest / "records.tsv"
    num_records = len(RecordTable.shared(records))
    if len(values) != num_records:
        raise ManifestError(
            f"{path} has {len(values)} rows, {records} lists {num_records} records; use the y.npy "
            "that was made with this manifest: row i is the label of record i"
        )
    if note := check_label_owner(path, records):
        logger.warning(note)


def _names(path: Path, num_labels: int) -> tuple[str, ...] | None:
    definition = path.parent / DEFINITION_FILE
    if not definition.is_file():
        return None
    names = read_label_names(definition)
    if len(names) != num_labels:
        raise ManifestError(
            f"{definition} names {len(names)} labels, {path} has {num_labels} columns; they must "
            "have been written together"
        )
    return names
