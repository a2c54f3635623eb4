"""fairseq model ``ecg_llm``: a Hugging Face causal language model with ECG tokens."""

from dataclasses import dataclass, fields
from typing import Any, Optional

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from omegaconf import II
from torch import Tensor

from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel


@dataclass
class EcgLlmConfig(FairseqDataclass, LanguageModelConfig):
    """Settings of :class:`LanguageModelConfig`, and the seed of random weights."""

    seed: int = II("common.seed")


@register_model("ecg_llm", dataclass=EcgLlmConfig)
class EcgLlm(BaseFairseqModel):
    """Adapter; the work is in :class:`EcgLanguageModel`, reachable as ``network``."""

    def __init__(self, network: EcgLanguageModel) -> None:
        super().__init__()
        self.network = network

    @classmethod
    def build_model(cls, cfg: EcgLlmConfig, task: Any) -> "EcgLlm":
        """Build the network over the task's vocabulary."""
        return cls(
            EcgLanguageModel(
                language_model_config(cfg), task.vocabulary, task.fingerprint, int(cfg.seed)
            )
        )

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        segment_ids: Optional[Tensor] = None,
        logits_to_keep: Any = 0,
        features: Optional[Tensor] = None,
        feature_mask: Optional[Tensor] = None,
    ) -> Tensor:
        """Return logits (B, S', V); see :meth:`EcgLanguageModel.forward`."""
        return self.network(
            input_ids, position_ids, segment_ids, logits_to_keep, features, feature_mask
        )

    def max_positions(self) -> int:
        """Longest sequence S."""
        return self.network.max_positions()

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return what cannot be rebuilt from a named file (see the network's method)."""
        destination = kwargs.get("destination", args[0] if args else None)
        destination = {} if destination is None else destination
        prefix = kwargs.get("prefix", "")
        return self.network.state_dict(destination=destination, prefix=f"{prefix}network.")

    def load_state_dict(
        self,
        state_dict: dict[str, Tensor],
        strict: bool = True,
        model_cfg: Any = None,
        args: Any = None,
    ) -> torch.nn.modules.module._IncompatibleKeys:
        """Load a checkpoint; nothing may be missing or unexpected, whatever ``strict``."""
        prefix = "network."
        self.network.load_checkpoint_tensors(
            {name.removeprefix(prefix): value for name, value in state_dict.items()}
        )
        return torch.nn.modules.module._IncompatibleKeys([], [])


def language_model_config(cfg: Any) -> LanguageModelConfig:
    """Return the plain dataclass of a fairseq (or checkpoint) model config."""
    values = {field.name: getattr(cfg, field.name) for field in fields(LanguageModelConfig)}
    values["lora_targets"] = list(values["lora_targets"])
    return LanguageModelConfig(**values)
