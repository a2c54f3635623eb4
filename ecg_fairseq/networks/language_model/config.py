"""Every setting of the language model, in one dataclass.

Types are spelled as fairseq's argument parser reads them (``Optional``, ``List``).
"""

from dataclasses import dataclass, field
from typing import List, Optional

from ecg_fairseq.errors import EcgError

TUNING = ("full", "lora")
TUNED_PARTS = ("lora", "norms", "new_rows", "all")
NEW_ROWS = ("trained", "frozen_mean")
ATTENTION = ("sdpa", "eager")
DTYPES = ("float32", "bfloat16")


@dataclass
class LanguageModelConfig:
    """The causal language model, its new ECG rows, and how it is tuned (fact sheet section 3.2)."""

    llm: str = field(
        default="tiny",
        metadata={
            "help": "a preset with random weights (tiny, llama_3_2_1b, ...), a local folder, or a "
            "Hugging Face hub name"
        },
    )
    hidden_size: Optional[int] = field(
        default=None, metadata={"help": "width D of a preset (default: the preset's)"}
    )
    num_layers: Optional[int] = field(
        default=None, metadata={"help": "depth of a preset (default: the preset's)"}
    )
    num_heads: Optional[int] = field(
        default=None, metadata={"help": "attention heads of a preset (default: the preset's)"}
    )
    num_key_value_heads: Optional[int] = field(
        default=None, metadata={"help": "key/value heads of a preset (default: the preset's)"}
    )
    intermediate_size: Optional[int] = field(
        default=None, metadata={"help": "feed-forward width of a preset (default: the preset's)"}
    )
    max_positions: Optional[int] = field(
        default=None, metadata={"help": "longest sequence of a preset (default: the preset's)"}
    )
    attention_dropout: Optional[float] = field(
        default=None,
        metadata={"help": "dropout on attention weights while training (default: the model's own)"},
    )
    tuning: str = field(
        default="full",
        metadata={
            "help": "full: all weights train; lora: adapters and new rows; or name what trains, "
            "joined by +: lora, norms, new_rows, all (lora+norms keeps the new rows frozen)"
        },
    )
    lora_rank: int = field(default=16, metadata={"help": "rank of the LoRA adapters"})
    lora_alpha: float = field(default=32.0, metadata={"help": "LoRA scale times rank"})
    lora_dropout: float = field(default=0.05, metadata={"help": "dropout before LoRA adapters"})
    lora_targets: List[str] = field(
        default_factory=list,
        metadata={
            "help": "names of the linear layers that get adapters; empty: every linear layer of "
            "the decoder (for Llama that is ECG-Byte's q k v o gate up down)"
        },
    )
    new_rows: str = field(
        default="trained",
        metadata={
            "help": "trained: ECG rows start with the old rows' spread and train; frozen_mean: the "
            "published form, every ECG row at the old rows' mean and frozen under LoRA, which "
            "cannot tell ECG tokens apart (kept for comparison)"
        },
    )
    gradient_checkpointing: bool = field(
        default=False, metadata={"help": "recompute activations in backward to save memory"}
    )
    attention: str = field(default="sdpa", metadata={"help": "attention kernel: sdpa or eager"})
    base_dtype: str = field(
        default="float32",
        metadata={"help": "dtype of frozen base weights under LoRA: float32 or bfloat16"},
    )

    @property
    def trains(self) -> frozenset[str]:
        """What trains, among :data:`TUNED_PARTS`; ``all`` stands alone."""
        if self.tuning == "lora":
            return frozenset({"lora", "new_rows"} if self.new_rows == "trained" else {"lora"})
        parts = frozenset(self.tuning.split("+"))
        return frozenset({"all"}) if parts & {"full", "all"} else parts

    def check(self) -> None:
        """Refuse contradictory settings.

        Raises:
            EcgError: names the setting, what was given and what is allowed.
        """
        parts = self.tuning.split("+")
        if self.tuning not in TUNING and not set(parts) <= set(TUNED_PARTS):
            raise EcgError(
                f"model.tuning={self.tuning!r} is not one of {', '.join(TUNING)}, nor parts joined "
                f"by + ({', '.join(TUNED_PARTS)})"
            )
        for name, allowed in (
            ("new_rows", NEW_ROWS),
            ("attention", ATTENTION),
            ("base_dtype", DTYPES),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise EcgError(f"model.{name}={value!r} is not one of {', '.join(allowed)}")
        if "all" in self.trains and self.base_dtype != "float32":
            raise EcgError(
                f"model.base_dtype=bfloat16 is for frozen weights; with model.tuning={self.tuning} "
                "keep float32 and set task.autocast=bf16 instead"
            )
        if "lora" in self.trains and self.lora_rank < 1:
            raise EcgError(f"model.lora_rank={self.lora_rank} must be at least 1")
