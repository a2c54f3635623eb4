"""Tables of AUROC and AUPRC: one line a label, macro and micro below, intervals by patient.

Spread is that of patients, not of recordings: two recordings of one heart are no two hearts.
``label_table`` is of one system, ``difference_table`` of two systems on the same recordings, so
that what makes patients easy for both cancels. Intervals of AUROC are computed
(``auroc_intervals.py``), those of AUPRC drawn (``auroc_bootstrap.py``).
"""

import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.auroc_bootstrap import (
    AUPRC,
    AUROC,
    LabelProblem,
    drawn_difference_interval,
    drawn_interval,
    mean_of_known,
    numbers_of,
)
from ecg_fairseq.evaluation.labels.auroc_intervals import (
    FEW_PATIENTS,
    FEWEST_PATIENTS,
    LabelInfluences,
    auroc_intervals,
    label_counts,
)
from ecg_fairseq.evaluation.labels.by_recording import Recordings
from ecg_fairseq.evaluation.labels.clustered_delong import PatientCounts

# Of which the deviation is taken; it is known to 4 % then.
DEFAULT_RESAMPLES = 400
LEVEL = 0.95
MACRO, MICRO = "macro", "micro"


@dataclass(frozen=True)
class LabelRow:
    """AUROC and AUPRC of one label, or of an average over labels; NaN where there is none.

    Attributes:
        label: its name; ``macro`` is the mean over labels, ``micro`` ranks all pairs in one list.
        n: labelled recordings.
        positives: recordings of which the label is true.
        auroc: area under the ROC curve, or the difference of two.
        auroc_low: lower end of its interval; NaN when fewer than two patients have either value.
        auroc_high: upper end.
        auroc_sd: standard deviation over runs (ddof 1); NaN with one run.
        auprc: average precision; its interval and deviation follow.
        positive_patients: patients with a recording of which the label is true.
        negative_patients: patients with one of which it is not.
    """

    label: str
    n: int
    positives: int
    auroc: float
    auroc_low: float
    auroc_high: float
    auroc_sd: float
    auprc: float
    auprc_low: float
    auprc_high: float
    auprc_sd: float
    positive_patients: int = 0
    negative_patients: int = 0

    @property
    def is_rare(self) -> bool:
        """Whether so few patients have either value that intervals may not hold their level."""
        return min(self.positive_patients, self.negative_patients) < FEW_PATIENTS


