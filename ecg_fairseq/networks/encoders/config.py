"""Settings of finetuning any encoder; types are spelled as fairseq's parser reads them."""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional


@dataclass
class EncoderFinetuningConfig:
    """An encoder under a head."""

    encoder: str = field(
        default="", metadata={"help": "name of the encoder; empty: that of model_path"}
    )
    # Not an empty dict: fairseq drops from a checkpoint's settings what the default has not.
    encoder_settings: Optional[Dict[str, Any]] = field(
        default=None,
        metadata={"help": "the encoder's settings by name; its architecture is model_path's"},
    )
    head: str = field(
        default="linear",
        metadata={
            "help": "linear: on the encoder's pooled vector; attention: a learned query over frames"
        },
    )
    head_attention_heads: int = field(
        default=1, metadata={"help": "head=attention: heads, a divisor of the encoder's width"}
    )
    model_path: Optional[str] = field(
        default=None, metadata={"help": "checkpoint with a pretrained encoder"}
    )
    no_pretrained_weights: bool = field(
        default=False, metadata={"help": "start from random weights: model_path is not read"}
    )
    freeze_finetune_updates: int = field(
        default=0, metadata={"help": "updates in which only the head learns"}
    )
    final_dropout: float = field(default=0.0, metadata={"help": "dropout before the head"})
    num_labels: int = field(
        default=0, metadata={"help": "outputs K: labels, or people to identify"}
    )
