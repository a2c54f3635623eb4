"""What a tokenizer does to data: token usage, compression, reconstruction error, overlap.

The figures that ECG-Byte publishes (fact sheet, section 5) as numbers; ``figures`` draws them.
Encoding loses nothing, so reconstruction error comes from the quantiser alone; it is measured at
every number of merges all the same, through encode and decode.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.tokenizer.merges import NUM_BASE_IDS
from ecg_fairseq.tokenizer.tokenizer import EcgTokenizer
from ecg_fairseq.tokenizer.training_text import file_text

_ROWS_PER_BATCH = 256
_CURVE_ROWS = 200


@dataclass(frozen=True)
class Batch:
    """Some rows of a corpus.

    Attributes:
        symbols: the quantised rows, or lines of text.
        values: float (N, P) mV, or None for text.
        records: the record of each row.
    """

    symbols: list[bytes]
    values: np.ndarray | None
    records: list[str]


@dataclass(frozen=True)
class Corpus:
    """A manifest's side, or a text file, read in batches with the tokenizer's own quantiser."""

    path: Path
    split: str
    tokenizer: EcgTokenizer
    limit: int | None = None

    @property
    def name(self) -> str:
        """How the corpus is called in tables and figures."""
        return self.path.resolve().name

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in file order, at most ``limit`` of them."""
        rows = self._segments() if self.path.is_dir() else self._lines()
        taken = 0
        for batch in rows:
            left = len(batch.symbols) if self.limit is None else self.limit - taken
            if left <= 0:
                return
            taken += len(batch.symbols)
            yield batch if left >= len(batch.symbols) else _first_rows(batch, left)

    def _segments(self) -> Iterator[Batch]:
        from ecg_fairseq.records.manifest.folder import Manifest

        manifest = Manifest.load(self.path)
        quantizer = self.tokenizer.quantizer
        if quantizer is None:
            raise TokenizerError("a tokenizer without quantiser cannot read a manifest")
        rows = [
            (row.record_id, k)
            for row in manifest.split_records(self.split)
            for k in range(row.num_segments)
        ]
        if not rows:
            raise TokenizerError(f"{self.path} has no usable record on its {self.split} side")
        for start in range(0, len(rows), _ROWS_PER_BATCH):
            part = rows[start : start + _ROWS_PER_BATCH]
            values = np.stack([manifest.segment(*row).reshape(-1) for row in part])
            symbols = [row.tobytes() for row in quantizer.symbols(values)]
            yield Batch(symbols, values, [record_id for record_id, _ in part])

    def _lines(self) -> Iterator[Batch]:
        text = file_text(self.path, "record", None, 0)
        symbols: list[bytes] = []
        first = 0
        for piece, _ in text.pieces():
            symbols.append(piece.tobytes())
            if len(symbols) == _ROWS_PER_BATCH:
                yield Batch(symbols, None, _line_names(first, len(symbols)))
                first += len(symbols)
                symbols = []
        if symbols:
            yield Batch(symbols, None, _line_names(first, len(symbols)))


def _line_names(first: int, count: int) -> list[str]:
    return [f"line {number}" for number in range(first + 1, first + count + 1)]


def _first_rows(batch: Batch, count: int) -> Batch:
    values = None if batch.values is None else batch.values[:count]
    return Batch(batch.symbols[:count], values, batch.records[:count])


@dataclass(frozen=True)
class Usage:
    """How one tokenizer encodes one corpus.

    Attributes:
        counts: int64 (256 + M,), how often each id occurs.
        tokens_per_record: int64 (N,), summed over a record's segments.
        num_symbols: symbols encoded.
        error: mean and largest absolute difference in mV and share of clipped values, or None.
    """

    name: str
    counts: np.ndarray
    tokens_per_record: np.ndarray
    num_symbols: int
    error: dict[str, float] | None

    def to_dict(self, tokenizer: EcgTokenizer) -> dict[str, Any]:
        """Return the figures as JSON types."""
        emitted = tokenizer.emitted_ids()
        used = int((self.counts[emitted] > 0).sum())
        tokens = int(self.counts.sum())
        per_record = self.tokens_per_record
        return {
            "corpus": self.name,
            "num_records": len(per_record),
            "num_symbols": self.num_symbols,
            "num_tokens": tokens,
            "symbols_per_token": self.num_symbols / tokens if tokens else None,
            "tokens_per_record": {
                "mean": float(per_record.mean()),
                "p5": float(np.percentile(per_record, 5)),
                "median": float(np.median(per_record)),
                "p95": float(np.percentile(per_record, 95)),
                "max": int(per_record.max()),
            },
            "ids_possible": len(emitted),
            "ids_used": used,
            "share_unused": 1 - used / len(emitted),
            "reconstruction": self.error,
        }


