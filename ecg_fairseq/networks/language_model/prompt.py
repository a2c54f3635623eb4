"""Packed sequences: a shared prefix, segments behind it, and how they are padded.

A segment sees the prefix and itself, never another segment, and its positions go on from the
prefix: so several questions packed behind one copy of what they share give the numbers of separate
sequences. What is shared follows from the prompt layout (:mod:`prompt_builder`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

IGNORED_LABEL = -100
PADDING_SEGMENT = -1
PREFIX_SEGMENT = 0


@dataclass(frozen=True)
class PackedSequence:
    """One training or scoring sequence, all arrays int64 (S,).

    Attributes:
        input_ids: rows of the vocabulary.
        position_ids: 0.. along the prefix, then from the prefix's length in every segment.
        segment_ids: 0 for the prefix, 1.. for the segments.
        labels: the token itself where it is to be predicted, -100 elsewhere (not shifted).
    """

    input_ids: np.ndarray
    position_ids: np.ndarray
    segment_ids: np.ndarray
    labels: np.ndarray


def cut_lengths(num_ecg_tokens: Sequence[int], space: int) -> list[int]:
    """Tokens to keep of each ECG so that together they fill at most ``space``.

    One ECG keeps its first ``space`` tokens; of two, a shorter one leaves its unused share to the
    other.
    """
    kept = [0] * len(num_ecg_tokens)
    left = max(space, 0)
    by_length = sorted(range(len(num_ecg_tokens)), key=lambda i: (num_ecg_tokens[i], i))
    for place, i in enumerate(by_length):
        kept[i] = min(num_ecg_tokens[i], left // (len(by_length) - place))
        left -= kept[i]
    return kept


def pack(
    prefix: np.ndarray, segments: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> PackedSequence:
    """Build a sequence of a prefix and segments.

    Args:
        prefix: rows (S,).
        segments: (context, target) rows; the targets are to be predicted, the contexts are not.
    """
    ids, positions = [prefix], [np.arange(len(prefix))]
    segment_ids = [np.full(len(prefix), PREFIX_SEGMENT)]
    labels = [np.full(len(prefix), IGNORED_LABEL)]
    for number, (context, target) in enumerate(segments, start=1):
        rows = np.array([*context, *target], dtype=np.int64)
        ids.append(rows)
        positions.append(len(prefix) + np.arange(len(rows)))
        segment_ids.append(np.full(len(rows), number))
        labels.append(np.where(np.arange(len(rows)) < len(context), IGNORED_LABEL, rows))
    return PackedSequence(
        *(np.concatenate(part).astype(np.int64) for part in (ids, positions, segment_ids, labels))
    )


def pad_packed(sequences: Sequence[PackedSequence], pad_id: int) -> dict[str, np.ndarray]:
    """Pad sequences at their right end into arrays (B, S).

    Positions simply go on over the padding: models take a step backwards there for the start of
    another packed sequence.
    """
    width = max(len(sequence.input_ids) for sequence in sequences)
    shape = (len(sequences), width)
    batch = {
        "input_ids": np.full(shape, pad_id, dtype=np.int64),
        "position_ids": np.tile(np.arange(width, dtype=np.int64), (len(sequences), 1)),
        "segment_ids": np.full(shape, PADDING_SEGMENT, dtype=np.int64),
        "labels": np.full(shape, IGNORED_LABEL, dtype=np.int64),
    }
    for row, sequence in enumerate(sequences):
        for name, array in batch.items():
            values = getattr(sequence, name)
            array[row, : len(values)] = values
    return batch


def pad_left(prompts: Sequence[np.ndarray], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad prompts at their left end for generation; return ids and mask, both (B, S) int64."""
    width = max(len(prompt) for prompt in prompts)
    ids = np.full((len(prompts), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(prompts), width), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return ids, mask
