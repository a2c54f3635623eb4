"""Figures of reports as plain text for the console."""

from collections.abc import Mapping
from typing import Any

_SHOWN = {
    "clinical_f1": "clinical F1 (pooled)",
    "clinical_precision": "  precision",
    "clinical_recall": "  recall",
    "clinical_macro_f1": "clinical F1 (by statement)",
    "clinical_f1_by_report": "clinical F1 (by report)",
    "bleu_1": "BLEU-1 of the corpus",
    "bleu_4": "BLEU-4 of the corpus",
    "sentence_bleu_4": "BLEU-4 of single reports",
    "rouge_1": "ROUGE-1",
    "rouge_l": "ROUGE-L",
    "meteor": "METEOR (exact, stem)",
    "cider_d": "CIDEr-D (0 to 10)",
}
_WIDTH = 28


def format_report_scores(scores: Mapping[str, Any]) -> str:
    """Return a readable table of ``score_reports``' figures, floors beside them."""
    floors = scores["floors"]
    lines = [
        f"{scores['n']} reports on {scores['n_patients']} patients; statements read by "
        f"{scores['statements']}; majority of {scores['definitions']['majority_of']}",
        f"{'':<{_WIDTH}}{'value':>8}  {'95 % interval':<18}"
        + "".join(f"{name:>15}" for name in floors),
    ]
    for metric, label in _SHOWN.items():
        interval = scores["intervals"].get(metric)
        text = "" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"
        figures = "".join(f"{_number(floor['metrics'][metric]):>15}" for floor in floors.values())
        value = _number(scores["metrics"][metric])
        lines.append(f"{label:<{_WIDTH}}{value:>8}  {text:<18}{figures}")
    for name, floor in floors.items():
        interval = floor["difference_intervals"]["clinical_f1"]
        if interval is not None:
            lines.append(
                f"clinical F1 above {name}: the difference is {interval[0]:+.3f} to "
                f"{interval[1]:+.3f}"
            )
    lines += [f"note: {note}" for note in scores["notes"]]
    return "\n".join(lines)


def format_published_metrics(published: Mapping[str, Any]) -> str:
    """Return the figures in the published form, one line a kind."""
    lines = [f"in the form of {published['form']}, for comparison with its tables only:"]
    for kind in ("reports", "answer_accuracy"):
        figures = published[kind]
        if figures:
            lines.append(f"{kind.replace('_', ' ')}: " + "  ".join(map(_named, figures.items())))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _named(figure: tuple[str, Any]) -> str:
    name, value = figure
    return (
        f"{name} {'yes' if value else 'no'}" if isinstance(value, bool) else f"{name} {value:.4f}"
    )
