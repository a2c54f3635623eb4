"""Pairs of neighbouring segments of one recording, for CMSC (fact sheet ecg-fm 2.2)."""

import numpy as np

from ecg_fairseq.data.signals.signal_batch import Sample
from ecg_fairseq.data.signals.signal_dataset import SignalDataset, identity_of
from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.segments.segment_list import CmscPairList


class CmscDataset(SignalDataset):
    """One pair an item; rows of a batch: pair 0 segment 0, pair 0 segment 1, pair 1 segment 0 ...

    Args:
        pairs: of a split.
        options: settings.
        augmentation: applied to each segment by itself, in training only.
        seed: of order, crops and augmentation.
        is_training: see :class:`SignalDataset`.

    Batch: as in :class:`SignalDataset`; ``patient_id`` is the recording, as in fairseq-signals, and
    ``segment`` 0 or 1. A batch of pairs of a single recording teaches CMSC nothing, because there
    is nobody to tell it from: such batches are not made.
    """

    rows_per_item = 2
    segments: CmscPairList

    def __getitem__(self, index: int) -> Sample:
        place = int(self.kept[index])
        segments = self.segments.read(place)
        signals = [self.prepare(segment, self._where(place)) for segment in segments]
        crops, drawn = self.draw(place, signals)
        return Sample(place, signals, crops, identity_of(segments[0], place), drawn)

    def arranged(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        """Return batches of two recordings or more that hold every index.

        Where a batch would be of one recording, pairs change places with the nearest other batch;
        a last pair on its own gets a neighbour from it or joins it.

        Raises:
            EcgError: that is impossible: one recording only, or batches of one pair.
        """
        recordings = self.segments.recordings[self.kept]
        if len(batches) and max(map(len, batches)) == 1:
            raise EcgError(
                f"{self.segments.path}: batches of one pair teach CMSC nothing, which tells a "
                "recording from the others of its batch; set dataset.batch_size to 2 or more, "
                "raise dataset.max_tokens, or give a split with more than one pair"
            )
        return mixed_batches(batches, recordings, str(self.segments.path))


def mixed_batches(batches: list[np.ndarray], recordings: np.ndarray, name: str) -> list[np.ndarray]:
    """Return batches with the same items, each of two recordings at least.

    Args:
        batches: indices, int64 each.
        recordings: int64 (N,), of every index.
        name: of the manifest, for the message.

    Raises:
        EcgError: there are not enough pairs of other recordings.
    """
    mixed: list[np.ndarray | None] = list(batches)
    lonely = [at for at, batch in enumerate(batches) if _is_of_one(recordings[batch])]
    for at in lonely:
        batch = mixed[at]
        if batch is None or not _is_of_one(recordings[batch]):
            continue
        others = sorted(set(range(len(mixed))) - {at}, key=lambda other: abs(other - at))
        if not any(_mix(mixed, at, other, recordings) for other in others):
            raise EcgError(
                f"{name}: {len(lonely)} of {len(batches)} batches hold pairs of one recording "
                "only, and CMSC tells a recording from the others of its batch; "
                + _advice(recordings)
            )
    return [batch for batch in mixed if batch is not None]


def _advice(recordings: np.ndarray) -> str:
    """Return what to do where batches of several recordings cannot be made."""
    if _is_of_one(recordings):
        return (
            f"all {len(recordings)} pairs here are of that recording: make the manifest from more "
            "patients, so that each split has two recordings or more, or train without validation "
            "(dataset.disable_validation=true)"
        )
    return "there are too few others to mix them with: add recordings, or raise dataset.batch_size"


def _is_of_one(recordings: np.ndarray) -> bool:
    return bool((recordings == recordings[0]).all())


def _mix(batches: list[np.ndarray | None], at: int, other: int, recordings: np.ndarray) -> bool:
    """Mix batch ``at``, of one recording, with another, in place; False where that is no help."""
    batch, donor = batches[at], batches[other]
    if batch is None or donor is None:
        return False
    foreign = np.flatnonzero(recordings[donor] != recordings[batch[0]])
    if not len(foreign):
        return False
    place = foreign[-1]
    rest = np.delete(donor, place)
    if len(batch) > 1 and len(foreign) > 1:
        batches[at] = np.append(batch[:-1], donor[place])
        batches[other] = np.append(rest, batch[-1])
        return True
    if len(batch) == 1 and len(rest) > 1 and not _is_of_one(recordings[rest]):
        batches[at], batches[other] = np.append(batch, donor[place]), rest
        return True
    if len(batch) == 1:
        batches[at], batches[other] = None, np.append(donor, batch[0])
        return True
    return False
