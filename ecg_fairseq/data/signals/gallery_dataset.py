"""A gallery and its probes as one dataset: validation of identification needs both in one pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ecg_fairseq.data.signals.identification_dataset import IdentificationDataset
from ecg_fairseq.data.signals.segment_dataset import SegmentDataset
from ecg_fairseq.data.signals.signal_batch import Sample
from ecg_fairseq.data.sized_dataset import SizedDataset
from ecg_fairseq.errors import ManifestError


class GalleryDataset(SizedDataset):
    """Items are the gallery's, then the probes'.

    Args:
        gallery, probes: of one split; their patients are numbered alike.
        split: its name.

    Batch: as of the parts, with ``is_probe`` bool (B,) and ``split``; ``id`` counts on from the
    gallery to the probes.
    """

    def __init__(
        self, gallery: IdentificationDataset, probes: IdentificationDataset, split: str
    ) -> None:
        super().__init__()
        self.parts = (gallery, probes)
        self.split = split
        self.sizes = np.concatenate([part.sizes for part in self.parts])
        patients = [set(part.segments.label_ids[part.kept].tolist()) for part in self.parts]
        strangers = patients[1] - patients[0]
        if strangers:
            raise ManifestError(
                f"{len(strangers)} of {len(patients[1])} people of {probes.segments.path} are not "
                f"in {gallery.segments.path}; every probe needs its person in the gallery"
            )

    def __getitem__(self, index: int) -> tuple[int, Sample]:
        gallery, probes = self.parts
        place = index - len(gallery)
        return index, (probes[place] if place >= 0 else gallery[index])

    def collater(self, samples: Sequence[tuple[int, Sample]]) -> dict[str, Any]:
        """Return a batch; see the class."""
        if not samples:
            return {}
        gallery = self.parts[0]
        # Not the gallery's own method, which takes all samples for the gallery's.
        batch = SegmentDataset.collater(gallery, [sample for _, sample in samples])
        indices = torch.tensor([index for index, _ in samples])
        is_probe = indices >= len(gallery)
        patients = [
            int(self.parts[int(probe)].segments.label_ids[sample.index])
            for probe, (_, sample) in zip(is_probe, samples, strict=True)
        ]
        batch |= {"id": indices, "is_probe": is_probe, "split": self.split}
        batch["label"] = batch["patient_id"] = torch.tensor(patients)
        return batch

    def ordered_indices(self) -> np.ndarray:
        """Return indices, longest first."""
        return np.argsort(-self.sizes, kind="stable")
