"""Prompt layout of ECG-Byte (fact sheet ecg-byte.md 3.3), for one question or several.

One sequence is a shared prefix and one or more segments behind it::

    <bos> <sig_start> ECG <sig_end> [<sig_start> second ECG <sig_end>] | Q A <eos> | Q A <eos> ...

A segment sees the prefix and itself, never another segment, and its positions go on from the
prefix: so several questions packed behind one copy of the ECG give the numbers of separate
sequences. The question and the answer are never cut; an ECG that does not fit is cut at its end, as
published, and only where the caller allows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

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


def prefix_length(num_ecg_tokens: Sequence[int], vocabulary: EcgVocabulary) -> int:
    """Length of the prefix for ECGs of these token counts."""
    return int(vocabulary.bos_id is not None) + sum(count + 2 for count in num_ecg_tokens)


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


def build_prefix(ecgs: Sequence[np.ndarray], vocabulary: EcgVocabulary) -> np.ndarray:
    """Return the shared prefix (S,) of one or more ECGs given as rows of the vocabulary."""
    parts: list[np.ndarray] = []
    if vocabulary.bos_id is not None:
        parts.append(np.array([vocabulary.bos_id]))
    for ecg in ecgs:
        parts += [np.array([vocabulary.sig_start_id]), ecg, np.array([vocabulary.sig_end_id])]
    return np.concatenate(parts).astype(np.int64)


def fit_ecgs(
    ecgs: Sequence[np.ndarray],
    num_text_tokens: int,
    max_sequence: int,
    vocabulary: EcgVocabulary,
    allow_cut: bool,
    name: str,
) -> list[np.ndarray]:
    """Cut the ECGs so that the sequence fits, or refuse.

    Args:
        ecgs: rows of the vocabulary, one array per ECG.
        num_text_tokens: tokens behind the prefix: question, answer and end token.
        max_sequence: longest sequence allowed.
        vocabulary: the id space.
        allow_cut: cut an ECG that is too long (training) or raise (evaluation).
        name: of the question, for the message.

    Raises:
        RecordError: the text alone does not fit, or the ECG does not and must not be cut.
    """
    counts = [len(ecg) for ecg in ecgs]
    needed = prefix_length(counts, vocabulary) + num_text_tokens
    if needed <= max_sequence:
        return list(ecgs)
    space = max_sequence - num_text_tokens - prefix_length([0] * len(ecgs), vocabulary)
    if space < len(ecgs) or not allow_cut:
        raise RecordError(
            f"question {name!r} needs {needed} tokens ({sum(counts)} of them ECG, "
            f"{num_text_tokens} text) but task.max_sequence is {max_sequence}; raise "
            "task.max_sequence, use a recipe with a shorter window, or more merges"
        )
    return [ecg[:keep] for ecg, keep in zip(ecgs, cut_lengths(counts, space), strict=True)]


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
