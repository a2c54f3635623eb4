"""Batches of signals: cut or padded to one length, assembled in one piece of memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.data.shared_memory_batches import BatchMemory
from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.signal.augmentations import Augmentation


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a dataset yields for one item: one row of a batch or several.

    Attributes:
        index: place of the item in its manifest.
        signals: float32 (L, T) each.
        crops: for each signal, where it is cut should it be too long: 0 at the front, below 1.
        drawn: for each signal, what the batch's augmentation drew for it.
        patient_id: equal for signals that belong together.
        label: (K,), or None.
        scaling: float32 (L, 2), mean and deviation in mV of the signal's leads, or None.
    """

    index: int
    signals: Sequence[np.ndarray]
    crops: Sequence[float]
    patient_id: int
    drawn: Sequence[Any] = ()
    label: np.ndarray | None = None
    scaling: np.ndarray | None = None


def length_buckets(sizes: np.ndarray, num_buckets: int) -> np.ndarray | None:
    """Return the lengths that batches are padded to: quantiles of the sizes, as in fairseq.

    Args:
        sizes: int64 (N,), after cutting to the longest allowed.
        num_buckets: 0 gives None.
    """
    if num_buckets == 0 or not len(sizes):
        return None
    quantiles = np.percentile(sizes, np.linspace(0, 100, num_buckets + 1), method="lower")
    return np.unique(quantiles[1:]).astype(np.int64)


def target_length(
    lengths: Sequence[int], options: SignalOptions, buckets: np.ndarray | None
) -> int:
    """Return the samples T of a batch (fact sheet ecg-fm 2.2)."""
    longest = max(lengths) if options.enable_padding else min(lengths)
    if options.max_sample_size is not None:
        longest = min(longest, options.max_sample_size)
    if buckets is None:
        return longest
    place = int(np.searchsorted(buckets, longest))
    return max(longest, int(buckets[min(place, len(buckets) - 1)]))


@dataclass(frozen=True)
class Collater:
    """Puts samples into batches.

    Attributes:
        options: of the dataset.
        augmentation: changes each signal by what its sample drew; None changes nothing.
        memory: where batches are assembled.
    """

    options: SignalOptions
    augmentation: Augmentation | None = None
    memory: BatchMemory = field(default_factory=BatchMemory)

    def __call__(self, samples: Sequence[Sample], buckets: np.ndarray | None) -> dict[str, Any]:
        """Return the common part of a batch.

        Args:
            samples: one or more.
            buckets: lengths to pad to; see :func:`length_buckets`.

        Returns:
            ``id`` int64 (B,); ``net_input`` with ``source`` float32 (B, L, T) and, where
            ``enable_padding`` is set, ``padding_mask`` bool (B, T), True where padded;
            ``patient_id`` int64 (B,); ``nsentences`` B; ``ntokens`` B x T.
        """
        signals = [signal for sample in samples for signal in sample.signals]
        lengths = [signal.shape[1] for signal in signals]
        target = target_length(lengths, self.options, buckets)
        rows = self.memory.rows((len(signals), signals[0].shape[0], target))
        crops = [crop for sample in samples for crop in sample.crops]
        drawn = [parameters for sample in samples for parameters in sample.drawn]
        for place, signal in enumerate(signals):
            self._fill(rows[place], signal, crops[place], drawn[place] if drawn else None)
        net_input = {}
        if self.options.enable_padding:
            ends = torch.tensor(lengths).unsqueeze(1)
            net_input["padding_mask"] = torch.arange(target).unsqueeze(0) >= ends
        repeats = [len(sample.signals) for sample in samples]
        content = {
            "id": repeated([sample.index for sample in samples], repeats),
            "net_input": net_input,
            "patient_id": repeated([sample.patient_id for sample in samples], repeats),
            "nsentences": len(signals),
            "ntokens": len(signals) * target,
        }
        return self.memory.batch(rows, content)

    def _fill(self, row: np.ndarray, signal: np.ndarray, crop: float, drawn: Any) -> None:
        """Put a signal into its row (L, T), augmented, then cut or padded with zeros."""
        room = signal.shape[1] - row.shape[1]
        if room > 0:
            if self.augmentation is not None:
                signal = self.augmentation.apply(signal, drawn)
            start = int(crop * (room + 1))
            row[...] = signal[:, start : start + row.shape[1]]
            return
        inside = row[:, : signal.shape[1]]
        inside[...] = signal
        if self.augmentation is not None:
            self.augmentation.apply_in_place(inside, drawn)
        row[:, signal.shape[1] :] = 0.0


def repeated(values: Sequence[int], repeats: Sequence[int]) -> Tensor:
    """Return every value as often as its item has rows, int64 (B,)."""
    return torch.from_numpy(np.repeat(np.array(values, dtype=np.int64), repeats))
