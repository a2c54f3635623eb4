"""Segments of numbered patients, for identification (fact sheet ecg-fm 1.5)."""

from collections.abc import Sequence
from typing import Any

import torch

from ecg_fairseq.data.signals.segment_dataset import SegmentDataset
from ecg_fairseq.data.signals.signal_batch import Sample
from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.records.segments.segment_list import IdentificationList
from ecg_fairseq.signal.augmentations import Augmentation


class IdentificationDataset(SegmentDataset):
    """One segment an item.

    Args:
        segments: training segments, or those of a gallery or of probes.
        options, augmentation, seed, is_training: see :class:`SegmentDataset`.

    Batch: as in :class:`SegmentDataset`; ``label`` and ``patient_id`` int64 (B,) are the patient.
    """

    segments: IdentificationList

    def __init__(
        self,
        segments: IdentificationList,
        options: SignalOptions,
        augmentation: Augmentation | None = None,
        seed: int = 1,
        is_training: bool = False,
    ) -> None:
        super().__init__(segments, options, augmentation, seed, None, is_training)
        self.num_patients = segments.num_people

    def collater(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return a batch; see the class."""
        batch = super().collater(samples)
        if samples:
            patients = self.segments.label_ids[[sample.index for sample in samples]]
            batch["label"] = torch.from_numpy(patients)
            batch["patient_id"] = batch["label"]
        return batch
