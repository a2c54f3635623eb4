"""Criterion ``binary_cross_entropy_with_logits``: several labels a segment, each yes or no.

The loss is summed over every label of every segment (fact sheet ecg-fm.md section 4); everything
logged is a sum, so accuracy, precision, recall and the challenge's score are exact over processes;
areas under curves are computed over the whole validation pass (``score_collector.py``).
"""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, List, Optional

import numpy as np
import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from ecg_fairseq.criterions.score_collector import AreaReport, ScoreCollector, log_areas
from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.labels.cinc_score import (
    CincWeights,
    merged_classes,
    normalized_score,
    read_weights,
    score_sums,
)
from ecg_fairseq.networks.layers.classification_losses import binary_cross_entropy, positive_weights

logger = logging.getLogger(__name__)

_SUMS = (
    "loss", "sample_size", "nsignals", "correct", "count", "em_correct", "em_count", "tp", "fp",
    "fn", "num_scored",
)  # fmt: skip
_CINC_SUMS = ("cinc_observed", "cinc_correct", "cinc_inactive")
_KEY_COUNT, _KEY_CORRECT = "em_count_of:", "em_correct_of:"
_MAX_KEY_VALUES = 1024
_UNFIT_FOR_A_NAME = re.compile(r"[^\w.|+-]+")
# fairseq calls reduce_metrics on the class; a process trains one model with one criterion.
_PENDING = ScoreCollector()


@dataclass
class BinaryCrossEntropyConfig(FairseqDataclass):
    """Settings of the criterion."""

    weight: Optional[List[float]] = field(
        default=None, metadata={"help": "weight of each label (default: 1)"}
    )
    pos_weight: Optional[List[float]] = field(
        default=None,
        metadata={"help": "weight of each label's positive examples (default: 1)"},
    )
    threshold: float = field(
        default=0.5, metadata={"help": "probability above which a label counts as predicted"}
    )
    report_auc: bool = field(
        default=False,
        metadata={"help": "validation also logs auroc and auprc, each _micro and _macro"},
    )
    auc_average: str = field(
        default="macro",
        metadata={"help": "macro | micro: which of the two is also called plain auroc and auprc"},
    )
    report_labels: bool = field(
        default=False,
        metadata={"help": "with report_auc: also auroc_of_LABEL and auprc_of_LABEL"},
    )
    report_cinc_score: bool = field(
        default=False,
        metadata={"help": "validation also logs cinc_score, of the Challenge 2021"},
    )
    weights_file: Optional[str] = field(
        default=None,
        metadata={"help": "weights.csv of physionetchallenges/evaluation-2021, for cinc_score"},
    )
    per_log_keys: List[str] = field(
        default_factory=list,
        metadata={
            "help": "integer keys of a batch: em_accuracy and areas also for each of their values "
            "(-1: none)"
        },
    )


