"""Sections of report.html that hold figures: headline, table, curves, reading aid, provenance."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from ecg_fairseq.plot.charts import Bar, Series, bar_chart, line_chart

_TEXT_METRICS = (
    ("bleu_1", "BLEU-1"),
    ("bleu_2", "BLEU-2"),
    ("bleu_3", "BLEU-3"),
    ("bleu_4", "BLEU-4"),
    ("rouge_1", "ROUGE-1"),
    ("rouge_2", "ROUGE-2"),
    ("rouge_l", "ROUGE-L"),
    ("meteor", "METEOR"),
    ("bertscore_f1", "BERTScore F1"),
)
_FLOOR_CARDS = (("majority", "majority floor"), ("blind_corrected", "blind floor"))
_FLOOR_BARS = (
    ("majority_exact_match", "Majority floor"),
    ("majority_by_wording_exact_match", "… by wording"),
    ("blind_exact_match", "Blind floor"),
    ("blind_corrected_exact_match", "… corrected"),
)
# Columns of the table by question type, and their heads; the last is no floor.
_TYPE_COLUMNS = {
    "majority": "Majority",
    "majority_by_wording": "By wording",
    "blind": "Blind",
    "blind_corrected": "Corrected",
    "closed_set": "Closed set",
}
_READING = (
    (
        "Exact match",
        "share of questions whose generated text equals the reference: lower-cased, white space "
        "and a final full stop removed, lists compared as sets. No partial credit.",
    ),
    (
        "Majority floor",
        "always giving the most frequent answer of each question template, counted on the test "
        "questions themselves. A model that ignores the ECG and treats all questions of a template "
        "alike cannot do better. By wording: the most frequent answer of each wording in a "
        "template, where it is asked more than once. In both intervals the answers are counted "
        "anew in every draw of the patients.",
    ),
    (
        "Blind floor",
        "the same model and questions, but with another patient's ECG. What it still gets right "
        "comes from the wording and from how often each answer occurs. Only the distance above "
        "both floors is reading of ECGs. Where a template has few questions, another patient's ECG "
        "has the question's own answer less often than chance; the corrected floor takes an ECG "
        "from the whole template, the question's own patient too, and is the one to beat.",
    ),
    (
        "Closed set",
        "for questions with offered answers, the offered answer that the model finds most likely "
        "(lists: the options named in its text). Another measure; do not compare it with exact "
        "match.",
    ),
    (
        "Intervals",
        "95 % bootstrap intervals that draw patients, not questions. They do not cover the "
        "variation between training seeds. None is given where all questions are about one "
        "patient.",
    ),
    (
        "ECG paper",
        "one small square is 1 mm: 0.04 s across and 0.1 mV up; one large square is 5 mm: 0.2 s "
        "and 0.5 mV. The pulse at the left of each row is 1 mV high and 0.2 s wide. In 3x4 the "
        "four columns follow each other in time.",
    ),
)


def warning_boxes(notes: Sequence[str]) -> str:
    """Return one box per note."""
    return "".join(f'<div class="warning" role="note">{escape(note)}</div>' for note in notes)


def headline_section(results: dict[str, Any]) -> str:
    """Return the exact match against its floors, as cards and as bars."""
    intervals = results.get("intervals", {})
    exact = results.get("exact_match")
    cards = [_card("Exact match", _share(exact), _range(intervals.get("exact_match")), "main")]
    for floor, name in _FLOOR_CARDS:
        # Results of an earlier version have no corrected floor.
        key = floor if f"{floor}_exact_match" in results else floor.removesuffix("_corrected")
        value = results.get(f"{key}_exact_match")
        gain = "not measured" if value is None or exact is None else f"{exact - value:+.3f}"
        interval = _range(intervals.get(f"exact_match_minus_{key}"), signed=True)
        cards.append(_card(f"Above the {name}", gain, interval))
    closed = _range(intervals.get("closed_set_accuracy"))
    if results.get("n_closed_set"):
        closed = f"{closed} on {results['n_closed_set']} questions".strip()
    cards.append(_card("Closed-set accuracy", _share(results.get("closed_set_accuracy")), closed))
    bars = [Bar("Model", exact, _pair(intervals.get("exact_match")))]
    bars += [
        Bar(name, results.get(key), _pair(intervals.get(key)), "floor")
        for key, name in _FLOOR_BARS
        if key in results or key in ("majority_exact_match", "blind_exact_match")
    ]
    return (
        "<section><h2>Does the model read the ECG?</h2>"
        f'<div class="cards">{"".join(cards)}</div>{bar_chart(bars)}'
        f"{_text_metrics(results)}</section>"
    )


def _card(label: str, value: str, note: str, kind: str = "") -> str:
    return (
        f'<div class="card {kind}"><span class="soft">{escape(label)}</span>'
        f'<b>{escape(value)}</b><span class="soft">{escape(note)}</span></div>'
    )


def _text_metrics(results: dict[str, Any]) -> str:
    shown = [(name, results[key]) for key, name in _TEXT_METRICS if results.get(key) is not None]
    if not shown:
        return ""
    text = ", ".join(f"{name} {value:.3f}" for name, value in shown)
    if "meteor_uses_wordnet" in results:
        text += " (METEOR with" + ("" if results["meteor_uses_wordnet"] else "out") + " WordNet)"
    return (
        f'<p class="soft">Text overlap: {escape(text)}. On one-word answers ROUGE-2 is 0 and '
        "METEOR 0.5 even if the answer is right; exact match is the figure to read.</p>"
    )


def types_section(results: dict[str, Any]) -> str:
    """Return the table per question type."""
    table = results.get("per_question_type")
    if not table:
        return ""
    rows = []
    for name, row in table.items():
        exact = row.get("exact_match") or 0.0
        floor = max(row.get(key) or 0.0 for key in list(_TYPE_COLUMNS)[:-1])
        bar = f'<i style="width:{100 * exact:.1f}%"></i><u style="left:{99 * floor:.1f}%"></u>'
        kind, sign = (' class="below"', "▼ ") if exact <= floor else ("", "")
        figures = "".join(f"<td>{_share(row.get(key))}</td>" for key in _TYPE_COLUMNS)
        rows.append(
            f"<tr><td>{escape(name)}</td><td>{escape(str(row.get('n', '')))}</td>"
            f'<td class="bar"><span>{bar}</span></td>'
            f"<td{kind}>{sign}{_share(row.get('exact_match'))}</td>{figures}</tr>"
        )
    heads = ("Question type", "Questions", "", "Exact match", *_TYPE_COLUMNS.values())
    head = "".join(f"<th>{text}</th>" for text in heads)
    return (
        '<section><h2>By type of question</h2><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="soft">Bar: exact match. Line: the highest floor. ▼: not above it.</p></section>'
    )


def curves_section(points: Sequence[dict[str, Any]]) -> str:
    """Return loss and accuracy over updates."""
    charts = [line_chart(_series(points, "loss"), "Loss")]
    names = {key for point in points for key in point if key.endswith("accuracy")}
    # fairseq also logs the best value so far under best_<name>: the curve shows it already.
    for name in sorted(name for name in names if not name.startswith("best_")):
        charts.append(line_chart(_series(points, name), name.replace("_", " ").capitalize()))
    drawn = "".join(chart for chart in charts if chart)
    if not drawn:
        return ""
    return (
        f'<section><h2>Training</h2><div class="charts">{drawn}</div>'
        '<p class="soft">Validation patients are neither training nor test patients.</p></section>'
    )


def _series(points: Sequence[dict[str, Any]], name: str) -> list[Series]:
    parts = {point["part"] for point in points if name in point}
    train = "train_inner" if "train_inner" in parts else "train"
    return [
        Series(
            label,
            tuple((p["update"], p[name]) for p in points if p["part"] == part and name in p),
            kind,
        )
        for part, label, kind in ((train, "training", "train"), ("valid", "validation", "valid"))
        if part in parts
    ]


def reading_section(results: dict[str, Any]) -> str:
    """Return the explanations of all figures."""
    items = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in _READING
    )
    dropped = escape(str(results.get("blind_dropped") or ""))
    note = (
        f"<p>{dropped} questions have no blind answer: no other patient's ECG exists for their "
        "template.</p>"
        if dropped
        else ""
    )
    table = f'<table class="facts">{items}</table>'
    return f"<section><h2>How to read this page</h2>{table}{note}</section>"


def provenance_section(results: dict[str, Any]) -> str:
    """Return what made the figures: command, data, versions, time."""
    rows: list[tuple[str, str]] = []
    for key, name in (
        ("command", "Command"),
        ("dataset", "Data"),
        ("recipe", "Recipe"),
        ("data_sha256", "Data hash (SHA-256)"),
        ("prepared_sha256", "Hash of the prepared segments"),
        ("split_hash", "Split hash"),
        ("seed", "Seed"),
        ("hardware", "Hardware"),
    ):
        if results.get(key) is not None:
            rows.append((name, f"<code>{escape(_plain(results[key]))}</code>"))
    if results.get("seconds"):
        stages = ", ".join(f"{name} {value:.0f} s" for name, value in results["seconds"].items())
        rows.append(("Time", escape(stages)))
    if results.get("peak_rss_mb") is not None:
        rows.append(("Peak memory", f"{results['peak_rss_mb']:.0f} MB, summed over all processes"))
    if results.get("versions"):
        versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items())
        rows.append(("Versions", escape(versions)))
    if not rows:
        return ""
    cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f'<section><h2>Where it comes from</h2><table class="facts">{cells}</table></section>'


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _pair(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (interval[0], interval[1])


def _range(interval: Sequence[float] | None, signed: bool = False) -> str:
    if interval is None:
        return ""
    form = "+.3f" if signed else ".3f"
    return f"95 % interval {interval[0]:{form}} to {interval[1]:{form}}"
