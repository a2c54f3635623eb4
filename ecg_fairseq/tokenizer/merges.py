"""Merge lists: checks, expansion lengths and expansions shared by every encoder.

Ids 0..255 are bytes; merge k joins two earlier ids and gets id 256 + k.
"""

from typing import Any

import numpy as np

from ecg_fairseq.errors import TokenizerError

NUM_BASE_IDS = 256
MAX_TOKEN_SYMBOLS = 1 << 20
MAX_TOTAL_SYMBOLS = 1 << 24
MAX_MERGES = 1 << 22


def checked_merges(merges: Any) -> np.ndarray:
    """Return a read-only int64 (M, 2) copy of a merge list after checking it.

    Args:
        merges: (M, 2) integers; row k may only name ids below 256 + k.

    Raises:
        TokenizerError: wrong type or shape, an id that does not exist yet, a pair given twice, or
            tokens so long that no encoder could hold them.
    """
    pairs = _as_pairs(merges)
    limits = NUM_BASE_IDS + np.arange(len(pairs))
    wrong = np.flatnonzero((pairs < 0).any(axis=1) | (pairs >= limits[:, None]).any(axis=1))
    if wrong.size:
        k = int(wrong[0])
        raise TokenizerError(
            f"merge {k} is {pairs[k].tolist()}, but it may only name ids 0..{NUM_BASE_IDS + k - 1}"
        )
    codes = pairs[:, 0] * (NUM_BASE_IDS + len(pairs)) + pairs[:, 1]
    unique, first = np.unique(codes, return_index=True)
    if len(unique) != len(pairs):
        k = int(np.setdiff1d(np.arange(len(pairs)), first)[0])
        raise TokenizerError(f"merge {k} repeats the pair {pairs[k].tolist()} of an earlier merge")
    expansion_lengths(pairs)
    pairs.flags.writeable = False
    return pairs


def _as_pairs(merges: Any) -> np.ndarray:
    """Return ``merges`` as a new (M, 2) int64 array, or raise with what is wrong."""
    if isinstance(merges, list | tuple):
        if len(merges) > MAX_MERGES:
            raise TokenizerError(f"{len(merges)} merges given, at most {MAX_MERGES} are possible")
        for k, pair in enumerate(merges):
            if (
                not isinstance(pair, list | tuple)
                or len(pair) != 2
                or any(isinstance(x, bool) or not isinstance(x, int | np.integer) for x in pair)
                or not all(0 <= x < NUM_BASE_IDS + MAX_MERGES for x in pair)
            ):
                raise TokenizerError(f"merge {k} must be two ids, got {str(pair)[:80]}")
    elif not isinstance(merges, np.ndarray) or merges.dtype.kind not in "iu":
        raise TokenizerError(
            f"merges must be a list of [left, right] ids, got {type(merges).__name__}"
        )
    pairs = np.array(merges, dtype=np.int64)
    if pairs.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) > MAX_MERGES:
        raise TokenizerError(f"merges must have shape (M, 2), got {pairs.shape}")
    return pairs


def expansion_lengths(merges: np.ndarray) -> np.ndarray:
    """Return int64 (256 + M,): the number of bytes each id stands for.

    Raises:
        TokenizerError: a token longer than 2**20 bytes, or more than 2**24 bytes in all (a merge
            list of 60 doublings would describe more text than exists).
    """
    lengths = [1] * NUM_BASE_IDS
    total = 0
    for k, (left, right) in enumerate(merges.tolist()):
        length = lengths[left] + lengths[right]
        total += length
        if length > MAX_TOKEN_SYMBOLS or total > MAX_TOTAL_SYMBOLS:
            raise TokenizerError(
                f"merge {k} makes a token of {length} symbols ({total} in all); the limits are "
                f"{MAX_TOKEN_SYMBOLS} and {MAX_TOTAL_SYMBOLS}"
            )
        lengths.append(length)
    return np.array(lengths, dtype=np.int64)


def expansions(merges: np.ndarray) -> list[bytes]:
    """Return the bytes of every id, index = id."""
    words = [bytes([i]) for i in range(NUM_BASE_IDS)]
    for left, right in merges.tolist():
        words.append(words[left] + words[right])
    return words


def checked_ids(ids: Any, num_ids: int) -> np.ndarray:
    """Return ``ids`` as an int64 (S,) array, every one within 0..num_ids - 1.

    Raises:
        TokenizerError: not integers, not one-dimensional, or out of range.
    """
    try:
        array = np.asarray(ids)
    except (ValueError, OverflowError) as error:
        raise TokenizerError(f"token ids must be a flat list of integers: {error}") from error
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TokenizerError(
            f"token ids must be a flat array of integers, got {array.dtype} {array.shape}"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= num_ids:
        wrong = low if low < 0 else high
        raise TokenizerError(
            f"token id {wrong} does not exist; this tokenizer has 0..{num_ids - 1}"
        )
    return array.astype(np.int64, copy=False)
