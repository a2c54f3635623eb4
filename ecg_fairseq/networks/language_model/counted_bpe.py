"""Byte-pair merges of words that are given with their counts.

The trainer of the tokenizers library takes every occurrence of a word one by one, which for a
million questions of a few thousand wordings takes longer than all else. This one takes counts; it
follows the library's rules to the letter, so that the vocabulary is the same (the tests compare).
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

Pair = tuple[int, int]


def train_merges(
    words: Mapping[str, int], first_tokens: Sequence[str], alphabet: Iterable[str], vocab_size: int
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return token -> id, and the merges in their order.

    Args:
        words: word -> how often it occurs.
        first_tokens: they have the first ids, and take no part in merges.
        alphabet: letters that have an id whether they occur or not.
        vocab_size: most ids.
    """
    tokens = list(first_tokens)
    letters = sorted({*alphabet, *(letter for word in words for letter in word)})
    tokens += [letter for letter in letters if letter not in first_tokens]
    ids = {token: number for number, token in enumerate(tokens)}
    table = _Words(words, ids)
    merges: list[tuple[str, str]] = []
    while len(ids) < vocab_size and (pair := table.most_frequent()) is not None:
        first, second = tokens[pair[0]], tokens[pair[1]]
        merged = ids.setdefault(first + second, len(tokens))
        if merged == len(tokens):
            tokens.append(first + second)
        merges.append((first, second))
        table.merge(merged)
    return ids, merges


class _Words:
    """The words, cut into tokens, and how often each pair of neighbours occurs."""

    def __init__(self, words: Mapping[str, int], ids: Mapping[str, int]) -> None:
        self._words = [[ids[letter] for letter in word] for word in words]
        self._counts = list(words.values())
        self._pairs: defaultdict[Pair, int] = defaultdict(int)
        # (minus the count, pair, serial number, words that hold the pair); counts may be outdated.
        self._queue: list[tuple[int, Pair, int, set[int]]] = []
        self._serial = 0
        self._top: tuple[Pair, set[int]] | None = None
        where: defaultdict[Pair, set[int]] = defaultdict(set)
        for number, word in enumerate(self._words):
            for pair in pairwise(word):
                self._pairs[pair] += self._counts[number]
                where[pair].add(number)
        self._enqueue(where)

    def _enqueue(self, where: Mapping[Pair, set[int]]) -> None:
        for pair, numbers in where.items():
            if self._pairs[pair] > 0:
                self._push(pair, numbers)

    def _push(self, pair: Pair, numbers: set[int]) -> None:
        heapq.heappush(self._queue, (-self._pairs[pair], pair, self._serial, numbers))
        self._serial += 1

    def most_frequent(self) -> Pair | None:
        """Return the pair that occurs most often, of equals the first by id; None at the end."""
        while self._queue:
            count, pair, _, numbers = heapq.heappop(self._queue)
            if -count != self._pairs[pair]:
                self._push(pair, numbers)
                continue
            if count == 0:
                return None
            self._top = pair, numbers
            return pair
        return None

    def merge(self, merged: int) -> None:
        """Write ``merged`` for the pair that :meth:`most_frequent` gave last.

        Only in the words that it was queued with: where it came up later, it is queued once more.
        """
        if self._top is None:
            return
        pair, numbers = self._top
        where: defaultdict[Pair, set[int]] = defaultdict(set)
        for number in numbers:
            count = self._counts[number]
            for neighbours, change in _merge_word(self._words[number], pair, merged):
                self._pairs[neighbours] += change * count
                if change > 0:
                    where[neighbours].add(number)
        self._enqueue(where)


def _merge_word(word: list[int], pair: Pair, merged: int) -> list[tuple[Pair, int]]:
    """Merge a pair in a word, from its start; return which neighbours came (1) and went (-1).

    The pair itself is not counted down: it does not come up again in these words.
    """
    changes: list[tuple[Pair, int]] = []
    place = 0
    while place < len(word) - 1:
        if (word[place], word[place + 1]) == pair:
            word[place : place + 2] = [merged]
            if place > 0:
                before = word[place - 1]
                changes += [((before, pair[0]), -1), ((before, merged), 1)]
            if place < len(word) - 1:
                behind = word[place + 1]
                changes += [((pair[1], behind), -1), ((merged, behind), 1)]
        place += 1
    return changes
