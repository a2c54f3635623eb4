"""Tables of the label systems: AUROC and AUPRC, differences, and the gap that is closed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.auroc_bootstrap import (
    AUROC,
    LabelProblem,
    numbers_of,
    percentile_interval,
)
from ecg_fairseq.evaluation.labels.auroc_table import (
    LEVEL,
    LabelTable,
    difference_table,
    label_table,
)
from ecg_fairseq.evaluation.labels.predictions import LabelPredictions, read_label_predictions
from ecg_fm_stages.plan import FEW_PERCENT, PRETRAINED, RANDOM, SCRATCH, SystemFiles

_GAP_RESAMPLES = 1000  # of whose percentiles the interval is
SEED = 1  # of the draws of test patients, the same for all systems
_SMALLEST_GAP = 1e-6
_MOST_WITHOUT_GAP = 0.025  # of the draws
_MACRO = -2  # place of the mean over labels among a problem's labels
# Systems to be told apart on the same draws: (start, is_probe) of both.
_COMPARED = (
    ((PRETRAINED, False), (SCRATCH, False)),
    ((PRETRAINED, True), (RANDOM, True)),
    ((PRETRAINED, False), (PRETRAINED, True)),
)
_NAMES = {
    (PRETRAINED, False): "pretrained + finetuned",
    (SCRATCH, False): "trained from scratch",
    (PRETRAINED, True): "linear probe, pretrained encoder",
    (RANDOM, True): "linear probe, random encoder",
}


@dataclass(frozen=True)
class LabelSystem:
    """A row of the table.

    Attributes:
        files: whose predictions.
        first: predictions of the first draw; they say recordings, labels and truth.
        probabilities: float64 (S, R, K) of all draws.
    """

    files: SystemFiles
    first: LabelPredictions
    probabilities: np.ndarray

    @property
    def name(self) -> str:
        """In words."""
        return name_of(self.files.start, self.files.is_probe)

    @property
    def rows(self) -> tuple[Any, ...]:
        """What scoring needs besides scores: truth, recordings, patients, labels."""
        first = self.first
        return first.truth, first.record_ids, first.patient_ids, first.labels

    def table(self) -> LabelTable:
        """Return its AUROC and AUPRC."""
        return label_table(self.probabilities, *self.rows, seed=SEED)

    def minus(self, other: "LabelSystem") -> LabelTable:
        """Return its AUROC and AUPRC less those of another system."""
        return difference_table(self.probabilities, other.probabilities, *self.rows, seed=SEED)


def name_of(start: str, is_probe: bool) -> str:
    """Return a system in words."""
    usual = f"{'linear probe, encoder' if is_probe else 'finetuned,'} from --pretrained"
    return _NAMES.get((start, is_probe), usual)


def read_system(files: SystemFiles) -> LabelSystem:
    """Read a system's predictions; ScoreError when its draws are of different recordings."""
    found = [read_label_predictions(path) for path in files.files]
    first = found[0]
    for path, other in zip(files.files, found, strict=True):
        if (other.record_ids, other.labels) != (first.record_ids, first.labels):
            raise ScoreError(f"{path} and {files.files[0]} are of other recordings or labels")
    if first.truth is None:
        raise ScoreError(f"{files.files[0]} has no truth; predict with a labelled manifest")
    return LabelSystem(files, first, np.stack([one.probabilities for one in found]))


def differences(systems: Iterable[LabelSystem]) -> list[dict[str, Any]]:
    """Return the comparisons of interest at every share of labels that both systems have."""
    by_key = {(s.files.start, s.files.is_probe, s.files.percent): s for s in systems}
    percents = sorted({percent for _, _, percent in by_key}, reverse=True)
    found = []
    for one, other in _COMPARED:
        for percent in percents:
            pair = [by_key.get((*key, percent)) for key in (one, other)]
            if None in pair:
                continue
            first, second = pair
            table = first.minus(second)
            name = f"{first.name} less {second.name}"
            found.append({"name": name, "percent": percent, **averages(table)})
    return found


def averages(table: LabelTable) -> dict[str, Any]:
    """Return the averages over labels as JSON values."""
    values = table.to_dict()
    return {"macro": values["macro"], "micro": values["micro"]}


def gap_closed(systems: Iterable[LabelSystem]) -> dict[str, Any]:
    """Return how much of the way from a random encoder's probe to finetuning pretraining goes.

    At few labels: (probe of the pretrained encoder - probe of the random one) / (pretrained and
    finetuned - probe of the random one), in macro AUROC over the labels that all three score;
    ``first_draw`` with the patients that finetuning had, ``all_draws`` with the mean of all draws
    of patients for the probes. The interval is of the same draws of test patients for all three.
    """
    wanted = ((RANDOM, True), (PRETRAINED, True), (PRETRAINED, False))
    by_key = {(s.files.start, s.files.is_probe, s.files.percent): s for s in systems}
    three = [by_key[*key, FEW_PERCENT] for key in wanted]
    return {
        "percent": FEW_PERCENT,
        "first_draw": _gap(three, [system.probabilities[:1] for system in three]),
        "all_draws": _gap(three, [system.probabilities for system in three]),
    }


def _gap(systems: list[LabelSystem], scores: list[np.ndarray]) -> dict[str, Any]:
    first = systems[0].first
    is_common = np.all([~np.isnan(one).any(axis=(0, 1)) for one in scores], axis=0)
    if not is_common.any():
        return {"labels": 0, "share": None, "low": None, "high": None}
    patients = numbers_of(first.patient_ids)
    problems = [
        LabelProblem(one[:, :, is_common], first.truth[:, is_common], patients) for one in scores
    ]
    once = np.ones((problems[0].num_patients, 1))
    aurocs = [float(one.auroc_auprc(once)[:, _MACRO, AUROC, 0].mean()) for one in problems]
    draws = [one.resampled(_GAP_RESAMPLES, SEED)[_MACRO, AUROC] for one in problems]
    names = ("random_probe", "pretrained_probe", "pretrained_finetuned")
    found = {
        "labels": int(is_common.sum()),
        **{name: _known(auroc) for name, auroc in zip(names, aurocs, strict=True)},
        "share": _known(float(_share(*(np.array([auroc]) for auroc in aurocs))[0])),
        "low": None,
        "high": None,
    }
    shares = _share(*draws)
    # Where draws have no gap, shares of the other draws would make an interval of lucky ones.
    if np.isnan(shares).mean() <= _MOST_WITHOUT_GAP:
        low, high = percentile_interval(shares[None], LEVEL)
        found |= {"low": float(low[0]), "high": float(high[0])}
    return found


def _share(floor: np.ndarray, probe: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the share of the gap; NaN where finetuning is no better than the floor."""
    gap = whole - floor
    return np.divide(probe - floor, gap, out=np.full(gap.shape, np.nan), where=gap > _SMALLEST_GAP)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