def measure_usage(corpus: Corpus) -> Usage:
    """Encode a whole corpus and count."""
    tokenizer = corpus.tokenizer
    counts = np.zeros(tokenizer.num_ids, dtype=np.int64)
    per_record: dict[str, int] = {}
    num_symbols = 0
    errors = _ErrorSum()
    for batch in corpus.batches():
        for record, ids in zip(batch.records, tokenizer.encode_batch(batch.symbols), strict=True):
            counts += np.bincount(ids, minlength=len(counts))
            per_record[record] = per_record.get(record, 0) + len(ids)
        num_symbols += sum(map(len, batch.symbols))
        if batch.values is not None:
            errors.add(tokenizer, batch)
    tokens = np.array(list(per_record.values()), dtype=np.int64)
    return Usage(corpus.name, counts, tokens, num_symbols, errors.to_dict())


class _ErrorSum:
    """Sums the differences between signals and their quantised forms."""

    def __init__(self) -> None:
        self._sum = self._largest = self._inside = 0.0
        self._clipped = self._count = 0

    def add(self, tokenizer: EcgTokenizer, batch: Batch) -> None:
        quantizer = tokenizer.quantizer
        if quantizer is None or batch.values is None:
            return
        decoded = quantizer.values(b"".join(batch.symbols)).reshape(batch.values.shape)
        difference = np.abs(decoded - batch.values)
        clipped = (batch.values < quantizer.low) | (batch.values > quantizer.high)
        self._sum += float(difference.sum())
        self._largest = max(self._largest, float(difference.max()))
        self._inside = max(self._inside, float(difference[~clipped].max(initial=0.0)))
        self._clipped += int(clipped.sum())
        self._count += difference.size

    def to_dict(self) -> dict[str, float] | None:
        if self._count == 0:
            return None
        return {
            "mean_abs_mv": self._sum / self._count,
            "max_abs_mv": self._largest,
            "max_abs_unclipped_mv": self._inside,
            "share_clipped": self._clipped / self._count,
        }


def merge_curve(corpus: Corpus, points: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Return compression and reconstruction error with the first n merges, for several n.

    Args:
        corpus: its first 200 rows are used.
        points: numbers of merges; by default about two per octave.
    """
    tokenizer = corpus.tokenizer
    batch = next(Corpus(corpus.path, corpus.split, tokenizer, _CURVE_ROWS).batches())
    num_symbols = sum(map(len, batch.symbols))
    curve = []
    for num_merges in curve_points(tokenizer.num_merges) if points is None else points:
        prefix = tokenizer.first(num_merges)
        ids = prefix.encode_batch(batch.symbols)
        row: dict[str, Any] = {
            "num_merges": num_merges,
            "symbols_per_token": num_symbols / max(sum(map(len, ids)), 1),
        }
        if batch.values is not None:
            decoded = np.stack([prefix.decode_signal(one) for one in ids])
            row["mean_abs_mv"] = float(np.abs(decoded - batch.values).mean())
        curve.append(row)
    return curve


def curve_points(num_merges: int) -> list[int]:
    """Return 0, then two numbers per octave up to ``num_merges``."""
    steps = {round(2 ** (k / 2)) for k in range(64) if 2 ** (k / 2) < num_merges}
    return sorted({0, num_merges} | steps)


def usage_overlap(usages: Sequence[Usage]) -> list[dict[str, Any]]:
    """Return how many used merges two corpora share (Jaccard index), for every two of them."""
    rows = []
    for one, two in combinations(usages, 2):
        used = [set(np.flatnonzero(usage.counts[NUM_BASE_IDS:])) for usage in (one, two)]
        rows.append({"corpora": [one.name, two.name], **_jaccard(*used)})
    return rows


def vocabulary_overlap(
    one: EcgTokenizer, two: EcgTokenizer, points: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Return how many tokens two tokenizers share by spelling, for their first n merges."""
    shorter = min(one.num_merges, two.num_merges)
    words = [tokenizer.expansions()[NUM_BASE_IDS:] for tokenizer in (one, two)]
    return [
        {"num_merges": n, **_jaccard(set(words[0][:n]), set(words[1][:n]))}
        for n in (curve_points(shorter) if points is None else points)
        if n > 0
    ]


def _jaccard(one: set, two: set) -> dict[str, Any]:
    union = len(one | two)
    return {"shared": len(one & two), "jaccard": len(one & two) / union if union else None}