@dataclass(frozen=True)
class LabelTable:
    """AUROC and AUPRC of all labels.

    Attributes:
        labels: a row each label, in the order given.
        macro: their mean, over labels that have one.
        micro: of all pairs of recording and label.
        num_recordings: R.
        num_patients: P, whose spread the intervals are of.
        num_runs: of the (first) system, over which figures are a mean (seeds of a linear probe).
        num_resamples: draws of patients, for AUPRC; 0 where there are no intervals.
        seed: of the draws.
        unscored: labels without a figure: with one value in these recordings, or that some run has
            no score for.
        is_difference: whether rows are differences of two systems.
    """

    labels: tuple[LabelRow, ...]
    macro: LabelRow
    micro: LabelRow
    num_recordings: int
    num_patients: int
    num_runs: int
    num_resamples: int
    seed: int
    unscored: tuple[str, ...]
    is_difference: bool = False

    @property
    def rows(self) -> tuple[LabelRow, ...]:
        """The labels' rows, then macro and micro."""
        return (*self.labels, self.macro, self.micro)

    @property
    def rare(self) -> tuple[LabelRow, ...]:
        """The labels with an interval that may not hold its level, of too few patients."""
        return tuple(row for row in self.labels if row.is_rare and not np.isnan(row.auroc))

    def to_tsv(self) -> str:
        """Return tab-separated text with a header; NaN is an empty cell."""
        stream = io.StringIO()
        names = [field.name for field in fields(LabelRow)]
        stream.write("\t".join(names) + "\n")
        for row in self.rows:
            cells = (getattr(row, name) for name in names)
            stream.write("\t".join(_tsv_cell(cell) for cell in cells) + "\n")
        return stream.getvalue()

    def to_markdown(self) -> str:
        """Return a markdown table with intervals in brackets, and a line that says how."""
        lines = [
            "| label | n | positive | AUROC | AUPRC |",
            "|---|---:|---:|---|---|",
        ]
        for row in self.rows:
            figures = [figure_text(row, curve, self.is_difference) for curve in ("auroc", "auprc")]
            name = row.label.replace("|", "\\|") + (" (rare)" if row in self.rare else "")
            lines.append(f"| {name} | {row.n} | {row.positives} | {' | '.join(figures)} |")
        return "\n".join([*lines, "", self.caption()]) + "\n"

    def caption(self) -> str:
        """Return what the table's figures are of, as a sentence or two."""
        what = "differences on the same patients; " if self.is_difference else ""
        text = (
            f"{round(100 * LEVEL)} % intervals by patient ({what}AUROC by clustered DeLong, AUPRC "
            f"by {self.num_resamples} draws of {self.num_patients} patients, "
            f"{self.num_recordings} recordings, seed {self.seed})."
        )
        if self.rare and self.num_resamples:
            text += (
                f" Below {FEW_PATIENTS} patients with or without a label, its interval (and its "
                "part in that of macro) may be too narrow: "
                f"{', '.join(_rare_text(row) for row in self.rare)}."
            )
        if self.num_runs > 1 and not self.is_difference:
            text += f" Mean over {self.num_runs} runs ± their standard deviation."
        if self.unscored:
            text += (
                f" {len(self.labels) - len(self.unscored)} of {len(self.labels)} labels count in "
                f"macro; without a figure in every run: {', '.join(self.unscored)}."
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; NaN becomes None."""
        values = {name: value for name, value in asdict(self).items() if name != "labels"}
        values["labels"] = [asdict(row) for row in self.labels]
        values["unscored"] = list(self.unscored)
        known: dict[str, Any] = json.loads(json.dumps(values), parse_constant=lambda _: None)
        return known


def figure_text(row: LabelRow | Mapping[str, Any], curve: str, is_difference: bool = False) -> str:
    """Return a figure with its deviation over runs, where there are several, and its interval.

    Args:
        row: of a table, or its JSON values, where None stands for NaN.
        curve: ``auroc`` or ``auprc``.
        is_difference: whether it is signed.

    >>> figure_text({"auroc": 0.8, "auroc_low": 0.7, "auroc_high": 0.9, "auroc_sd": None}, "auroc")
    '0.800 [0.700, 0.900]'
    """
    values = vars(row) if isinstance(row, LabelRow) else row
    value, low, high, deviation = (
        np.nan if values[f"{curve}{end}"] is None else values[f"{curve}{end}"]
        for end in ("", "_low", "_high", "_sd")
    )
    if np.isnan(value):
        return "-"
    sign = "+" if is_difference else ""
    text = f"{value:{sign}.3f}"
    if not np.isnan(deviation):
        text += f" ± {deviation:.3f}"
    return text if np.isnan(low) else f"{text} [{low:{sign}.3f}, {high:{sign}.3f}]"


def label_table(
    scores: np.ndarray,
    labels: np.ndarray,
    recording_ids: Sequence[str],
    patient_ids: Sequence[str],
    label_names: Sequence[str],
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 1,
    max_labels: Collection[str] = (),
) -> LabelTable:
    """Return AUROC and AUPRC of a system with intervals.

    Args:
        scores: (N, K) logits, or (S, N, K) of several runs, whose figures are averaged within each
            draw. A label that a run has no score for is a column of NaN.
        labels: (N, K) of 0 and 1; NaN where nobody labelled.
        recording_ids: N; rows of one recording are first averaged to one.
        patient_ids: N.
        label_names: K.
        num_resamples: draws of the patients, for AUPRC; 0 for no intervals at all.
        seed: of the draws.
        max_labels: labels that take the maximum over a recording's rows instead of the mean.

    Raises:
        ScoreError: shapes do not fit, a score is not finite, rows of a recording disagree.
    """
    recordings = Recordings.of(recording_ids, patient_ids)
    problem = _problem(scores, labels, recordings, label_names, max_labels)
    found = problem.auroc_auprc(_once(problem))
    if not num_resamples:
        return _table(problem, found, None, label_names, seed)
    draws = problem.resampled(num_resamples, seed)[:, AUPRC]
    values = mean_of_known(found)[:, AUROC, 0]
    of_auroc = auroc_intervals(LabelInfluences.of(problem), values, LEVEL, is_difference=False)
    return _table(problem, found, _Spread(of_auroc, draws), label_names, seed)


def difference_table(
    scores: np.ndarray,
    other_scores: np.ndarray,
    labels: np.ndarray,
    recording_ids: Sequence[str],
    patient_ids: Sequence[str],
    label_names: Sequence[str],
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 1,
    max_labels: Collection[str] = (),
) -> LabelTable:
    """Return AUROC and AUPRC of a system minus those of another on the same rows.

    Labels that a run of either system has no score for are left out of both. Arguments are those of
    :func:`label_table`; ``other_scores`` may have another number of runs.

    Raises:
        ScoreError: see :func:`label_table`.
    """
    recordings = Recordings.of(recording_ids, patient_ids)
    both = [
        _problem(given, labels, recordings, label_names, max_labels)
        for given in (scores, other_scores)
    ]
    common = both[0].is_scored.all(axis=0) & both[1].is_scored.all(axis=0)
    first, second = (
        LabelProblem(np.where(common, one.scores, np.nan), one.labels, one.patients) for one in both
    )
    own, others = (mean_of_known(one.auroc_auprc(_once(one))) for one in (first, second))
    gap = (own - others)[None]
    if not num_resamples:
        return _table(first, gap, None, label_names, seed, is_difference=True)
    draws = first.resampled(num_resamples, seed) - second.resampled(num_resamples, seed)
    influences = LabelInfluences.of(first).minus(LabelInfluences.of(second))
    of_auroc = auroc_intervals(influences, gap[0, :, AUROC, 0], LEVEL, is_difference=True)
    spread = _Spread(of_auroc, draws[:, AUPRC])
    return _table(first, gap, spread, label_names, seed, is_difference=True)


def _problem(
    scores: np.ndarray,
    labels: np.ndarray,
    recordings: Recordings,
    label_names: Sequence[str],
    max_labels: Collection[str],
) -> LabelProblem:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim == 2:
        scores = scores[None]
    wanted = (len(recordings.numbers), len(label_names))
    if scores.ndim != 3 or scores.shape[1:] != wanted or np.shape(labels) != wanted:
        raise ScoreError(
            f"scores {scores.shape[-2:]} and labels {np.shape(labels)} must be {wanted}: a row for "
            "each recording id, a column for each label name"
        )
    return LabelProblem(
        recordings.scores(scores, label_names, max_labels),
        recordings.labels(labels),
        numbers_of(recordings.patient_ids),
    )


def _once(problem: LabelProblem) -> np.ndarray:
    """Return weights (P, 1) that count each patient once."""
    return np.ones((problem.num_patients, 1))


@dataclass(frozen=True)
class _Spread:
    """Bounds of AUROC, (K + 2,) both, and draws of AUPRC, (K + 2, draws)."""

    of_auroc: tuple[np.ndarray, np.ndarray]
    draws: np.ndarray


def _table(
    problem: LabelProblem,
    found: np.ndarray,
    spread: _Spread | None,
    label_names: Sequence[str],
    seed: int,
    is_difference: bool = False,
) -> LabelTable:
    """Put AUROC and AUPRC (S, K + 2, 2, 1) and their spread into rows."""
    means, runs = mean_of_known(found)[..., 0], found[..., 0]
    deviations = np.full(means.shape, np.nan)
    if len(runs) > 1:
        deviations = np.std(runs, axis=0, ddof=1)
    patients = label_counts(problem)
    low, high = _bounds(spread, means[:, AUPRC], patients, is_difference)
    counts = _counts(problem.labels)
    rows = [
        LabelRow(
            name,
            *counts[number],
            **_figures(number, means, low, high, deviations),
            positive_patients=patients[number].positive,
            negative_patients=patients[number].negative,
        )
        for number, name in enumerate((*label_names, MACRO, MICRO))
    ]
    unscored = np.isnan(runs[:, : len(label_names), AUROC]).any(axis=0)
    return LabelTable(
        labels=tuple(rows[:-2]),
        macro=rows[-2],
        micro=rows[-1],
        num_recordings=len(problem.labels),
        num_patients=problem.num_patients,
        num_runs=len(problem.scores),
        num_resamples=0 if spread is None else spread.draws.shape[-1],
        seed=seed,
        unscored=tuple(name for name, is_so in zip(label_names, unscored, strict=True) if is_so),
        is_difference=is_difference,
    )


def _bounds(
    spread: _Spread | None,
    values: np.ndarray,
    patients: Sequence[PatientCounts],
    is_difference: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of AUROC and AUPRC, (K + 2, 2) both; NaN where there are none."""
    low, high = np.full((len(patients), 2), np.nan), np.full((len(patients), 2), np.nan)
    if spread is None:
        return low, high
    low[:, AUROC], high[:, AUROC] = spread.of_auroc
    interval_of = drawn_difference_interval if is_difference else drawn_interval
    for number, one in enumerate(patients):
        if one.fewest >= FEWEST_PATIENTS and not np.isnan(values[number]):
            bounds = interval_of(values[number], spread.draws[number], one.positive, LEVEL)
            low[number, AUPRC], high[number, AUPRC] = bounds
    return low, high


def _figures(number: int, *columns: np.ndarray) -> dict[str, Any]:
    """Return a row's figures by their names."""
    return {
        f"{curve}{end}": float(column[number, place])
        for place, curve in ((AUROC, "auroc"), (AUPRC, "auprc"))
        for end, column in zip(("", "_low", "_high", "_sd"), columns, strict=True)
    }


def _counts(labels: np.ndarray) -> list[tuple[int, int]]:
    """Return (recordings, positives) of each label, of macro and of micro."""
    is_known = ~np.isnan(labels)
    positives = np.nansum(labels, axis=0).astype(int)
    each = list(zip(is_known.sum(axis=0).tolist(), positives.tolist(), strict=True))
    whole = int(is_known.any(axis=1).sum()), int(positives.sum())
    return [*each, whole, whole]


def _rare_text(row: LabelRow) -> str:
    return f"{row.label} ({row.positive_patients} with, {row.negative_patients} without)"


def _tsv_cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.6f}"
    return " ".join(str(value).split())
