"""Draws README's picture: one test recording of a quickstart, with questions and answers beneath.

    python docs/answered_ecg.py quickstart_out --out docs/answered_ecg.png

The recording is a seeded draw among the test recordings with three right and two wrong answers, or
as near to that as there are. The mixture says nothing about the accuracy.
"""

import argparse
import hashlib
import io
import sys
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.answers.exact_match import is_exact_match
from ecg_fairseq.evaluation.answers.predictions import Prediction, read_predictions
from ecg_fairseq.files import atomic_write
from ecg_fairseq.plot.ecg import plot_ecg
from ecg_fairseq.plot.paper import MM_PER_INCH, png_bytes, write_text
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.readers.any_format import read_record

DPI = 100.0
ROW_MM, LINE_MM, TEXT_MM = 5.6, 3.8, 2.7
# Title -> left edge in mm and letters that fit.
COLUMNS = {"Question": (6.0, 80), "Reference": (128.0, 42), "Answer": (196.0, 44)}
NUM_RIGHT, NUM_WRONG = 3, 2
NUM_COLOURS = 48


def draw(seed: int, text: str) -> str:
    """Return the place of ``text`` in a seeded order."""
    return hashlib.sha256(f"{seed}\t{text}".encode()).hexdigest()


def choose_questions(predictions: Sequence[Prediction], seed: int) -> list[Prediction]:
    """Return questions about one recording: right and wrong answers, question types in turn.

    Raises:
        EcgError: no recording was asked about alone.
    """
    by_record: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        if len(prediction.record_ids) == 1:
            by_record[prediction.record_ids[0]].append(prediction)
    if not by_record:
        raise EcgError("no question is about a single recording; give a quickstart's folder")
    chosen = min(by_record, key=lambda record: (-_num_shown(by_record[record]), draw(seed, record)))
    right = _varied([p for p in by_record[chosen] if _is_right(p)], NUM_RIGHT, seed)
    wrong = _varied([p for p in by_record[chosen] if not _is_right(p)], NUM_WRONG, seed)
    return [*right, *wrong]


def _num_shown(group: Sequence[Prediction]) -> int:
    """Return how many rows a recording fills."""
    right = sum(map(_is_right, group))
    return min(right, NUM_RIGHT) + min(len(group) - right, NUM_WRONG)


def _is_right(prediction: Prediction) -> bool:
    return is_exact_match(prediction.answer, prediction.reference)


def _varied(group: Sequence[Prediction], count: int, seed: int) -> list[Prediction]:
    """Return up to ``count`` of a group, in a seeded order, question types in turn."""
    pile = sorted(group, key=lambda p: draw(seed, p.id))
    chosen: list[Prediction] = []
    while pile and len(chosen) < count:
        shown = [p.question_type for p in chosen]
        best = min(pile, key=lambda p: shown.count(p.question_type))
        pile.remove(best)
        chosen.append(best)
    return chosen


def draw_table(questions: Sequence[Prediction], width_mm: float) -> bytes:
    """Return a PNG with a row for each question: question, reference, and answer with a mark."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [_wrapped(prediction) for prediction in questions]
    height_mm = ROW_MM * (len(rows) + 1.6) + LINE_MM * sum(_extra_lines(row) for row in rows)
    figure = Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, width_mm)
    axes.set_ylim(0.0, height_mm)
    top_mm = height_mm - ROW_MM
    for title, (x_mm, _) in COLUMNS.items():
        write_text(axes, x_mm, top_mm, title, bold=True)
    for row in rows:
        top_mm -= ROW_MM
        for cell, (x_mm, _) in zip(row, COLUMNS.values(), strict=True):
            for number, line in enumerate(cell):
                write_text(axes, x_mm, top_mm - LINE_MM * number, line, height_mm=TEXT_MM)
        top_mm -= LINE_MM * _extra_lines(row)
    return png_bytes(figure, dpi=DPI)


def _wrapped(prediction: Prediction) -> list[list[str]]:
    """Return the lines of a row's three cells."""
    mark = "✓" if _is_right(prediction) else "✗"
    texts = (prediction.question, prediction.reference, f"{mark} {prediction.answer or '(empty)'}")
    widths = (num_letters for _, num_letters in COLUMNS.values())
    return [textwrap.wrap(text, width) for text, width in zip(texts, widths, strict=True)]


def _extra_lines(row: list[list[str]]) -> int:
    return max(map(len, row)) - 1


def stack(pictures: Sequence[bytes]) -> bytes:
    """Return one PNG with the pictures below each other."""
    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    size = max(image.width for image in images), sum(image.height for image in images)
    whole = Image.new("RGB", size, "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    stream = io.BytesIO()
    palette = whole.quantize(NUM_COLOURS, dither=Image.Dither.NONE)
    palette.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def main() -> int:
    """Write the picture; return 0, or 1 after one sentence on what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, metavar="QUICKSTART_OUT", help="a quickstart's --out")
    parser.add_argument("--out", type=Path, required=True, help="picture to write (.png)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw (default 1)")
    arguments = parser.parse_args()
    try:
        questions = choose_questions(
            read_predictions(arguments.run / "predictions.jsonl"), arguments.seed
        )
        record_id = questions[0].record_ids[0]
        source = Manifest.load(arguments.run / "manifest").record_row(record_id).source
        record = read_record(arguments.run / "cohort" / source, record_id)
        figure = plot_ecg(record, layout="3x4")
        table = draw_table(questions, figure.get_size_inches()[0] * MM_PER_INCH)
        with atomic_write(arguments.out, "wb") as stream:
            stream.write(stack([png_bytes(figure, dpi=DPI), table]))
    except EcgError as error:
        print(f"answered_ecg: {error}", file=sys.stderr)
        return 1
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
