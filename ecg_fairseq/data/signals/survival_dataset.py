"""Segments of recordings that were followed up: how long, and whether the event was seen."""

from collections.abc import Sequence
from typing import Any

from ecg_fairseq.data.signals.segment_dataset import SegmentDataset
from ecg_fairseq.data.signals.signal_batch import Sample


class SurvivalDataset(SegmentDataset):
    """One segment an item; its arguments are those of :class:`SegmentDataset`.

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
