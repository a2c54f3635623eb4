"""What all datasets of signals share: which items, their order, batches, and keyed randomness.

The order is a pure function of sizes and seed, and every random number comes from a generator keyed
by (seed, epoch, index), so that a resumed run continues as if it had never stopped, with any number
of worker processes. The epoch lies in shared memory because worker processes outlive epochs.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ecg_fairseq.data.signals.extra_tensors import ExtraTensors
from ecg_fairseq.data.signals.signal_batch import Collater, Sample, length_buckets
from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.data.signals.signal_preparation import Preparation, check_augmentation
from ecg_fairseq.data.sized_dataset import SizedDataset
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.records.segments.segment_list import StoredSegment
from ecg_fairseq.signal.augmentations import Augmentation

logger = logging.getLogger(__name__)


class ListOfSignals(Protocol):
    """What a dataset needs of its manifest."""

    path: Path
    sizes: np.ndarray

    @property
    def is_store(self) -> bool:
        """Whether the segments are rows of a store."""
        ...

    def __len__(self) -> int: ...

    def first_leads(self) -> tuple[str, ...]:
        """Return the leads of the first segment."""
        ...


class SignalDataset(SizedDataset, ABC):
    """Base of the datasets; a subclass yields :class:`Sample` from ``__getitem__``.

    Args:
        segments: a list of segments or of pairs.
        options: settings.
        augmentation: applied to every signal by itself, in training only.
        seed: of the order and of all random choices.
        is_training: whether random choices change from epoch to epoch.

    Attributes:
        kept: int64 (N,), place in the list of every item of the dataset.
        sizes: int64 (N,), samples of each item after cutting to ``max_sample_size``.
        leads: names of the rows of a batch.
        extra: further tensors of the recordings; see :meth:`add_extra`.
    """

    def __init__(
        self,
        segments: ListOfSignals,
        options: SignalOptions,
        augmentation: Augmentation | None = None,
        seed: int = 1,
        is_training: bool = False,
    ) -> None:
        super().__init__()
        if len(segments) == 0:
            raise ManifestError(f"{segments.path} lists no segments; make the manifest anew")
        self.segments = segments
        self.options = options
        self.prepare = Preparation(options, segments.first_leads(), segments.is_store)
        self.leads = self.prepare.leads
        self.augmentation = augmentation if is_training else None
        check_augmentation(self.augmentation, self.leads)
        self._collate = Collater(options, self.augmentation)
        self.seed = seed
        self.is_training = is_training
        self.extra: ExtraTensors | None = None
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._keep(np.ones(len(segments), dtype=bool))
        self._leave_out_short_ones()

    def _keep(self, is_kept: np.ndarray) -> None:
        """Restrict the dataset to a choice of the list, bool (len(segments),)."""
        self.kept = np.flatnonzero(is_kept)
        if len(self.kept) == 0:
            raise ManifestError(
                f"{self.segments.path}: none of its {len(is_kept):,} segments is left; see the "
                "lines of the log above, and lower task.min_sample_size or use other labels"
            )
        lengths = np.asarray(self.segments.sizes[self.kept])
        longest = self.options.max_sample_size
        self.sizes = lengths if longest is None else np.minimum(lengths, longest)
        self.buckets = length_buckets(self.sizes, self.options.num_batch_buckets)
        self._may_be_cut = bool(lengths.min() < lengths.max() or self.sizes[0] < lengths[0])

    def _leave_out_short_ones(self) -> None:
        """Apply the smallest length; say how many are left out and how many are cut."""
        name, sizes = self.segments.path.name, self.segments.sizes
        low, high = self.options.min_sample_size, self.options.max_sample_size
        if low is not None and (too_short := int((sizes < low).sum())):
            logger.warning(
                f"{name}: {too_short:,} of {len(sizes):,} segments are left out, shorter than "
                f"task.min_sample_size={low} (shortest {sizes.min()})"
            )
            self._keep(sizes >= low)
        if high is not None and (too_long := int((sizes > high).sum())):
            logger.info(
                f"{name}: {too_long:,} of {len(sizes):,} segments are cut to "
                f"task.max_sample_size={high} from a random start (longest {sizes.max()})"
            )

    def check_num_leads(self, wanted: int, whose: str) -> None:
        """Refuse to feed a network that has another number of input leads.

        Args:
            wanted: leads that the network takes.
            whose: who wants them, for the message (``"model.in_d"``).

        Raises:
            EcgError: says which leads there are and what to set.
        """
        if len(self.leads) != wanted:
            raise EcgError(
                f"{whose}={wanted}, but {self.segments.path} gives {len(self.leads)} leads "
                f"({', '.join(self.leads)}); set task.enable_padding_leads=true to fill absent "
                f"leads with zeros, choose leads with task.leads_to_load, or set {whose}="
                f"{len(self.leads)}"
            )

    def add_extra(self, extra: ExtraTensors) -> None:
        """Have every batch carry further tensors of its rows' recordings: name -> (B, ...).

        Raises:
            ManifestError: the list is of files, which do not name lines of ``records.tsv``.
        """
        if not self.segments.is_store:
            raise ManifestError(
                f"{self.segments.path} lists .mat files; task.extra={list(extra.names)} needs "
                "segments in a manifest's store"
            )
        self.extra = extra

    def set_epoch(self, epoch: int) -> None:
        """Change the random choices; worker processes see it at once."""
        self._epoch[0] = epoch

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """The order of items does not depend on the epoch, and the epoch is shared."""
        return True

    def generator(self, place: int) -> np.random.Generator:
        """Return the generator of one item, by its place in the list.

        Outside training the epoch does not count, so that every validation sees the same.
        """
        epoch = int(self._epoch[0]) if self.is_training else 0
        return np.random.default_rng((self.seed, epoch, place))

    def draw(self, place: int, signals: Sequence[np.ndarray]) -> tuple[list[float], list[Any]]:
        """Return where each signal is cut and what the augmentation does to it."""
        if self.augmentation is None and not self._may_be_cut:
            return [0.0] * len(signals), []
        rng = self.generator(place)
        crops = rng.random(len(signals)).tolist()
        if self.augmentation is None:
            return crops, []
        return crops, [self.augmentation.draw(rng, signal.shape) for signal in signals]

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Return an item, by its place in the dataset."""

    def collater(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return a batch; see :class:`Collater`, with ``is_training``, where there are further
        tensors ``extra``, and where items have several rows ``segment`` int64 (B,): the place of a
        row in its item.
        """
        if not samples:
            return {}
        batch = self._collate(samples, self.buckets)
        batch["is_training"] = self.is_training
        if self.extra is not None:
            # Of rows of a store this is the recording's line; see identity_of.
            batch["extra"] = self.extra.rows(batch["patient_id"].tolist())
        if self.rows_per_item > 1:
            batch["segment"] = torch.arange(batch["nsentences"]) % self.rows_per_item
        return batch

    def ordered_indices(self) -> np.ndarray:
        """Return indices, longest first, equals in a seeded order: a function of sizes and seed."""
        ties = np.random.default_rng(self.seed).permutation(len(self))
        return np.lexsort((ties, self.sizes))[::-1]

    def _where(self, place: int) -> str:
        """Name an item in messages."""
        return f"{self.segments.path} segment {place + 1}"


def identity_of(segment: StoredSegment, place: int) -> int:
    """Return what batches call ``patient_id``: the recording, as in fairseq-signals.

    A file without ``idx`` has its ``patient_id``; one with neither is like no other.
    """
    if segment.idx >= 0:
        return segment.idx
    return segment.patient if segment.patient is not None else -1 - place
