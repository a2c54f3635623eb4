"""Scores as plain text for the console."""

from typing import Any

_TEXT_METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_1", "rouge_2", "rouge_l", "meteor")
# Heads of the table by question type, and what stands below.
_HEADS = {
    "exact": "exact_match",
    "major.": "majority",
    "wording": "majority_by_wording",
    "blind": "blind",
    "corr.": "blind_corrected",
    "closed": "closed_set",
}


def format_scores(scores: dict[str, Any]) -> str:
    """Return a readable table of ``score_predictions``' figures."""
    intervals = scores["intervals"]
    lines = [
        f"{scores['n_test']} questions on {scores['n_patients']} patients; "
        f"{round(100 * intervals['level'])} % intervals by patient",
        "",
        _row("exact match (free text)", scores["exact_match"], intervals["exact_match"]),
        _row(
            "  floor: majority", scores["majority_exact_match"], intervals["majority_exact_match"]
        ),
        _row(
            "  floor: majority by wording",
            scores["majority_by_wording_exact_match"],
            intervals["majority_by_wording_exact_match"],
        ),
        _row("  floor: blind", scores["blind_exact_match"], intervals["blind_exact_match"]),
        _row(
            "  floor: blind, corrected",
            scores["blind_corrected_exact_match"],
            intervals["blind_corrected_exact_match"],
        ),
        _row("  above majority", *_gain(scores, "majority")),
        _row("  above majority by wording", *_gain(scores, "majority_by_wording")),
        _row("  above blind", *_gain(scores, "blind")),
        _row("  above blind, corrected", *_gain(scores, "blind_corrected")),
        _row(
            f"closed-set accuracy (n {scores['n_closed_set']})",
            scores["closed_set_accuracy"],
            intervals["closed_set_accuracy"],
        ),
        "",
        f"{'question type':<32}{'n':>7}" + "".join(f"{head:>8}" for head in _HEADS),
    ]
    for name, row in scores["per_question_type"].items():
        figures = "".join(f"{share(row[key]):>8}" for key in _HEADS.values())
        lines.append(f"{name:<32}{row['n']:>7}{figures}")
    lines += ["", "  ".join(f"{name} {share(scores[name])}" for name in _TEXT_METRICS)]
    lines.append(
        "METEOR with WordNet synonyms"
        if scores["meteor_uses_wordnet"]
        else "METEOR without WordNet (exact and stem matches only)"
    )
    lines += [f"note: {note}" for note in scores["warnings"]]
    return "\n".join(lines)


def share(value: float | None) -> str:
    """Return a share with three decimals, or a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def _gain(scores: dict[str, Any], floor: str) -> tuple[float | None, list[float] | None]:
    interval = scores["intervals"][f"exact_match_minus_{floor}"]
    value = scores[f"{floor}_exact_match"]
    return (None if value is None else scores["exact_match"] - value), interval


def _row(label: str, value: float | None, interval: list[float] | None) -> str:
    text = f"{label:<32}{share(value):>7}"
    return text if interval is None else f"{text}   [{interval[0]:.3f}, {interval[1]:.3f}]"
