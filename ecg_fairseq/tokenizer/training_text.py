"""Where training symbols come from: lines of a text file, or segments of a manifest's train side.

A text is a size that is known beforehand and a function that yields its pieces, so that memory can
be checked first and nothing is held twice.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.files import sha256_of_file
from ecg_fairseq.tokenizer.quantizer import Quantizer

if TYPE_CHECKING:
    from ecg_fairseq.records.manifest.folder import Manifest
    from ecg_fairseq.records.record_row import RecordRow

BOUNDARIES = ("none", "record", "lead")
MARGIN_MV = 0.5  # added on both sides of the percentiles (ECG-Byte fact sheet, section 1.6)
Piece = tuple[np.ndarray, bool]


@dataclass(frozen=True)
class TrainingText:
    """Symbols to train on.

    Attributes:
        pieces: yields (uint8 symbols, whether a sequence ends behind them).
        num_symbols: of all pieces together.
        num_sequences: an upper bound of the number of pieces that end a sequence.
        origin: JSON figures that identify the text: the same figures mean the same pieces.
        quantiser: how the symbols were made, or None for text.
        recipe: ``{"name", "hash"}`` of the manifest, or None.
        split_hash: of the manifest, or None.
    """

    pieces: Callable[[], Iterator[Piece]]
    num_symbols: int
    num_sequences: int
    origin: dict[str, Any]
    quantizer: Quantizer | None = None
    recipe: dict[str, str] | None = None
    split_hash: str | None = None


def open_text(
    path: Path | str, boundary: str | None, sample: int | None, seed: int
) -> TrainingText:
    """Return the training text of a manifest folder or a text file.

    Args:
        path: a folder with ``meta.json``, or a file with one sequence per line.
        boundary: what no merge may cross: ``none``, ``record`` (segment or line; the default), or
            ``lead`` (strip of a manifest's layout).
        sample: use at most this many records or lines, drawn with ``seed``; None uses all.
        seed: of the sample.

    Raises:
        TokenizerError: nothing there to train on, or a boundary that the input does not have.
    """
    path = Path(path)
    if sample is not None and sample < 1:
        raise TokenizerError(f"--sample must be at least 1, got {sample}")
    boundary = "record" if boundary is None else boundary
    if boundary not in BOUNDARIES:
        raise TokenizerError(f"boundary must be one of {BOUNDARIES}, got {boundary!r}")
    if path.is_dir():
        from ecg_fairseq.records.manifest.folder import Manifest

        return manifest_text(Manifest.load(path), boundary, sample, seed)
    if not path.is_file():
        raise TokenizerError(f"no such file or manifest folder: {path}")
    if boundary == "lead":
        raise TokenizerError(
            f"{path} is a text file, which has no leads; use --boundary record or none"
        )
    return file_text(path, boundary, sample, seed)


def text_of(sequences: Sequence[bytes], boundary: str = "record") -> TrainingText:
    """Return the training text of sequences in memory."""

    def pieces() -> Iterator[Piece]:
        for sequence in sequences:
            yield np.frombuffer(sequence, dtype=np.uint8), boundary != "none"

    return TrainingText(
        pieces, sum(map(len, sequences)), len(sequences), {"boundary": boundary, "sample": None}
    )


def file_text(path: Path, boundary: str, sample: int | None, seed: int) -> TrainingText:
    """Return the training text of a file of lines; empty lines do not count."""
    if path.stat().st_size == 0:
        raise TokenizerError(f"{path} is empty; expected one sequence per line")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    starts, ends = _lines(data)
    num_lines = len(starts)
    if num_lines == 0:
        raise TokenizerError(f"{path} holds only empty lines; expected one sequence per line")
    if sample is not None and sample < num_lines:
        kept = np.sort(_reservoir(num_lines, sample, seed))
        starts, ends = starts[kept], ends[kept]

    def pieces() -> Iterator[Piece]:
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield np.asarray(data[start:end]), boundary != "none"

    origin = {
        "data_sha256": sha256_of_file(path),
        "boundary": boundary,
        "sample": _sample_figures(sample, len(starts), num_lines, seed),
    }
    return TrainingText(pieces, int((ends - starts).sum()), len(starts), origin)


def _lines(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and end of every non-empty line, without ``\\n`` or ``\\r\\n``."""
    block = 1 << 24
    breaks = [
        np.flatnonzero(data[start : start + block] == 10) + start
        for start in range(0, len(data), block)
    ]
    ends = np.concatenate([*breaks, [len(data)]]).astype(np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    has_return = (ends > starts) & (data[np.maximum(ends - 1, 0)] == 13)
    ends = ends - has_return
    kept = ends > starts
    return starts[kept], ends[kept]


def _reservoir(num_items: int, size: int, seed: int) -> np.ndarray:
    """Return ``size`` of ``num_items`` indices, uniformly, in one pass (algorithm R)."""
    generator = random.Random(seed)
    kept = list(range(size))
    for i in range(size, num_items):
        j = generator.randrange(i + 1)
        if j < size:
            kept[j] = i
    return np.array(kept, dtype=np.int64)


def _sample_figures(wanted: int | None, used: int, present: int, seed: int) -> dict | None:
    if wanted is None:
        return None
    return {"wanted": wanted, "used": used, "of": present, "fraction": used / present, "seed": seed}


def manifest_text(
    manifest: "Manifest",
    boundary: str,
    sample: int | None,
    seed: int,
    record_ids: Sequence[str] | None = None,
) -> TrainingText:
    """Return the training text of a manifest's training side.

    Args:
        manifest: opened manifest.
        boundary: ``none``, ``record`` (a wall behind every segment, the unit that is encoded), or
            ``lead`` (a wall behind every strip of the layout).
        sample: use at most this many records, spread over as many patients as possible.
        seed: of the sample.
        record_ids: the records to use instead of a sample by patient (see ``sampling``).
    """
    rows = list(manifest.split_records("train"))
    if not rows:
        raise TokenizerError(f"{manifest.path} has no usable training record; check its split")
    chosen = rows
    if record_ids is not None:
        wanted = set(record_ids)
        chosen = [row for row in rows if row.record_id in wanted]
    elif sample is not None:
        chosen = sample_by_patient(rows, sample, seed)
    quantizer = quantizer_of(manifest.meta)
    sizes = [strip.num_samples for strip in manifest.strips]
    cuts = np.cumsum(sizes)[:-1] if boundary == "lead" else np.zeros(0, dtype=np.int64)

    def pieces() -> Iterator[Piece]:
        for row in chosen:
            for k in range(row.num_segments):
                symbols = quantizer.symbols(manifest.segment(row.record_id, k)).reshape(-1)
                for part in np.split(symbols, cuts):
                    yield part, boundary != "none"

    num_segments = sum(row.num_segments for row in chosen)
    origin = {
        "data_sha256": manifest.meta.get("data_sha256"),
        "boundary": boundary,
        "sample": _sample_figures(sample, len(chosen), len(rows), seed),
    }
    recipe = manifest.meta["recipe"]
    return TrainingText(
        pieces,
        num_segments * sum(sizes),
        num_segments * (len(cuts) + 1),
        origin,
        quantizer,
        {"name": str(recipe.get("name")), "hash": str(recipe.get("hash"))},
        manifest.split_hash,
    )


def quantizer_of(meta: dict[str, Any]) -> Quantizer:
    """Return the quantiser of a manifest: its training percentiles, widened by 0.5 mV each.

    Raises:
        TokenizerError: the percentiles are missing.
    """
    statistics = meta["statistics"]
    try:
        low, high = float(statistics["percentile_1"]), float(statistics["percentile_99"])
    except (KeyError, TypeError, ValueError) as error:
        raise TokenizerError(
            "the manifest has no percentile_1 and percentile_99; make it anew"
        ) from error
    return Quantizer(low - MARGIN_MV, high + MARGIN_MV)


def sample_by_patient(rows: "Sequence[RecordRow]", size: int, seed: int) -> "list[RecordRow]":
    """Return ``size`` records in file order: rounds over the shuffled patients, one record each."""
    by_patient: defaultdict[str, list[RecordRow]] = defaultdict(list)
    for row in rows:
        by_patient[row.patient_id].append(row)
    generator = random.Random(seed)
    patients = sorted(by_patient)
    generator.shuffle(patients)
    for patient in patients:
        generator.shuffle(by_patient[patient])
    kept: set[str] = set()
    while len(kept) < min(size, len(rows)):
        for patient in patients:
            if by_patient[patient] and len(kept) < size:
                kept.add(by_patient[patient].pop().record_id)
    return [row for row in rows if row.record_id in kept]


def with_origin(text: TrainingText, **figures: Any) -> TrainingText:
    """Return ``text`` with more figures in its origin."""
    return replace(text, origin={**text.origin, **figures})
