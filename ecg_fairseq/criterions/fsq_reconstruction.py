"""Criterion ``fsq_reconstruction``: the squared error of HeartLLM's autoencoder, and its codes.

The loss is the mean square over all leads and samples (fact sheet heartllm.md, 1.5). Everything
logged is a sum, so it adds up over batches, processes and resumes. Of the codes are told: the share
of ids that occur at all (``codes_used``), their perplexity, and in validation how often each level
of each dimension occurs. The published figure pools levels over dimensions and is 1 at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from ecg_fairseq.networks.heartllm.network import AutoencoderOutput

_IDS, _LEVELS, _PRIORITY = "_id_counts", "_level_counts", 30


@dataclass
class FsqReconstructionConfig(FairseqDataclass):
    """The criterion has no settings."""


@register_criterion("fsq_reconstruction", dataclass=FsqReconstructionConfig)
class FsqReconstruction(FairseqCriterion):
    """Mean squared error between signals and their reconstructions."""

    items = "segments"

    def __init__(self, task: Any) -> None:
        super().__init__(task)
        present = getattr(task, "present", None)
        self.lead_names: Sequence[str] = (present.leads if present else None) or ()

    def forward(
        self, model: torch.nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the summed loss, the number of values that it sums, and sums to log.

        Args:
            model: ``fsq_autoencoder``.
            sample: with ``net_input`` of ``source`` (B, L, T) and perhaps ``padding_mask``, and
                perhaps ``lead_scaling`` (B, L, 2), each lead's mean and deviation in mV.
            reduce: kept for fairseq's interface; the loss is always a sum.
        """
        output = model(**sample["net_input"])
        source = sample["net_input"]["source"].float()
        squares = (output.reconstruction - source).square()
        is_sample = torch.ones_like(squares[:, 0], dtype=torch.bool)
        if output.padding is not None:
            is_sample = ~output.padding
            squares = squares * is_sample.unsqueeze(1)
        num_samples = is_sample.sum(1)
        num_values = int(num_samples.sum()) * source.shape[1]
        loss = squares.sum()
        log = {
            "loss": loss.detach(),
            "sample_size": num_values,
            "nsignals": len(source),
            _IDS: _id_counts(model, output),
        }
        if not model.training:
            log |= self._errors(squares.sum(2), num_samples, sample.get("lead_scaling"))
            log |= _level_counts(model, output)
        return loss, num_values, log

    def _errors(
        self, squares: Tensor, num_samples: Tensor, scaling: Tensor | None
    ) -> dict[str, Tensor]:
        """Return sums of squared errors and their counts, by unit and lead.

        Args:
            squares: (B, L), summed over samples, of values in the recipe's unit.
            num_samples: (B,).
            scaling: (B, L, 2), mean and deviation in mV, or None.
        """
        units = {"sd": torch.ones_like(squares)}
        if scaling is not None:
            units["mv"] = scaling[..., 1].to(squares).square()
        names = self.lead_names or [f"lead_{number}" for number in range(squares.shape[1])]
        found: dict[str, Tensor] = {}
        for unit, factor in units.items():
            for lead, column in zip(names, (squares.detach() * factor).T, strict=True):
                found[f"_squares_{unit}_{lead}"] = column.double().sum()
                found[f"_count_{unit}_{lead}"] = num_samples.sum().double()
        return found

    @staticmethod
    def reduce_metrics(logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log the loss, errors by lead, and the use of codes."""
        names = {name: None for log in logging_outputs for name in log}
        sums = {name: sum(log[name] for log in logging_outputs if name in log) for name in names}
        num_values = max(float(sums.get("sample_size", 0)), 1.0)
        metrics.log_scalar("loss", float(sums.get("loss", 0)) / num_values, num_values, round=5)
        metrics.log_scalar("nsignals", float(sums.get("nsignals", 0)))
        if _IDS in sums:
            metrics.log_scalar_sum(_IDS, sums[_IDS].cpu(), _PRIORITY)
            metrics.log_derived("codes_used", _share_used)
            metrics.log_derived("code_perplexity", _perplexity)
        for name in names:
            if name.startswith(_LEVELS):
                metrics.log_scalar_sum(name, sums[name].cpu(), _PRIORITY)
                for level in range(len(sums[name])):
                    shown = f"level_{name.removeprefix(_LEVELS + '_')}_{level}"
                    metrics.log_derived(shown, partial(_share_of_level, name, level))
            elif name.startswith("_squares_"):
                unit_and_lead = name.removeprefix("_squares_")
                count = float(sums[f"_count_{unit_and_lead}"])
                metrics.log_scalar(name, float(sums[name]) / max(count, 1.0), count)
                metrics.log_derived(f"rmse_{unit_and_lead}", partial(_root, name))

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every value logged is a sum."""
        return True


def _id_counts(model: torch.nn.Module, output: AutoencoderOutput) -> Tensor:
    """Return float64 (V,), how often each id occurs."""
    ids = model.quantizer.ids(output.code.levels)[_is_token(model, output)]
    return torch.bincount(ids, minlength=model.quantizer.num_ids).double()


def _is_token(model: torch.nn.Module, output: AutoencoderOutput) -> Tensor:
    """Return bool (B, S): which codes stand for samples that are no padding."""
    shape = output.code.levels.shape[:2]
    if output.padding is None:
        return torch.ones(shape, dtype=torch.bool, device=output.code.levels.device)
    starts = torch.arange(shape[1], device=output.padding.device) * model.frame_step
    return starts.unsqueeze(0) < (~output.padding).sum(1, keepdim=True)


def _level_counts(model: torch.nn.Module, output: AutoencoderOutput) -> dict[str, Tensor]:
    """Return for each dimension float64 (levels,), how often each level occurs."""
    levels = output.code.levels[_is_token(model, output)]
    return {
        f"{_LEVELS}_{place}": torch.bincount(levels[:, place], minlength=number).double()
        for place, number in enumerate(model.quantizer.levels)
    }


def _counts(meters: Mapping[str, Any], name: str) -> Tensor:
    """Return counts, float64; empty where nothing was counted since the last reset."""
    return torch.as_tensor(meters[name].sum, dtype=torch.float64).reshape(-1)


def _share_used(meters: Mapping[str, Any]) -> float:
    return round(float((_counts(meters, _IDS) > 0).double().mean()), 5)


def _perplexity(meters: Mapping[str, Any]) -> float:
    counts = _counts(meters, _IDS)
    shares = counts[counts > 0] / counts.sum()
    return round(math.exp(float(-(shares * shares.log()).sum())), 3) if len(shares) else math.nan


def _share_of_level(name: str, level: int, meters: Mapping[str, Any]) -> float:
    counts = _counts(meters, name)
    total = float(counts.sum())
    return round(float(counts[level]) / total, 5) if total else math.nan


def _root(name: str, meters: Mapping[str, Any]) -> float:
    return round(math.sqrt(float(meters[name].avg)), 5)
