"""``report.html``: one self-contained page with figures, floors, curves and answered ECGs.

Images are embedded, charts are inline SVG, and a content policy in the page forbids every outside
resource. All text from data or models is escaped.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ecg_fairseq.evaluation.answers.exact_match import answer_set, is_exact_match
from ecg_fairseq.evaluation.answers.predictions import Candidate, Prediction
from ecg_fairseq.files import atomic_write
from ecg_fairseq.plot.ecg import plot_ecg
from ecg_fairseq.plot.paper import png_bytes
from ecg_fairseq.plot.report_sections import (
    curves_section,
    headline_section,
    provenance_section,
    reading_section,
    types_section,
    warning_boxes,
)
from ecg_fairseq.plot.report_style import embedded_png, html_page
from ecg_fairseq.records.record import EcgRecord

_IMAGE_DPI = 130.0


@dataclass(frozen=True)
class ReportExample:
    """One answered question with the recordings it is about."""

    question: str
    reference: str
    answer: str
    is_right: bool
    records: tuple[EcgRecord, ...]
    question_type: str = ""
    closed_set: tuple[Candidate, ...] = ()


def choose_examples(
    predictions: Sequence[Prediction],
    load_record: Callable[[str], EcgRecord],
    count: int = 6,
    seed: int = 0,
) -> list[ReportExample]:
    """Draw a handful of answers: right and wrong in turn, question types and recordings varied.

    Args:
        predictions: the scored answers.
        load_record: returns the recording of a record id, as drawn.
        count: how many at most.
        seed: of the draw, which does not depend on the order of ``predictions``.
    """
    drawn = sorted(predictions, key=lambda p: _shuffled(seed, p.id))
    piles = {
        verdict: [p for p in drawn if is_exact_match(p.answer, p.reference) == verdict]
        for verdict in (True, False)
    }
    chosen: list[Prediction] = []
    while len(chosen) < count and (piles[True] or piles[False]):
        verdict = len(chosen) % 2 == 0
        pile = piles[verdict] or piles[not verdict]
        best = min(pile, key=lambda prediction: _repetition(prediction, chosen))
        pile.remove(best)
        chosen.append(best)
    return [
        ReportExample(
            question=p.question,
            reference=p.reference,
            answer=p.answer,
            is_right=is_exact_match(p.answer, p.reference),
            records=tuple(load_record(record_id) for record_id in p.record_ids),
            question_type=p.question_type,
            closed_set=p.closed_set,
        )
        for p in chosen
    ]


def _shuffled(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}\t{text}".encode()).hexdigest()


def _repetition(prediction: Prediction, chosen: Sequence[Prediction]) -> tuple[int, int, int]:
    """Count what a further example would repeat: recordings, question types, templates."""
    return (
        sum(bool(set(prediction.record_ids) & set(other.record_ids)) for other in chosen),
        sum(prediction.question_type == other.question_type for other in chosen),
        sum(prediction.template_id == other.template_id for other in chosen),
    )


def write_report(
    path: Path | str,
    results: dict[str, Any],
    examples: Sequence[ReportExample],
    curves: Sequence[dict[str, Any]],
    notes: Sequence[str],
) -> None:
    """Write ``report.html``, atomically.

    Args:
        path: the file.
        results: figures of ``results.json`` (contract) and of ``scores.json``; absent ones are
            left out or marked as not measured. Also read: ``title``, ``command``, ``dataset``,
            ``versions``, ``data_sha256``, ``seed``, ``seconds``, ``peak_rss_mb``.
        examples: answered ECGs, see ``choose_examples``.
        curves: points of ``evaluation.training_log.read_curves``; may be empty.
        notes: sentences to show first, beside the warnings of the scores.
    """
    title = str(results.get("title", "ECG question answering"))
    warnings = [*notes, *results.get("warnings", [])]
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_subtitle(results))}</p>',
        warning_boxes(list(dict.fromkeys(warnings))),
        headline_section(results),
        types_section(results),
        curves_section(curves),
        _examples_section(examples),
        reading_section(results),
        provenance_section(results),
        "<footer>Made by ecg_fairseq. For research; not a medical device.</footer>",
    ]
    with atomic_write(path) as stream:
        stream.write(html_page(title, body))


def _subtitle(results: dict[str, Any]) -> str:
    parts = []
    if results.get("dataset"):
        parts.append(f"Data: {results['dataset']}")
    if results.get("n_test") is not None:
        parts.append(f"{results['n_test']} test questions")
    if results.get("n_patients") is not None:
        parts.append(f"{results['n_patients']} patients")
    if results.get("seed") is not None:
        parts.append(f"seed {results['seed']}")
    return " · ".join(parts)


def _examples_section(examples: Sequence[ReportExample]) -> str:
    if not examples:
        return ""
    num_right = sum(example.is_right for example in examples)
    images: dict[tuple[str, str], str] = {}
    blocks = []
    for example in examples:
        for record in example.records:
            key = record.record_id, record.source
            if key not in images:
                images[key] = _image(record)
        blocks.append(_example_block(example, images))
    return (
        "<section><h2>Test ECGs with question and answer</h2>"
        f'<p class="soft">A seeded draw, right and wrong answers in turn: {num_right} right, '
        f"{len(examples) - num_right} wrong. The mixture says nothing about the accuracy; the "
        "figures above do.</p></section>" + "".join(blocks)
    )


def _image(record: EcgRecord) -> str:
    png = png_bytes(plot_ecg(record, layout="3x4"), dpi=_IMAGE_DPI)
    return embedded_png(png, f"12-lead ECG {record.record_id} on ECG paper, 25 mm/s, 10 mm/mV")


def _example_block(example: ReportExample, images: dict[tuple[str, str], str]) -> str:
    verdict = "right" if example.is_right else "wrong"
    sign = "✓ right" if example.is_right else "✗ wrong"
    rows = [
        ("Question", escape(example.question), ""),
        ("Reference", escape(example.reference), ""),
        ("Model's answer", escape(example.answer) or "(empty)", "answer"),
    ]
    if not example.is_right:
        rows += [(name, escape(text), "") for name, text in _differences(example)]
    if example.closed_set:
        rows.append(("Offered answers", escape(_shares(example.closed_set)), ""))
    items = "".join(f'<dt>{name}</dt><dd class="{kind}">{text}</dd>' for name, text, kind in rows)
    pictures = "".join(
        f"<figure>{_caption(number, len(example.records))}"
        f"{images[record.record_id, record.source]}</figure>"
        for number, record in enumerate(example.records)
    )
    kind = escape(example.question_type)
    return (
        f'<article class="example"><span class="verdict {verdict}">{sign}</span> '
        f'<span class="soft">{kind}</span><dl>{items}</dl>{pictures}</article>'
    )


def _caption(number: int, total: int) -> str:
    """Number the ECGs of a question about several."""
    return f"<figcaption>ECG {number + 1} of {total}</figcaption>" if total > 1 else ""


def _differences(example: ReportExample) -> list[tuple[str, str]]:
    """Say which items of a set are missing or too many, where the answer got some right."""
    answer, reference = answer_set(example.answer), answer_set(example.reference)
    if not answer & reference:
        return []
    pairs = (("Missing", reference - answer), ("Too many", answer - reference))
    return [(name, "; ".join(sorted(items))) for name, items in pairs if items]


def _shares(candidates: Sequence[Candidate]) -> str:
    """Return the candidates with their probabilities relative to each other, likeliest first."""
    top = max(candidate.score for candidate in candidates)
    weights = [2.0 ** (candidate.score - top) for candidate in candidates]
    ranked = sorted(zip(weights, candidates, strict=True), key=lambda pair: -pair[0])
    return ", ".join(f"{c.text} {100 * w / sum(weights):.0f} %" for w, c in ranked)
