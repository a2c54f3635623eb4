"""``ecg-fairseq inspect --html``: what manifests hold, on one self-contained page.

Counts, skip reasons, rates, durations and leads, label prevalence, the leakage check, and a contact
sheet of segments as a model receives them. All text from data is escaped.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.files import atomic_write
from ecg_fairseq.plot.paper import STANDARD_SCALE, Scale, png_bytes
from ecg_fairseq.plot.report_style import embedded_png, html_page
from ecg_fairseq.plot.strips import plot_strips
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.record_row import SPLITS, RecordRow

SHEET_SIZE = 12
_LABELS_SHOWN = 25
_REASONS_SHOWN = 10
_DPI = 80.0
_TALL_MV = 4.0
_FLAT = 1e-9
_MOST_REPORT = 160
_LABELS_IN_CAPTION = 8
_KINDS_OPEN = 3
_TABLE_END = "</table></div>"
_SPACE = '<div style="height:22px"></div>'


def write_manifest_page(
    path: Path | str,
    manifests: Sequence[Manifest],
    summaries: Sequence[Mapping[str, Any]],
    leaks: Sequence[str],
    has_signals: bool = True,
    sheet_size: int = SHEET_SIZE,
) -> None:
    """Write the page, atomically.

    Args:
        path: the file.
        manifests: what to show, one part of the page each.
        summaries: for each manifest the object that ``inspect --json`` prints, with ``labels``.
        leaks: the sentences of the leakage check over all of them.
        has_signals: whether that check compared signals.
        sheet_size: how many ECGs to draw of each manifest.
    """
    names = ", ".join(str(summary["dataset"]) for summary in summaries)
    parts = [
        f"<h1>Manifest: {escape(names)}</h1>",
        f'<p class="soft">{escape("; ".join(str(manifest.path) for manifest in manifests))}</p>',
        _leakage_section(manifests, leaks, has_signals),
    ]
    for manifest, summary in zip(manifests, summaries, strict=True):
        if len(manifests) > 1:
            parts.append(f"<h1>{escape(str(manifest.path))}</h1>")
        parts += [
            _counts_section(manifest, summary),
            _recordings_section(manifest),
            _skipped_section(manifest),
            _sheet_section(manifest, sheet_size),
            _labels_section(summary),
        ]
    parts.append("<footer>Made by ecg_fairseq. For research; not a medical device.</footer>")
    with atomic_write(path) as stream:
        stream.write(html_page(f"Manifest: {names}", parts))


def _section(title: str, body: str, note: str = "") -> str:
    soft = f'<p class="soft">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{soft}{body}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "") -> str:
    """Return a table; cells that are ``_Html`` are taken as they are, all others escaped."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="{kind}"><tr>{cells}</tr>{lines}{_TABLE_END}'


class _Html(str):
    """A whole cell that is HTML already."""


def _cell(value: object) -> str:
    if isinstance(value, _Html):
        return value
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return f"<td>{escape(text)}</td>"


def _leakage_section(manifests: Sequence[Manifest], leaks: Sequence[str], has_signals: bool) -> str:
    checked = "patients, segment lists, questions, split hash" + (
        ", identical signals" if has_signals else "; signals were not compared"
    )
    scope = "within the manifest" if len(manifests) == 1 else f"across {len(manifests)} manifests"
    if not leaks:
        body = '<p><span class="verdict right">✓ nothing found</span></p>'
    else:
        items = "".join(f'<div class="warning" role="note">{escape(leak)}</div>' for leak in leaks)
        body = f'<p><span class="verdict wrong">✗ {len(leaks)} found</span></p>{items}'
    return _section("Leakage between the sides", body, f"Checked {scope}: {checked}.")


