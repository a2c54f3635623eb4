"""The slow twin: ECG-BPE in plain Python, written to be read in one sitting.

It is the oracle of the tests and the path without a compiler; ``rust_bpe`` does the same work fast.
Ids 0..255 are bytes, merge k gets id 256 + k. The rules, all of them:

* A pair's count is the number of places where the two ids stand side by side, overlapping places
  included (``aaa`` holds ``aa`` twice), within one sequence.
* The next merge is a pair of maximal count; among equals the smallest (left, right).
* A merge replaces its pair from left to right without overlap.
* Training stops at ``num_merges``, below ``min_count``, or before a token of more than 2**20
  symbols, or one that brings all tokens together over 2**24.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Sequence
from itertools import pairwise

import numpy as np

from ecg_fairseq.tokenizer.merges import (
    MAX_TOKEN_SYMBOLS,
    MAX_TOTAL_SYMBOLS,
    NUM_BASE_IDS,
    expansion_lengths,
    expansions,
)
from ecg_fairseq.tokenizer.quantizer import Quantizer

Pair = tuple[int, int]
WALL = -1  # stands between sequences; never part of a pair


def train(
    sequences: Iterable[bytes], num_merges: int, min_count: int = 1, prefix: Sequence[Pair] = ()
) -> tuple[list[Pair], list[int]]:
    """Train; return all merges (``prefix`` first) and the counts of those made here."""
    steps = list(train_steps(sequences, num_merges, min_count, prefix))
    return [*prefix, *(pair for pair, _ in steps)], [count for _, count in steps]


def train_steps(
    sequences: Iterable[bytes], num_merges: int, min_count: int = 1, prefix: Sequence[Pair] = ()
) -> Generator[tuple[Pair, int], None, str]:
    """Train incrementally; yield each merge with the count it had when it was chosen.

    What the generator returns in the end is why it stopped: ``num_merges``, ``min_count`` or
    ``token_length``.

    Args:
        sequences: the text; no pair crosses from one to the next.
        num_merges: wanted in all, those of ``prefix`` included.
        min_count: a pair of lower count is not merged.
        prefix: merges of an earlier run to go on from.
    """
    known = np.array(prefix, dtype=np.int64).reshape(-1, 2)
    encoder = Encoder(known, "bpe")
    text = _LinkedText(encoder.encode(sequence).tolist() for sequence in sequences)
    heap = [(-count, pair) for pair, count in text.counts.items()]
    heapq.heapify(heap)
    lengths = expansion_lengths(known).tolist()
    total = sum(lengths) - NUM_BASE_IDS

    while len(lengths) < NUM_BASE_IDS + num_merges and heap:
        count, pair = heap[0]
        if -count != text.counts[pair]:  # counts of a known pair only fall: look again
            heapq.heapreplace(heap, (-text.counts[pair], pair))
            continue
        length = lengths[pair[0]] + lengths[pair[1]]
        total += length
        if -count < max(min_count, 1):
            return "min_count"
        if length > MAX_TOKEN_SYMBOLS or total > MAX_TOTAL_SYMBOLS:
            return "token_length"
        heapq.heappop(heap)
        for born in text.merge(pair, len(lengths)):
            heapq.heappush(heap, (-text.counts[born], born))
        lengths.append(length)
        yield pair, -count
    return "num_merges" if len(lengths) >= NUM_BASE_IDS + num_merges else "min_count"


class _LinkedText:
    """All sequences as one linked list of ids; exact count and places of every pair."""

    def __init__(self, sequences: Iterable[list[int]]) -> None:
        self.ids = [WALL]
        for sequence in sequences:
            self.ids += [*sequence, WALL]
        self.before = list(range(-1, len(self.ids) - 1))
        self.after = list(range(1, len(self.ids) + 1))
        self.counts: Counter[Pair] = Counter()
        self.places: defaultdict[Pair, list[int]] = defaultdict(list)
        for place, pair in enumerate(pairwise(self.ids)):
            if WALL not in pair:
                self._add(pair, place)

    def _add(self, pair: Pair, place: int) -> None:
        self.counts[pair] += 1
        self.places[pair].append(place)

    def merge(self, pair: Pair, new: int) -> set[Pair]:
        """Replace ``pair`` by ``new`` from left to right; return the pairs that came to be."""
        ids, before, after = self.ids, self.before, self.after
        born = set()
        for i in self.places.pop(pair):
            j = after[i]
            if ids[i] != pair[0] or ids[j] != pair[1]:
                continue  # an earlier merge took one of the halves
            left, right = before[i], after[j]
            self.counts[pair] -= 1
            if ids[left] != WALL:
                self.counts[ids[left], pair[0]] -= 1
                self._add((ids[left], new), left)
                born.add((ids[left], new))
            if ids[right] != WALL:
                self.counts[pair[1], ids[right]] -= 1
                self._add((new, ids[right]), i)
                born.add((new, ids[right]))
            ids[i], ids[j] = new, WALL
            after[i], before[right] = right, i
        return born


def train_by_recount(
    sequences: Iterable[bytes], num_merges: int, min_count: int = 1
) -> tuple[list[Pair], list[int]]:
    """Train by counting everything again for every merge: the reference's method, our tie rule."""
    rows = [list(sequence) for sequence in sequences]
    lengths = [1] * NUM_BASE_IDS
    merges: list[Pair] = []
    chosen: list[int] = []
    while len(merges) < num_merges:
        counts = Counter(pair for row in rows for pair in pairwise(row))
        if not counts:
            break
        pair = min(counts, key=lambda candidate: (-counts[candidate], candidate))
        length = lengths[pair[0]] + lengths[pair[1]]
        total = length + sum(lengths[NUM_BASE_IDS:])
        if counts[pair] < max(min_count, 1):
            break
        if length > MAX_TOKEN_SYMBOLS or total > MAX_TOTAL_SYMBOLS:
            break
        rows = [replace_pair(row, pair, NUM_BASE_IDS + len(merges)) for row in rows]
        merges.append(pair)
        chosen.append(counts[pair])
        lengths.append(length)
    return merges, chosen


