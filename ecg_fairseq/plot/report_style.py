"""The frame and style sheet of all HTML pages; system fonts, no scripts, prints well."""

import base64
from collections.abc import Iterable
from html import escape

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5b6676; --line: #e2e6ec; --card: #ffffff;
  --back: #f5f6f8; --model: #1f5fae; --floor: #a9b2bf; --good: #1b7a43; --bad: #b3261e;
  --warn: #8a5a00; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 1.75rem; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 1.2rem; margin: 0 0 14px; }
p { margin: 0 0 10px; max-width: 75ch; }
.soft { color: var(--soft); }
section, .example { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 22px 24px; margin: 18px 0; }
.example { padding: 16px 18px; break-inside: avoid; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px;
  margin: 0 0 18px; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.card b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card.main { background: #eef4fc; border-color: #c9dcf3; }
.warning { background: #fff7e6; border: 1px solid #f0d9a8; color: var(--warn); border-radius: 8px;
  padding: 10px 14px; margin: 10px 0; }
.warning::before { content: "\\26A0\\00A0 "; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; font-size: 0.9rem; }
th:first-child, td:first-child { text-align: left; }
td { white-space: nowrap; }
td.bar { width: 170px; min-width: 110px; }
td.bar span { display: block; position: relative; height: 14px; background: var(--back);
  border-radius: 3px; }
td.bar i { display: block; height: 14px; border-radius: 3px; background: var(--model); }
td.bar u { position: absolute; top: -3px; height: 20px; width: 2px; background: var(--ink); }
td.below { color: var(--bad); font-weight: 600; }
table.facts td, table.facts th { text-align: left; vertical-align: top; }
table.facts td { overflow-wrap: anywhere; white-space: normal; }
table.facts th { width: 190px; }
svg { max-width: 100%; height: auto; display: block; margin-bottom: 12px; }
svg text { fill: var(--ink); font-size: 14px; font-family: inherit; }
svg .tick { fill: var(--soft); font-size: 12.5px; }
svg .title { font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .bar { fill: var(--floor); }
svg .bar.model { fill: var(--model); }
svg .whisker { stroke: var(--ink); stroke-width: 1.6; fill: none; }
svg .curve { fill: none; stroke-width: 2; stroke: var(--floor); }
svg .curve.valid { stroke: var(--model); }
svg .dot { fill: var(--floor); }
svg .dot.valid { fill: var(--model); }
.charts { display: flex; flex-wrap: wrap; gap: 18px; }
.charts svg { flex: 1 1 420px; min-width: 0; }
.verdict { display: inline-block; font-weight: 700; border-radius: 999px; padding: 2px 12px;
  font-size: 0.92rem; color: #fff; }
.verdict.right { background: var(--good); }
.verdict.wrong { background: var(--bad); }
.example dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 14px;
  margin: 10px 0 12px; }
.example dt { color: var(--soft); }
.example dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.example dd.answer { font-weight: 700; }
.example figure { margin: 0; }
.example figcaption { font-weight: 600; margin-top: 12px; }
.example img { width: 100%; height: auto; display: block; border: 1px solid var(--line);
  border-radius: 6px; margin-top: 8px; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.9em;
  overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: 0.9rem; margin-top: 28px; }
@media print { body { background: #fff; } section, .example { border: 0; padding: 8px 0; } }
"""


def html_page(title: str, parts: Iterable[str]) -> str:
    """Return one self-contained page; a policy in it forbids every outside resource.

    Args:
        title: plain text.
        parts: HTML below the title's place; empty ones are left out.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def embedded_png(png: bytes, description: str) -> str:
    """Return an image element that carries its picture."""
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">'