def _counts_section(manifest: Manifest, summary: Mapping[str, Any]) -> str:
    cards = "".join(
        f'<div class="card"><span class="soft">{escape(what.capitalize())}</span>'
        f"<b>{sum(summary[what].values()):,}</b></div>"
        for what in ("records", "patients", "segments", "questions")
    )
    rows = [
        [what, *(summary[what][split] for split in SPLITS), sum(summary[what].values())]
        for what in ("records", "patients", "segments", "questions")
    ]
    statistics = summary["statistics"]
    facts = [
        ("Recipe", summary["recipe"]),
        ("Split", f"{summary['split_rule']}, seed {manifest.meta['split'].get('seed')}"),
        ("Split hash", summary["split_hash"]),
        ("Data hash", manifest.meta.get("data_sha256", "")),
        (
            "Percentiles (training side)",
            f"1 %: {statistics.get('percentile_1')} mV, 99 %: {statistics.get('percentile_99')} mV",
        ),
        ("Store", f"{manifest.store.dtype}, {len(manifest.store.shards)} shards"),
    ]
    about = "".join(
        f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in facts
    )
    return _section(
        "Counts",
        f'<div class="cards">{cards}</div>'
        + _table(["", *SPLITS, "all"], rows)
        + _SPACE
        + f'<div class="scroll"><table class="facts">{about}{_TABLE_END}',
    )


def _recordings_section(manifest: Manifest) -> str:
    """Return rates and prepared lengths per split, and the leads."""
    length_s = _segment_seconds(manifest)
    found: Counter[tuple[float, int, str]] = Counter()
    for split in SPLITS:
        for row in manifest.split_records(split):
            found[row.fs_hz, row.num_segments, split] += 1
    kinds = sorted({(fs_hz, count) for fs_hz, count, _ in found})
    rows = [
        [
            f"{fs_hz:g} Hz",
            f"{count} x {length_s:g} s",
            *(found[fs_hz, count, split] for split in SPLITS),
            sum(found[fs_hz, count, split] for split in SPLITS),
        ]
        for fs_hz, count in kinds
    ]
    forms: dict[tuple[str, int, float], list[str]] = {}
    for strip in manifest.strips:
        form = strip.kind.replace("_", " "), strip.num_samples, strip.fs_hz
        forms.setdefault(form, []).append(strip.lead)
    strips = [
        [", ".join(leads), kind, samples, f"{fs_hz:g} Hz", f"{samples / fs_hz:g} s"]
        for (kind, samples, fs_hz), leads in forms.items()
    ]
    return _section(
        "Rates, durations and leads",
        _table(["recorded at", "prepared", *SPLITS, "all"], rows)
        + _SPACE
        + _table(["leads of a segment, in order", "kind", "samples", "rate", "duration"], strips),
        "Rate of the recordings, length of the prepared segments; a segment has "
        f"the shape {manifest.shape}.",
    )


def _segment_seconds(manifest: Manifest) -> float:
    return max(strip.num_samples / strip.fs_hz for strip in manifest.strips)


def _skipped_section(manifest: Manifest) -> str:
    skipped = [row for row in manifest.records.values() if not row.is_ok]
    if not skipped:
        return ""
    reasons = Counter(row.reason for row in skipped)
    example = {row.reason: row.record_id for row in reversed(skipped)}
    rows: list[list[object]] = [
        [reason, example[reason], count] for reason, count in reasons.most_common(_REASONS_SHOWN)
    ]
    more = len(reasons) - len(rows)
    note = f"{len(skipped):,} records; all are listed in skipped.tsv" + (
        f", with {more:,} further reasons." if more > 0 else "."
    )
    body = _table(["reason", "first record", "records"], rows)
    return _section("Left out", body.replace('class=""', 'class="facts"'), note)


