"""Linear probes of an encoder beside those of its random twin, at each fraction of the labels.

Without the random encoder a probe's figure says little: random convolutions and attention already
keep much of what a linear layer can use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecg_fairseq.evaluation.labels.auroc_table import (
    DEFAULT_RESAMPLES,
    LabelTable,
    difference_table,
    figure_text,
    label_table,
)
from ecg_fairseq.evaluation.labels.linear_probe import ProbeResult, stacked_scores

ENCODER, RANDOM, DIFFERENCE = "encoder", "random encoder", "difference"


@dataclass(frozen=True)
class ProbeComparison:
    """Both probes at one fraction.

    Attributes:
        fraction: of the labelled training patients.
        num_patients: that were trained on.
        num_recordings: of theirs, for each draw of patients.
        tables: of the encoder, of the random encoder, and of the difference.
        strengths: inverse strength of regularisation, for each encoder and draw.
        skipped: labels that some draw could not learn, since they had one value only.
        num_unconverged: fits that stopped early.
    """

    fraction: float
    num_patients: int
    num_recordings: tuple[int, ...]
    tables: dict[str, LabelTable]
    strengths: dict[str, tuple[float, ...]]
    skipped: tuple[str, ...]
    num_unconverged: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "fraction": self.fraction,
            "num_patients": self.num_patients,
            "num_recordings": list(self.num_recordings),
            "tables": {name: table.to_dict() for name, table in self.tables.items()},
            "strengths": {name: list(values) for name, values in self.strengths.items()},
            "skipped": list(self.skipped),
            "num_unconverged": self.num_unconverged,
        }


def compare_probes(
    encoder: Mapping[float, Sequence[ProbeResult]],
    random: Mapping[float, Sequence[ProbeResult]],
    label_names: Sequence[str],
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 1,
) -> list[ProbeComparison]:
    """Return the comparison at each fraction.

    Args:
        encoder: fraction -> probes, one for each draw of patients.
        random: the same of the random encoder, with the same draws.
        label_names: K.
        num_resamples: draws of test patients for the intervals.
        seed: of those draws.
    """
    return [
        _compare(fraction, encoder[fraction], random[fraction], label_names, num_resamples, seed)
        for fraction in encoder
    ]


def _compare(
    fraction: float,
    encoder: Sequence[ProbeResult],
    random: Sequence[ProbeResult],
    label_names: Sequence[str],
    num_resamples: int,
    seed: int,
) -> ProbeComparison:
    first = encoder[0]
    rows = first.labels, first.recording_ids, first.patient_ids, label_names, num_resamples, seed
    scores, floor = stacked_scores(encoder), stacked_scores(random)
    tables = {
        ENCODER: label_table(scores, *rows),
        RANDOM: label_table(floor, *rows),
        DIFFERENCE: difference_table(scores, floor, *rows),
    }
    both = {ENCODER: encoder, RANDOM: random}
    skipped = sorted({k for results in both.values() for one in results for k in one.skipped})
    return ProbeComparison(
        fraction=fraction,
        num_patients=first.num_patients,
        num_recordings=tuple(one.num_recordings for one in encoder),
        tables=tables,
        strengths={name: tuple(one.strength for one in both[name]) for name in both},
        skipped=tuple(label_names[k] for k in skipped),
        num_unconverged=sum(one.num_unconverged for results in both.values() for one in results),
    )


def comparison_markdown(comparisons: Sequence[ProbeComparison]) -> str:
    """Return a table of the averages, a line for each fraction and encoder, and a caption."""
    lines = [
        "| patients trained on | frozen | macro AUROC | macro AUPRC | micro AUROC |",
        "|---|---|---|---|---|",
    ]
    for one in comparisons:
        share = f"{one.num_patients} ({100 * one.fraction:g} %)"
        for name, table in one.tables.items():
            figures = [
                figure_text(table.macro, "auroc", table.is_difference),
                figure_text(table.macro, "auprc", table.is_difference),
                figure_text(table.micro, "auroc", table.is_difference),
            ]
            lines.append(f"| {share} | {name} | {' | '.join(figures)} |")
    lines.append("")
    for one in comparisons:
        table = one.tables[ENCODER]
        lines.append(f"{100 * one.fraction:g} %: {table.caption()}")
    return "\n".join(lines) + "\n"
