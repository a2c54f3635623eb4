"""Scores of a whole validation pass: areas under curves are no sums over batches.

fairseq reduces what criterions log by static methods, one step at a time, in an aggregator of that
step nested in one of the pass, and reads every figure of the former after each step. Scores are
therefore handed to the pass's aggregator alone, where areas are computed when the pass's figures
are read: once, over all processes together. They never enter a checkpoint.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from fairseq import metrics
from fairseq.logging.meters import MetersDict
from torch import Tensor

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.auroc import LabelScores, label_scores

logger = logging.getLogger(__name__)

_STORE = "_scores"  # a leading underscore keeps a meter out of the log
_PRIORITY = 20
_Batch = tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]


@dataclass(frozen=True)
class AreaReport:
    """Which areas are logged.

    Attributes:
        average: ``macro`` or ``micro``, which pair is also called plain ``auroc`` and ``auprc``.
        labels: names of all labels, for a figure each; empty for none.
    """

    average: str = "macro"
    labels: tuple[str, ...] = ()


@dataclass
class ScoreCollector:
    """Collects (segment, scores, labels, keys); a segment that comes twice counts once."""

    report: AreaReport = field(default_factory=AreaReport)
    _batches: list[_Batch] = field(default_factory=list)
    _merged: _Batch | None = None
    _areas: LabelScores | None = None

    def add(
        self,
        ids: Tensor,
        scores: Tensor,
        labels: Tensor,
        keys: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Add a batch.

        Args:
            ids: int (B,).
            scores: (B, K).
            labels: (B, K).
            keys: name -> int (B,), for areas of some segments alone.
        """
        self._batches.append(
            (
                ids.cpu().numpy(),
                scores.float().cpu().numpy(),
                _truth(labels),
                {name: values.cpu().numpy() for name, values in (keys or {}).items()},
            )
        )
        self._merged = self._areas = None

    def move_to(self, other: "ScoreCollector") -> None:
        """Hand everything over; nothing is left here."""
        other._batches += self._batches
        other.report = self.report
        other._merged = other._areas = None
        self._batches = []

    def result(self) -> LabelScores:
        """Return the areas over everything added, in all processes, which must all ask."""
        if self._areas is None:
            _, scores, labels, _ = self._merge()
            self._areas = label_scores(labels, scores)
            if self._areas.num_scored == 0:
                logger.warning(
                    f"no label is both true and false among the {len(labels)} segments scored, so "
                    "there is no AUROC; 0 is logged in its place, and checkpoint_best.pt, which "
                    "fairseq writes all the same, was not chosen by a score: validate on more "
                    "recordings"
                )
        return self._areas

    def of_key(self, name: str, value: int) -> LabelScores:
        """Return the areas over the segments whose key has a value."""
        _, scores, labels, keys = self._merge()
        chosen = keys[name] == value
        return label_scores(labels[chosen], scores[chosen])

    def _merge(self) -> _Batch:
        if self._merged is None:
            batches = _of_all_processes(self._batches)
            ids = np.concatenate([batch[0] for batch in batches])
            _, first = np.unique(ids, return_index=True)
            scores, labels = (
                np.concatenate([batch[part] for batch in batches])[first] for part in (1, 2)
            )
            names = batches[0][3]
            keys = {
                name: np.concatenate([batch[3][name] for batch in batches])[first] for name in names
            }
            self._merged = ids[first], scores, labels, keys
        return self._merged


def _truth(labels: Tensor) -> np.ndarray:
    """Return which labels are true, bool (B, K); ScoreError where nobody knows."""
    unknown = int(torch.isnan(labels).sum()) if labels.is_floating_point() else 0
    if unknown:
        raise ScoreError(
            f"{unknown} labels of a batch are NaN (not labelled), so that it has no areas under "
            "curves; leave recordings without labels out of this split"
        )
    return labels.cpu().numpy() > 0


class _Store(MetersDict._DerivedMeter):
    """Keeps a pass's scores among its meters; fairseq leaves this kind out of checkpoints."""

    def __init__(self) -> None:
        super().__init__(lambda _: 0.0)
        self.collector = ScoreCollector()


def log_areas(pending: ScoreCollector, seen: Mapping[str, Sequence[int]]) -> None:
    """Hand pending scores to the validation pass, and log its areas.

    Logged are ``auroc_macro``, ``auprc_macro``, ``auroc_micro``, ``auprc_micro`` and, for the
    average asked for, ``auroc`` and ``auprc``: 0 where there is no area, since a NaN would stay the
    best value for ever. ``auroc_of_LABEL`` and ``KEY_VALUE_auroc`` are NaN where there is none.

    Args:
        pending: what this process's criterion has collected since the last step.
        seen: name of a key -> its values so far; the same in all processes.
    """
    default = metrics.get_meters("default")
    nested = [meters for meters in metrics.get_active_aggregators() if meters is not default]
    whole_pass = nested[0] if nested else default
    if _STORE not in whole_pass:
        whole_pass.add_meter(_STORE, _Store(), _PRIORITY)
    pending.move_to(whole_pass[_STORE].collector)
    for name, figure in _figures(pending.report, seen).items():
        if name not in whole_pass:
            meter = MetersDict._DerivedMeter(partial(_evaluate, figure))
            whole_pass.add_meter(name, meter, _PRIORITY)


Figure = Callable[[ScoreCollector], float]


def _figures(report: AreaReport, seen: Mapping[str, Sequence[int]]) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for curve in ("auroc", "auprc"):
        figures[curve] = partial(_average, f"{curve}_{report.average}")
        for average in ("macro", "micro"):
            figures[f"{curve}_{average}"] = partial(_average, f"{curve}_{average}")
        for number, label in enumerate(report.labels):
            figures[f"{curve}_of_{label}"] = partial(_of_label, curve, number)
        for key, values in seen.items():
            for value in values:
                of_key = partial(_of_key, f"{curve}_{report.average}", key, value)
                figures[f"{key}_{value}_{curve}"] = of_key
    return figures


def _evaluate(figure: Figure, meters: MetersDict) -> float:
    return figure(meters[_STORE].collector)


def _average(name: str, collector: ScoreCollector) -> float:
    value = float(getattr(collector.result(), name))
    return 0.0 if math.isnan(value) else value


def _of_label(curve: str, number: int, collector: ScoreCollector) -> float:
    return float(getattr(collector.result(), curve)[number])


def _of_key(name: str, key: str, value: int, collector: ScoreCollector) -> float:
    return float(getattr(collector.of_key(key, value), name))


def _of_all_processes(batches: list[_Batch]) -> list[_Batch]:
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return batches
    gathered: list[list[_Batch]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, batches)
    return [batch for part in gathered for batch in part]
