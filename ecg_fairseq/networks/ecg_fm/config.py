"""Every setting of the ECG-FM networks, with fairseq-signals' names and defaults.

Types are spelled as fairseq's argument parser reads them (``Optional``, ``List``).
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import List, Optional

from ecg_fairseq.errors import EcgError

EXTRACTOR_MODES = ("default", "layer_norm")
SPAN_SELECTIONS = ("static", "uniform", "normal", "poisson")
# How an exported file spells the weight norm; fairseq-signals reads both.
KEY_STYLES = ("weight_g", "parametrizations")


@dataclass
class EcgTransformerConfig:
    """Convolutions, Transformer and masking (fact sheet section 3.1)."""

    encoder_layers: int = field(default=12, metadata={"help": "Transformer layers"})
    encoder_embed_dim: int = field(default=768, metadata={"help": "width D"})
    encoder_ffn_embed_dim: int = field(default=3072, metadata={"help": "feed-forward width"})
    encoder_attention_heads: int = field(default=12, metadata={"help": "attention heads H"})
    layer_norm_first: bool = field(
        default=False, metadata={"help": "normalize before each block instead of after it"}
    )
    dropout: float = field(default=0.1, metadata={"help": "dropout in the Transformer"})
    attention_dropout: float = field(default=0.1, metadata={"help": "dropout on attention weights"})
    activation_dropout: float = field(
        default=0.0, metadata={"help": "dropout after the feed-forward activation"}
    )
    encoder_layerdrop: float = field(
        default=0.0, metadata={"help": "chance of skipping a layer in training"}
    )
    dropout_input: float = field(
        default=0.0, metadata={"help": "dropout on frames that enter the Transformer"}
    )
    dropout_features: float = field(
        default=0.0, metadata={"help": "dropout on frames that become targets"}
    )
    apply_mask: bool = field(default=False, metadata={"help": "mask spans of frames"})
    mask_length: int = field(default=10, metadata={"help": "length of a masked span in frames"})
    mask_prob: float = field(
        default=0.0, metadata={"help": "share of frames to mask, counted as if spans did not meet"}
    )
    mask_selection: str = field(
        default="static", metadata={"help": f"span lengths: {', '.join(SPAN_SELECTIONS)}"}
    )
    mask_other: float = field(
        default=0.0, metadata={"help": "uniform: shortest span; normal: standard deviation"}
    )
    no_mask_overlap: bool = field(default=False, metadata={"help": "keep spans apart"})
    mask_min_space: int = field(
        default=1, metadata={"help": "frames between spans that are kept apart"}
    )
    mask_channel_length: int = field(default=10, metadata={"help": "span of masked channels"})
    mask_channel_prob: float = field(default=0.0, metadata={"help": "share of channels set to 0"})
    mask_channel_selection: str = field(
        default="static", metadata={"help": f"span lengths: {', '.join(SPAN_SELECTIONS)}"}
    )
    mask_channel_other: float = field(default=0.0, metadata={"help": "as mask_other"})
    no_mask_channel_overlap: bool = field(default=False, metadata={"help": "keep spans apart"})
    mask_channel_min_space: int = field(default=1, metadata={"help": "as mask_min_space"})
    extractor_mode: str = field(
        default="default",
        metadata={
            "help": "default: group norm after the first convolution; layer_norm: after each"
        },
    )
    conv_feature_layers: str = field(
        default="[(256, 2, 2)] * 4",
        metadata={"help": "(channels, kernel, stride) of each convolution, as a Python list"},
    )
    in_d: int = field(default=12, metadata={"help": "leads L"})
    conv_bias: bool = field(default=False, metadata={"help": "convolutions have a bias"})
    feature_grad_mult: float = field(
        default=1.0, metadata={"help": "scale of the convolutions' gradients; 0 freezes them"}
    )
    conv_pos: int = field(default=128, metadata={"help": "kernel of the position convolution"})
    conv_pos_groups: int = field(default=16, metadata={"help": "groups of that convolution"})
    saliency: bool = field(
        default=False, metadata={"help": "also return attention weights averaged over heads"}
    )
    padding_reaches_positions: bool = field(
        default=False,
        metadata={
            "help": "as fairseq-signals: padded frames enter the position convolution and leak "
            "into their neighbours; converted checkpoints set it, new runs should not"
        },
    )
    checkpoint_activations: bool = field(
        default=False, metadata={"help": "recompute layers in backward to save memory"}
    )
    compile_layers: bool = field(default=False, metadata={"help": "torch.compile each layer"})
    # Settings that do nothing here: name -> (only value allowed, why). No field of the dataclass.
    retired = MappingProxyType(
        {
            "model.all_gather": (
                False,
                "contrastive losses use the batch of one process, as ECG-FM does; raise "
                "dataset.batch_size instead",
            )
        }
    )

    def check(self) -> None:
        """Refuse contradictory settings.

        Raises:
            EcgError: names the setting, what was given and what is allowed.
        """
        for name, allowed in (
            ("extractor_mode", EXTRACTOR_MODES),
            ("mask_selection", SPAN_SELECTIONS),
            ("mask_channel_selection", SPAN_SELECTIONS),
        ):
            if getattr(self, name) not in allowed:
                raise EcgError(
                    f"model.{name}={getattr(self, name)!r} is not one of {', '.join(allowed)}"
                )
        for name in ("encoder_attention_heads", "conv_pos_groups"):
            if getattr(self, name) < 1 or self.encoder_embed_dim % getattr(self, name):
                raise EcgError(
                    f"model.encoder_embed_dim={self.encoder_embed_dim} is not a multiple of "
                    f"model.{name}={getattr(self, name)}; change one of them"
                )
        for name in ("encoder_layers", "mask_length", "mask_channel_length", "conv_pos", "in_d"):
            if getattr(self, name) < 1:
                raise EcgError(f"model.{name}={getattr(self, name)} must be at least 1")


@dataclass
class Wav2Vec2Config(EcgTransformerConfig):
    """The contrastive head on top (fact sheet section 3.2)."""

    logit_temp: float = field(default=0.1, metadata={"help": "divides cosine similarities"})
    quantize_targets: bool = field(
        default=False, metadata={"help": "targets are codes of the quantizer"}
    )
    quantize_input: bool = field(
        default=False, metadata={"help": "the Transformer reads codes of a quantizer, too"}
    )
    same_quantizer: bool = field(
        default=False, metadata={"help": "one quantizer for input and targets"}
    )
    target_glu: bool = field(default=False, metadata={"help": "project targets and gate them"})
    latent_vars: int = field(default=320, metadata={"help": "codes of each group"})
    latent_groups: int = field(default=2, metadata={"help": "groups of codes"})
    latent_dim: int = field(
        default=0, metadata={"help": "width of a quantized frame; 0: final_dim"}
    )
    final_dim: int = field(
        default=0,
        metadata={"help": "width in which prediction and target meet; 0: encoder_embed_dim"},
    )
    num_negatives: int = field(default=100, metadata={"help": "negatives of the same segment"})
    negatives_from_everywhere: bool = field(
        default=False, metadata={"help": "draw negatives from all frames, not the masked only"}
    )
    cross_sample_negatives: int = field(
        default=0, metadata={"help": "negatives from the whole batch"}
    )
    codebook_negatives: int = field(default=0, metadata={"help": "negatives from the codebook"})
    latent_temp: List[float] = field(
        default_factory=lambda: [2.0, 0.5, 0.999995],
        metadata={"help": "Gumbel temperature: first, last, factor of each update"},
    )

    @property
    def prediction_dim(self) -> int:
        """Width in which predictions and targets meet (upstream takes a 0 literally)."""
        return self.final_dim if self.final_dim > 0 else self.encoder_embed_dim

    @property
    def quantized_dim(self) -> int:
        """Width of a quantized frame."""
        return self.latent_dim if self.latent_dim > 0 else self.prediction_dim

    def check(self) -> None:
        """Refuse contradictory settings; see the base class."""
        super().check()
        if len(self.latent_temp) != 3:
            raise EcgError(f"model.latent_temp={list(self.latent_temp)} must hold three numbers")
        if self.quantize_targets and self.quantized_dim % self.latent_groups:
            raise EcgError(
                f"the quantized width {self.quantized_dim} (model.latent_dim or model.final_dim) "
                f"is not a multiple of model.latent_groups={self.latent_groups}"
            )
        if self.codebook_negatives and not self.quantize_targets:
            raise EcgError("model.codebook_negatives needs model.quantize_targets=true")


@dataclass
class FinetuningConfig(EcgTransformerConfig):
    """What every finetuned network adds; dropouts start at 0 here (fact sheet section 3.4)."""

    dropout: float = field(default=0.0, metadata={"help": "dropout in the Transformer"})
    attention_dropout: float = field(default=0.0, metadata={"help": "dropout on attention weights"})
    feature_grad_mult: float = field(
        default=0.0, metadata={"help": "scale of the convolutions' gradients; 0 freezes them"}
    )
    model_path: Optional[str] = field(
        default=None,
        metadata={
            "help": "pretrained checkpoint (ours; run `ecg-fairseq convert` on fairseq-signals' "
            "first); its architecture replaces the settings above"
        },
    )
    no_pretrained_weights: bool = field(
        default=False, metadata={"help": "start from random weights: model_path is not read"}
    )
    freeze_finetune_updates: int = field(
        default=0, metadata={"help": "updates in which only the head learns"}
    )
    final_dropout: float = field(default=0.0, metadata={"help": "dropout before pooling"})
    num_labels: int = field(
        default=0, metadata={"help": "outputs K: labels, or people to identify"}
    )

    def check(self) -> None:
        """Refuse contradictory settings; see the base class."""
        super().check()
        if self.num_labels < 1:
            raise EcgError(
                f"model.num_labels={self.num_labels}: give the number of columns of the label file "
                "(task.label_file), or of people to identify"
            )
