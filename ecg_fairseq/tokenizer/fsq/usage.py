"""What FSQ tokens do to the segments of a manifest: use of codes, levels, reconstruction error.

HeartLLM's own figure, the share of scalar levels that occur anywhere, is 1 at once and says nothing
(fact sheet heartllm.md, 1.6). Here an id counts as used when it occurs, perplexity is that of all
ids, and levels are counted dimension by dimension.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.provenance import check_tokenizer, provenance_of
from ecg_fairseq.tokenizer.fsq.tokens import FsqTokens

_ROWS_PER_BATCH = 64


@dataclass(frozen=True, eq=False)
class FsqCorpus:
    """Segments of one split of a manifest.

    Attributes:
        path: the manifest folder.
        split: of it.
        tokens: made for its recipe.
        limit: at most so many segments; None for all.
    """

    path: Path
    split: str
    tokens: FsqTokens
    limit: int | None = None

    @property
    def name(self) -> str:
        """How the corpus is called in tables and figures."""
        return self.path.resolve().name

    def manifest(self) -> Manifest:
        """Open the manifest.

        Raises:
            TokenizerError: it is no manifest folder.
            ManifestError: it is damaged, or of another recipe than the tokens.
        """
        if not self.path.is_dir():
            raise TokenizerError(
                f"{self.path} is no manifest folder; FSQ tokens are made of signals, not of text"
            )
        manifest = Manifest.load(self.path)
        check_tokenizer(self.tokens.recipe, None, provenance_of(self.path))
        return manifest

    def segments(self) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
        """Yield record id, segment (L, T) and its scaling (L, 2) where it is known."""
        manifest = self.manifest()
        taken = 0
        for row in manifest.split_records(self.split):
            for k in range(row.num_segments):
                if taken == self.limit:
                    return
                place = row.first_row + k
                taken += 1
                yield row.record_id, manifest.store.read(place), manifest.store.scaling(place)
        if taken == 0:
            raise TokenizerError(f"{self.path} has no usable record on split {self.split}")


@dataclass(frozen=True, eq=False)
class FsqUsage:
    """How one autoencoder encodes one corpus.

    Attributes:
        name: of the corpus.
        counts: int64 (V,), how often each id occurs.
        tokens_per_record: int64 (N,), summed over a record's segments.
        num_segments: segments encoded.
        level_counts: for each dimension int64 (levels,).
        errors: figures of :class:`_Errors`; None without a decoder.
    """

    name: str
    counts: np.ndarray
    tokens_per_record: np.ndarray
    num_segments: int
    level_counts: tuple[np.ndarray, ...]
    errors: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        used = int((self.counts > 0).sum())
        per_record = self.tokens_per_record
        return {
            "corpus": self.name,
            "num_records": len(per_record),
            "num_segments": self.num_segments,
            "num_tokens": int(self.counts.sum()),
            "tokens_per_record": {
                "mean": float(per_record.mean()),
                "median": float(np.median(per_record)),
                "max": int(per_record.max()),
            },
            "ids_possible": len(self.counts),
            "ids_used": used,
            "share_unused": 1 - used / len(self.counts),
            "code_perplexity": perplexity(self.counts),
            "level_shares": [(one / one.sum()).tolist() for one in self.level_counts],
            "reconstruction": self.errors,
        }


def perplexity(counts: np.ndarray) -> float:
    """Return exp of the entropy of counts (V,): the number of ids were all used equally often."""
    shares = counts[counts > 0] / counts.sum()
    return math.exp(float(-(shares * np.log(shares)).sum()))


def measure_usage(corpus: FsqCorpus) -> FsqUsage:
    """Encode and decode a corpus, and count."""
    tokens = corpus.tokens
    counts = np.zeros(tokens.num_ids, dtype=np.int64)
    per_record: dict[str, int] = {}
    errors = _Errors(tuple(strip.lead for strip in corpus.manifest().strips))
    num_segments = 0
    for record, segment, scaling, ids in encoded(corpus):
        counts += np.bincount(ids, minlength=len(counts))
        per_record[record] = per_record.get(record, 0) + len(ids)
        num_segments += 1
        if tokens.has_decoder:
            errors.add(segment, tokens.decode(ids), scaling)
    levels = tokens.levels_of(tokens.emitted_ids())
    level_counts = tuple(
        np.bincount(levels[:, place], weights=counts, minlength=number).astype(np.int64)
        for place, number in enumerate(tokens.levels)
    )
    per = np.array(list(per_record.values()), dtype=np.int64)
    return FsqUsage(corpus.name, counts, per, num_segments, level_counts, errors.to_dict())


def encoded(
    corpus: FsqCorpus,
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None, np.ndarray]]:
    """Yield record id, segment, scaling and ids of a corpus."""
    batch: list[tuple[str, np.ndarray, np.ndarray | None]] = []
    for item in corpus.segments():
        batch.append(item)
        if len(batch) == _ROWS_PER_BATCH:
            yield from _with_ids(corpus.tokens, batch)
            batch = []
    yield from _with_ids(corpus.tokens, batch)


def _with_ids(
    tokens: FsqTokens, batch: Sequence[tuple[str, np.ndarray, np.ndarray | None]]
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None, np.ndarray]]:
    if batch:
        ids = tokens.encode(np.stack([segment for _, segment, _ in batch]))
        for item, own in zip(batch, ids, strict=True):
            yield (*item, own)


class _Errors:
    """Sums the squared differences between segments and what was decoded of their ids."""

    def __init__(self, leads: Sequence[str]) -> None:
        self.leads = leads
        self._sd, self._mv = np.zeros(len(leads)), np.zeros(len(leads))
        self._count = self._count_mv = 0

    def add(self, segment: np.ndarray, decoded: np.ndarray, scaling: np.ndarray | None) -> None:
        """Add a segment (L, T), its decoded form, and its scaling (L, 2) where it is known."""
        squares = np.square(decoded.astype(np.float64) - segment).sum(axis=1)
        self._sd += squares
        self._count += segment.shape[1]
        if scaling is not None:
            self._mv += squares * np.square(scaling[:, 1].astype(np.float64))
            self._count_mv += segment.shape[1]

    def to_dict(self) -> dict[str, Any] | None:
        """Return root mean squares of all leads and by lead, in sd, and in mV where known."""
        if self._count == 0:
            return None
        found = _roots("sd", self._sd / self._count, self.leads)
        if self._count_mv:
            found |= _roots("mv", self._mv / self._count_mv, self.leads)
        return found


def _roots(unit: str, mean_squares: np.ndarray, leads: Sequence[str]) -> dict[str, Any]:
    by_lead = dict(zip(leads, np.sqrt(mean_squares).tolist(), strict=True))
    return {f"rmse_{unit}": math.sqrt(mean_squares.mean()), f"rmse_{unit}_by_lead": by_lead}


def usage_overlap(usages: Sequence[FsqUsage]) -> list[dict[str, Any]]:
    """Return how many used ids two corpora share (Jaccard index), for every two of them."""
    rows = []
    for one, two in combinations(usages, 2):
        used = (one.counts > 0), (two.counts > 0)
        shared, union = int((used[0] & used[1]).sum()), int((used[0] | used[1]).sum())
        jaccard = shared / union if union else None
        rows.append({"corpora": [one.name, two.name], "shared": shared, "jaccard": jaccard})
    return rows


def agreement(corpus: FsqCorpus, other: FsqTokens) -> dict[str, Any]:
    """Return how many ids of a corpus two autoencoders of the same levels give alike.

    Raises:
        TokenizerError: they differ in levels or in samples a token.
    """
    tokens = corpus.tokens
    if (tokens.levels, tokens.samples_per_token) != (other.levels, other.samples_per_token):
        raise TokenizerError(
            f"tokens of levels {tokens.levels} for {tokens.samples_per_token} samples each and of "
            f"levels {other.levels} for {other.samples_per_token} cannot be compared"
        )
    same = total = 0
    for _, segment, _, ids in encoded(corpus):
        (theirs,) = other.encode(segment[None])
        same += int((theirs == ids).sum())
        total += len(ids)
    return {"corpus": corpus.name, "num_tokens": total, "share_equal": same / total}
