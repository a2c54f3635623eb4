"""Criterion ``binary_cross_entropy_with_logits``: several labels a segment, each yes or no.

The loss is summed over every label of every segment (fact sheet ecg-fm.md section 4); everything
logged is a sum, so accuracy, precision and recall are exact over processes; areas under curves are
computed over the whole validation pass.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, List, Optional

import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from ecg_fairseq.criterions.score_collector import ScoreCollector
from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm.losses import binary_cross_entropy, positive_weights

_SUMS = (
    "loss", "sample_size", "nsignals", "correct", "count", "em_correct", "em_count", "tp", "fp",
    "fn", "num_scored",
)  # fmt: skip
_AREAS = ("auroc_micro", "auprc_micro", "auroc_macro", "auprc_macro")
# fairseq calls reduce_metrics on the class; a process trains one model with one criterion.
_COLLECTOR = ScoreCollector()


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


@register_criterion("binary_cross_entropy_with_logits", dataclass=BinaryCrossEntropyConfig)
class BinaryCrossEntropyWithLogits(FairseqCriterion):
    """Binary cross-entropy; counts of right labels and of segments with all labels right."""

    def __init__(
        self,
        task: Any,
        weight: Optional[List[float]] = None,
        pos_weight: Optional[List[float]] = None,
        threshold: float = 0.5,
        report_auc: bool = False,
    ) -> None:
        super().__init__(task)
        if not 0.0 < threshold < 1.0:
            raise EcgError(f"criterion.threshold={threshold} is a probability between 0 and 1")
        self.threshold = threshold
        self.report_auc = report_auc
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
        log = self._counts(logits.detach().float(), labels.bool())
        log |= {"loss": loss.detach(), "nsignals": len(labels), "sample_size": labels.numel()}
        log["num_scored"] = 0
        if self.report_auc and not model.training:
            log["num_scored"] = len(labels)
            if not sample.get("is_training", False):
                _COLLECTOR.add(sample["id"], logits.detach(), labels)
        return loss, labels.numel(), log

    def _counts(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        predicted = logits.sigmoid() > self.threshold
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

    @staticmethod
    def reduce_metrics(logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log the loss (base 2, per label), accuracies, and micro precision, recall and F1."""
        sums = {name: sum(float(log.get(name, 0)) for log in logging_outputs) for name in _SUMS}
        terms = max(sums["sample_size"], 1.0)
        metrics.log_scalar("loss", sums["loss"] / terms / math.log(2), terms, round=3)
        for name, right, all_of in (
            ("accuracy", "correct", "count"),
            ("em_accuracy", "em_correct", "em_count"),
        ):
            total = max(sums[all_of], 1.0)
            metrics.log_scalar(name, sums[right] / total, total, round=5)
        metrics.log_scalar("nsignals", sums["nsignals"])
        # A leading underscore keeps a meter out of the log; ratios are made of them.
        for name in ("tp", "fp", "fn"):
            metrics.log_scalar_sum(f"_{name}", sums[name])
        metrics.log_derived("precision", lambda meters: _ratio(meters, "_tp", ("_tp", "_fp")))
        metrics.log_derived("recall", lambda meters: _ratio(meters, "_tp", ("_tp", "_fn")))
        both = ("_tp", "_tp", "_fp", "_fn")
        metrics.log_derived("f1", lambda meters: 2 * _ratio(meters, "_tp", both))
        if sums["num_scored"]:
            for name in _AREAS:
                metrics.log_derived(name, lambda _, name=name: getattr(_COLLECTOR.result(), name))

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every value logged is a sum."""
        return True


def _as_tensor(weights: Optional[Sequence[float]]) -> Optional[Tensor]:
    return None if weights is None else positive_weights(list(weights), len(weights))


def _ratio(meters: Any, part: str, whole: Sequence[str]) -> float:
    """Return a ratio of counts over all batches so far; 0 when there are none."""
    total = sum(float(meters[name].sum) for name in whole)
    return float(meters[part].sum) / total if total else 0.0
