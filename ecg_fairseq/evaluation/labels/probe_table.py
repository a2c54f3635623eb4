"""Linear probes of an encoder beside those of its random twin, at each fraction of the labels.

Without the random encoder a probe's figure says little: random convolutions and attention already
keep much of what a linear layer can use. Both, and their difference, are over one set of labels:
those that every draw of patients could learn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_fairseq.evaluation.labels.auroc_table import (
    DEFAULT_RESAMPLES,
    LabelRow,
    LabelTable,
    difference_table,
    figure_text,
    label_table,
)
from ecg_fairseq.evaluation.labels.linear_probe import ProbeResult, stacked_scores

ENCODER, RANDOM, DIFFERENCE = "encoder", "random encoder", "difference"

# Test patients below whom figures are said to be uncertain.
FEW_TEST_PATIENTS = 30


@dataclass(frozen=True)
class ProbeComparison:
    """Both probes at one fraction.

    Attributes:
        fraction: of the labelled training patients.
        num_patients: that were trained on.
        num_recordings: of theirs, for each draw of patients.
        tables: of the encoder, of the random encoder, and of the difference.
        strengths: inverse strength of regularisation, for each encoder and draw.
        skipped: labels that some draw could not learn, since they had one value only; they have no
            figure in any table.
        num_unconverged: fits that stopped early.
    """

    fraction: float
    num_patients: int
    num_recordings: tuple[int, ...]
    tables: dict[str, LabelTable]
    strengths: dict[str, tuple[float, ...]]
    skipped: tuple[str, ...]
    num_unconverged: int

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader must see beside the figures."""
        found = []
        difference = self.tables[DIFFERENCE]
        if difference.num_patients < FEW_TEST_PATIENTS:
            found.append(
                f"Few patients: {difference.num_patients} in the test split; the figures are "
                "uncertain, read the intervals."
            )
        if _is_everything(difference.macro) or _is_everything(difference.micro):
            found.append(
                "An interval of -1 to +1 holds every possible difference: these test patients say "
                "nothing about which encoder is better."
            )
        return tuple(found)

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
            "notes": list(self.notes),
        }


def _is_everything(row: LabelRow) -> bool:
    """Say whether an interval of a difference leaves nothing out."""
    bounds = (row.auroc_low, row.auroc_high), (row.auprc_low, row.auprc_high)
    return any(low <= -1.0 and high >= 1.0 for low, high in bounds)


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
    scores, floor = _of_common_labels(stacked_scores(encoder), stacked_scores(random))
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


def _of_common_labels(*scores: np.ndarray) -> list[np.ndarray]:
    """Return scores (S, N, K) of several encoders, NaN for labels that a run of any lacks.

    Rare labels would else count in the average of those draws alone that had both values of them,
    and the difference would not be that of the rows above it.
    """
    lacking = np.any([np.isnan(each).all(axis=1).any(axis=0) for each in scores], axis=0)
    return [np.where(lacking, np.nan, each) for each in scores]


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
        lines += [f"{100 * one.fraction:g} %: {note}" for note in one.notes]
    return "\n".join(lines) + "\n"