@register_criterion("binary_cross_entropy_with_logits", dataclass=BinaryCrossEntropyConfig)
class BinaryCrossEntropyWithLogits(FairseqCriterion):
    """Binary cross-entropy; counts of right labels and of segments with all labels right."""

    targets = "binary"

    def __init__(
        self,
        task: Any,
        weight: Optional[List[float]] = None,
        pos_weight: Optional[List[float]] = None,
        threshold: float = 0.5,
        report_auc: bool = False,
        auc_average: str = "macro",
        report_labels: bool = False,
        report_cinc_score: bool = False,
        weights_file: Optional[str] = None,
        per_log_keys: Sequence[str] = (),
    ) -> None:
        super().__init__(task)
        if not 0.0 < threshold < 1.0:
            raise EcgError(f"criterion.threshold={threshold} is a probability between 0 and 1")
        if auc_average not in ("macro", "micro"):
            raise EcgError(f"criterion.auc_average={auc_average!r}; expected macro or micro")
        self.threshold = threshold
        self.report_auc = report_auc
        self.auc_average = auc_average
        self.report_labels = report_labels
        self.per_log_keys = list(per_log_keys)
        self.label_names: Optional[Sequence[str]] = getattr(task, "label_names", None)
        self._cinc = _read_cinc(weights_file) if report_cinc_score else None
        self._cinc_columns: Optional[np.ndarray] = None
        if self._cinc is not None and self.label_names:
            self._cinc_columns = self._cinc.columns(self.label_names)
        # Not parameters of the checkpoint: they come with the settings.
        self.register_buffer("weight", _as_tensor(weight), persistent=False)
        self.register_buffer("pos_weight", _as_tensor(pos_weight), persistent=False)

    def forward(
        self, model: torch.nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the summed loss, the number of labels summed over, and sums to log.

        Args:
            model: ``ecg_transformer_classifier``.
            sample: with ``net_input`` of ``source`` (B, L, T), ``label`` (B, K) of 0 and 1, and,
                for ``report_auc``, ``id`` (B,). ``is_training`` marks batches of the training
                split: with uneven shards fairseq validates on one of them, which must not count.
            reduce: kept for fairseq's interface; the loss is always a sum.
        """
        logits, labels = model(**sample["net_input"]).logits, sample["label"]
        for weights in (self.weight, self.pos_weight):
            if weights is not None and len(weights) != logits.shape[1]:
                positive_weights(weights.tolist(), logits.shape[1])
        loss = binary_cross_entropy(logits, labels, self.pos_weight, self.weight)
        predicted = logits.detach().float().sigmoid() > self.threshold
        log = _counts(predicted, labels.bool())
        log |= {"loss": loss.detach(), "nsignals": len(labels), "sample_size": labels.numel()}
        log |= self._counts_of_keys(sample, (predicted == labels.bool()).all(1))
        log["num_scored"] = 0
        if not model.training:
            log |= self._validation_log(sample, logits.detach(), predicted)
        return loss, labels.numel(), log

    def _validation_log(
        self, sample: dict[str, Any], logits: Tensor, predicted: Tensor
    ) -> dict[str, Any]:
        """Keep scores for the areas, and return what only validation logs."""
        log: dict[str, Any] = {}
        if self.report_auc:
            _PENDING.report = AreaReport(self.auc_average, self._reported_labels(logits.shape[1]))
            if not sample.get("is_training", False):
                keys = {name: _key_values(sample, name) for name in self.per_log_keys}
                _PENDING.add(sample["id"], logits, sample["label"], keys)
                log["num_scored"] = len(logits)
        if self._cinc is not None:
            log |= self._cinc_log(self._cinc, sample["label"].bool(), predicted)
        return log

    def _cinc_log(self, weights: CincWeights, labels: Tensor, predicted: Tensor) -> dict[str, Any]:
        if self._cinc_columns is None:
            self._cinc_columns = weights.file_order(labels.shape[1])
            logger.warning(
                f"labels have no names (no label_def.csv beside them): cinc_score takes them to be "
                f"in the order of {weights.path}"
            )
        truth, outputs = (
            merged_classes(side.cpu().numpy(), self._cinc_columns, len(weights.classes))
            for side in (labels, predicted)
        )
        sums = score_sums(weights.values, weights.normal, truth, outputs)
        return dict(zip(_CINC_SUMS, sums, strict=True))

    def _reported_labels(self, num_labels: int) -> tuple[str, ...]:
        if not self.report_labels:
            return ()
        names = self.label_names or range(num_labels)
        return tuple(_UNFIT_FOR_A_NAME.sub("_", str(name)) for name in names)

    def _counts_of_keys(self, sample: dict[str, Any], is_right: Tensor) -> dict[str, Tensor]:
        """Return how many segments have each value of a key, and of how many all is right."""
        log = {}
        for name in self.per_log_keys:
            values = _key_values(sample, name)
            chosen = values[values >= 0]
            counts = torch.bincount(chosen, minlength=_MAX_KEY_VALUES)
            right = is_right[values >= 0].double()
            log[_KEY_COUNT + name] = counts
            log[_KEY_CORRECT + name] = torch.bincount(chosen, right, minlength=_MAX_KEY_VALUES)
        return log

    @staticmethod
    def reduce_metrics(logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log the loss (base 2, per label), accuracies, and micro precision, recall and F1.

        In validation also what ``report_auc``, ``report_cinc_score`` and ``per_log_keys`` ask for.
        """
        sums = {name: sum(float(log.get(name, 0)) for log in logging_outputs) for name in _SUMS}
        terms = max(sums["sample_size"], 1.0)
        metrics.log_scalar("loss", sums["loss"] / terms / math.log(2), terms, round=3)
        for name, right, all_of in (
            ("accuracy", "correct", "count"),
            ("em_accuracy", "em_correct", "em_count"),
        ):
            total = max(sums[all_of], 1.0)
            metrics.log_scalar(name, sums[right] / total, total, round=5)
        metrics.log_scalar_sum("nsignals", sums["nsignals"])
        # A leading underscore keeps a meter out of the log; ratios are made of them.
        for name in ("tp", "fp", "fn"):
            metrics.log_scalar_sum(f"_{name}", sums[name])
        metrics.log_derived("precision", lambda meters: _ratio(meters, "_tp", ("_tp", "_fp")))
        metrics.log_derived("recall", lambda meters: _ratio(meters, "_tp", ("_tp", "_fn")))
        both = ("_tp", "_tp", "_fp", "_fn")
        metrics.log_derived("f1", lambda meters: 2 * _ratio(meters, "_tp", both))
        seen = _log_keys(logging_outputs)
        if any(_CINC_SUMS[0] in log for log in logging_outputs):
            _log_cinc(logging_outputs)
        if sums["num_scored"]:
            log_areas(_PENDING, seen)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every value logged is a sum."""
        return True


def _counts(predicted: Tensor, labels: Tensor) -> dict[str, Any]:
    is_right = predicted == labels
    return {
        "correct": is_right.sum(),
        "count": labels.numel(),
        "em_correct": is_right.all(1).sum(),
        "em_count": len(labels),
        "tp": (predicted & labels).sum(),
        "fp": (predicted & ~labels).sum(),
        "fn": (~predicted & labels).sum(),
    }


def _key_values(sample: dict[str, Any], name: str) -> Tensor:
    """Return a key's value of each segment, int64 (B,)."""
    if name not in sample:
        raise EcgError(
            f"criterion.per_log_keys: a batch has no {name!r}; it has {', '.join(sorted(sample))}"
        )
    values = torch.as_tensor(sample[name]).long().flatten()
    if int(values.max()) >= _MAX_KEY_VALUES:
        raise EcgError(
            f"criterion.per_log_keys: {name}={int(values.max())}; values must be below "
            f"{_MAX_KEY_VALUES}, since each one is logged for itself"
        )
    return values


def _log_keys(logging_outputs: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """Log ``KEY_VALUE_em_accuracy``; return the values of each key in these outputs."""
    found = {}
    for log_name in logging_outputs[0] if logging_outputs else ():
        if not log_name.startswith(_KEY_COUNT):
            continue
        name = log_name.removeprefix(_KEY_COUNT)
        counts, right = (
            sum(torch.as_tensor(log[prefix + name]).double().cpu() for log in logging_outputs)
            for prefix in (_KEY_COUNT, _KEY_CORRECT)
        )
        found[name] = torch.nonzero(counts).flatten().tolist()
        for value in found[name]:
            count = float(counts[value])
            accuracy = float(right[value]) / count
            metrics.log_scalar(f"{name}_{value}_em_accuracy", accuracy, count, round=5)
    return found


def _log_cinc(logging_outputs: Sequence[dict[str, Any]]) -> None:
    """Log the challenge's score, of the whole pass."""
    for name in _CINC_SUMS:
        total = sum(float(log.get(name, 0)) for log in logging_outputs)
        metrics.log_scalar_sum(f"_{name}", total)
    metrics.log_derived(
        "cinc_score",
        lambda meters: normalized_score(*(float(meters[f"_{name}"].sum) for name in _CINC_SUMS)),
    )


def _read_cinc(weights_file: Optional[str]) -> CincWeights:
    if not weights_file:
        raise EcgError(
            "criterion.report_cinc_score=true needs criterion.weights_file: weights.csv of "
            "physionetchallenges/evaluation-2021"
        )
    return read_weights(weights_file)


def _as_tensor(weights: Optional[Sequence[float]]) -> Optional[Tensor]:
    return None if weights is None else positive_weights(list(weights), len(weights))


def _ratio(meters: Any, part: str, whole: Sequence[str]) -> float:
    """Return a ratio of counts over all batches so far; 0 when there are none."""
    total = sum(float(meters[name].sum) for name in whole)
    return float(meters[part].sum) / total if total else 0.0
