"""Single segments, with labels or times to an event where there are some."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ecg_fairseq.data.signals.label_rows import check_labels, has_label
from ecg_fairseq.data.signals.signal_batch import Sample
from ecg_fairseq.data.signals.signal_dataset import SignalDataset, identity_of
from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.segments.segment_list import SegmentList, StoredSegment
from ecg_fairseq.signal.augmentations import Augmentation

__all__ = ["SegmentDataset", "SignalOptions", "SurvivalDataset"]

logger = logging.getLogger(__name__)


class SegmentDataset(SignalDataset):
    """One segment an item.

    Args:
        segments: of a split.
        options: settings.
        augmentation: applied in training only; None leaves segments as they are.
        seed: of order, crops and augmentation.
        labels: (recordings, K), row ``idx`` for recording ``idx``; a row with NaN has no label and
            its segments are left out. None: no labels, or the files' own.
        is_training: see :class:`SignalDataset`.
        use_file_labels: take the labels that ``.mat`` files hold themselves.

    Batch: as in :class:`SignalDataset`, with ``label`` float32 (B, K) where there are labels, and
    ``lead_scaling`` float32 (B, L, 2), mean and deviation in mV, where the store says them.
    """

    segments: SegmentList

    def __init__(
        self,
        segments: SegmentList,
        options: SignalOptions,
        augmentation: Augmentation | None = None,
        seed: int = 1,
        labels: np.ndarray | None = None,
        is_training: bool = False,
        use_file_labels: bool = False,
    ) -> None:
        super().__init__(segments, options, augmentation, seed, is_training)
        self.labels = labels
        self.use_file_labels = use_file_labels and labels is None
        if labels is not None:
            check_labels(labels)
            self._leave_out_unlabelled(labels)

    def _leave_out_unlabelled(self, labels: np.ndarray) -> None:
        """Restrict the dataset to labelled recordings, and check those known without reading."""
        is_labelled = has_label(labels)
        if is_labelled.all() and not self.segments.is_store:
            return
        ids = self.segments.recording_ids()
        for place in np.flatnonzero((ids < 0) | (ids >= len(labels)))[:1]:
            self._check_idx(int(ids[place]), int(place))
        is_kept = np.zeros(len(ids), dtype=bool)
        is_kept[self.kept] = True
        left_out = int((is_kept & ~is_labelled[ids]).sum())
        if left_out:
            logger.warning(
                f"{self.segments.path.name}: {left_out:,} of {len(self.kept):,} segments are left "
                "out, their recordings have no label (NaN in the label file)"
            )
            self._keep(is_kept & is_labelled[ids])

    def _check_idx(self, idx: int, place: int) -> None:
        labels = self.labels
        if labels is None or 0 <= idx < len(labels):
            return
        if idx < 0:
            raise ManifestError(
                f"{self._where(place)} does not say which recording it is of (no idx), so a label "
                "file cannot be used; leave task.label_file null to use the file's own labels"
            )
        raise ManifestError(
            f"{self._where(place)} is of recording {idx}, the label file has {len(labels)} rows "
            f"(0 to {len(labels) - 1}); use the y.npy that was made with this manifest"
        )

    def __getitem__(self, index: int) -> Sample:
        place = int(self.kept[index])
        segment = self.segments.read(place)
        signals = [self.prepare(segment, self._where(place))]
        crops, drawn = self.draw(place, signals)
        label = self._label(segment, place)
        scaling = self.prepare.scaling(segment)
        return Sample(place, signals, crops, identity_of(segment, place), drawn, label, scaling)

    def _label(self, segment: StoredSegment, place: int) -> np.ndarray | None:
        if self.labels is not None:
            self._check_idx(segment.idx, place)
            return self.labels[segment.idx]
        if not self.use_file_labels:
            return None
        if segment.label is None:
            raise ManifestError(
                f"{self._where(place)} has no label of its own; give task.label_file"
            )
        return segment.label

    def collater(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return a batch; see the class."""
        batch = super().collater(samples)
        labels = [sample.label for sample in samples if sample.label is not None]
        if labels:
            batch["label"] = torch.from_numpy(np.stack(labels).astype(np.float32))
        scalings = [sample.scaling for sample in samples if sample.scaling is not None]
        if scalings:
            batch["lead_scaling"] = torch.from_numpy(np.stack(scalings))
        return batch


class SurvivalDataset(SegmentDataset):
    """Segments of recordings that were followed up; arguments as of :class:`SegmentDataset`.

    ``labels`` are float (recordings, 2): days until the event or the last contact, and whether the
    event was seen. Recordings with NaN are left out.

    Batch: as in :class:`SegmentDataset`, with ``target`` instead of ``label``: ``time_days``
    float32 (B,) and ``event`` bool (B,).
    """

    def collater(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return a batch; see the class."""
        batch = super().collater(samples)
        if samples:
            times, events = batch.pop("label").unbind(1)
            batch["target"] = {"time_days": times.contiguous(), "event": events > 0}
        return batch