def replace_pair(row: list[int], pair: Pair, new: int) -> list[int]:
    """Return ``row`` with ``pair`` replaced by ``new``, left to right, without overlap."""
    out: list[int] = []
    i = 0
    while i < len(row):
        if i + 1 < len(row) and (row[i], row[i + 1]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(row[i])
            i += 1
    return out


class Encoder:
    """Encodes bytes with a merge list; same methods as the compiled ``ecg_bpe.Encoder``.

    Args:
        merges: (M, 2) checked merges.
        mode: ``greedy`` (longest match from left to right, as ECG-Byte encodes; where two merges
            spell the same bytes, the later one) or ``bpe`` (merges in the order of training).
    """

    def __init__(self, merges: np.ndarray, mode: str) -> None:
        self._mode = mode
        self._words = expansions(merges)
        self._children, self._id_at = _build_trie(self._words)
        self._rank = {tuple(pair): k for k, pair in enumerate(merges.tolist())}

    def encode(self, data: bytes) -> np.ndarray:
        """Return the uint32 (S,) ids of one sequence."""
        if self._mode == "greedy":
            return np.array(self._encode_greedy(data), dtype=np.uint32)
        return np.array(join_by_rank(data, self._rank), dtype=np.uint32)

    def encode_batch(self, sequences: list[bytes], num_threads: int = 0) -> list[np.ndarray]:
        """Return the ids of every sequence; ``num_threads`` is for the compiled core only."""
        return [self.encode(sequence) for sequence in sequences]

    def encode_signals(
        self, values: np.ndarray, quantizer: Quantizer, num_threads: int = 0
    ) -> list[np.ndarray]:
        """Quantise and encode float (N, P) rows in mV."""
        return [self.encode(row.tobytes()) for row in quantizer.symbols(values)]

    def decode(self, ids: np.ndarray) -> bytes:
        """Return the bytes of ids (already checked)."""
        return b"".join(self._words[i] for i in ids.tolist())

    def _encode_greedy(self, data: bytes) -> list[int]:
        """From each position take the longest word that matches."""
        ids = []
        i = 0
        while i < len(data):
            best, end = data[i], i + 1
            node = 0
            for j in range(i, len(data)):
                node = self._children.get((node, data[j]), 0)
                if node == 0:
                    break
                if node in self._id_at:
                    best, end = self._id_at[node], j + 1
            ids.append(best)
            i = end
        return ids


def join_by_rank(data: bytes, rank: dict[Pair, int]) -> list[int]:
    """Join the earliest-trained pair, leftmost first, until none is left; return the ids."""
    ids: list[int] = list(data)
    before = list(range(-1, len(ids) - 1))
    after = list(range(1, len(ids) + 1))
    heap = [(rank[pair], i) for i, pair in enumerate(pairwise(ids)) if pair in rank]
    heapq.heapify(heap)
    while heap:
        k, i = heapq.heappop(heap)
        j = after[i]
        if j >= len(ids) or rank.get((ids[i], ids[j])) != k:
            continue
        ids[i], ids[j] = NUM_BASE_IDS + k, WALL
        after[i] = after[j]
        if after[j] < len(ids):
            before[after[j]] = i
        for left in (before[i], i):
            right = after[left] if left >= 0 else len(ids)
            if right < len(ids) and (ids[left], ids[right]) in rank:
                heapq.heappush(heap, (rank[ids[left], ids[right]], left))
    return [i for i in ids if i != WALL]


def _build_trie(words: list[bytes]) -> tuple[dict[tuple[int, int], int], dict[int, int]]:
    """Return (node, byte) -> child and node -> id; the root is 0, later words win."""
    children: dict[tuple[int, int], int] = {}
    id_at: dict[int, int] = {}
    for i, word in enumerate(words):
        node = 0
        for byte in word:
            node = children.setdefault((node, byte), len(children) + 1)
        id_at[node] = i
    return children, id_at