def _labels_section(summary: Mapping[str, Any]) -> str:
    """Return the prevalence of all labels, the kinds with most records unfolded."""
    kinds = sorted(
        summary["labels"].items(),
        key=lambda item: -sum(sum(found.values()) for found in item[1].values()),
    )
    if not kinds:
        return ""
    blocks = [
        f"<details{' open' if number < _KINDS_OPEN else ''}><summary><b>{escape(kind)}</b> "
        f'<span class="soft">{len(labels)} labels</span></summary>'
        f"{_label_table(labels, summary['records'])}</details>"
        for number, (kind, labels) in enumerate(kinds)
    ]
    note = "Records with the label, in brackets the share of the side's records; the bar is the "
    note += f"share of all. At most {_LABELS_SHOWN} labels of a kind; inspect --json has all."
    return _section("Label prevalence", _SPACE.join(blocks), note)


def _label_table(labels: Mapping[str, Mapping[str, int]], totals: Mapping[str, int]) -> str:
    num_records = max(1, sum(totals.values()))
    rows = [
        [
            label,
            *(_share(found[split], totals[split]) for split in SPLITS),
            sum(found.values()),
            _bar(sum(found.values()) / num_records),
        ]
        for label, found in list(labels.items())[:_LABELS_SHOWN]
    ]
    return _table(["label", *SPLITS, "all", "share"], rows)


def _bar(share: float) -> _Html:
    return _Html(f'<td class="bar"><span><i style="width:{100 * share:.1f}%"></i></span></td>')


def _share(count: int, total: int) -> str:
    return f"{count:,} ({100 * count / total:.1f} %)" if total else "–"


def _sheet_section(manifest: Manifest, size: int) -> str:
    chosen = choose_rows(manifest, size)
    if not chosen:
        return ""
    figures = "".join(_figure(manifest, row) for row in chosen)
    return _section(
        "Contact sheet",
        figures,
        "A seeded draw over all sides: the first segment of each recording as a model receives it, "
        "on ECG paper (a small square is 0.04 s and, at 10 mm/mV, 0.1 mV).",
    ).replace("<section>", '<section class="example">')


def choose_rows(manifest: Manifest, size: int, seed: int = 0) -> list[RecordRow]:
    """Draw usable records, splits in turn; the draw does not depend on their order."""

    def rank(row: RecordRow) -> str:
        return hashlib.sha256(f"{seed}\t{row.record_id}".encode()).hexdigest()

    piles = [sorted(manifest.split_records(split), key=rank) for split in SPLITS]
    chosen: list[RecordRow] = []
    for depth in range(max(map(len, piles))):
        chosen += [pile[depth] for pile in piles if depth < len(pile)]
        if len(chosen) >= size:
            break
    return chosen[:size]


def _figure(manifest: Manifest, row: RecordRow) -> str:
    values = manifest.segment(row.record_id)
    figure = plot_strips(
        values,
        manifest.strips,
        scale=_scale_for(values),
        title=f"{row.record_id}   {row.split}",
    )
    names = _label_names(row.labels)
    about = f"patient {row.patient_id}" + (f" · {', '.join(names)}" if names else "")
    report = row.report[:_MOST_REPORT] + ("…" if len(row.report) > _MOST_REPORT else "")
    text = " · ".join(part for part in (about, report) if part)
    picture = embedded_png(png_bytes(figure, dpi=_DPI), f"ECG {row.record_id}, {row.split}")
    return f'<figure>{picture}<p class="soft">{escape(text)}</p></figure>'


def _label_names(labels: Mapping[str, Any]) -> list[str]:
    """Return the kind of labels with most entries, as far as a caption has room."""
    kinds = [list(value) for value in labels.values() if isinstance(value, list | dict)]
    return [str(name) for name in max(kinds, key=len, default=[])[:_LABELS_IN_CAPTION]]


def _scale_for(values: np.ndarray) -> Scale:
    """Return a gain at which tall segments (or standardised ones) stay on the paper."""
    reach = float(np.nanmax(np.abs(values), initial=_FLAT))
    gain = STANDARD_SCALE.gain_mm_mv
    while reach > _TALL_MV * STANDARD_SCALE.gain_mm_mv / gain and gain > 0.1:
        gain /= 2
    return Scale(STANDARD_SCALE.speed_mm_s, gain)
