"""Named decoder shapes with random weights, so that training and tests need no hub.

`tiny` is what learns in CPU minutes (quickstart-feasibility section 2). The `*_tiny` others exist
to exercise each family's own positions, norms and heads. `llama_3_2_1b` is the published size.
"""

from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import EcgError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# preset -> (transformers config class, values); vocab_size is filled in from the vocabulary
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny": (
        "LlamaConfig",
        {
            "hidden_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "intermediate_size": 384,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
        },
    ),
    "gpt2_tiny": (
        "GPT2Config",
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 2048,
        },
    ),
    "opt_tiny": (
        "OPTConfig",
        {
            "hidden_size": 64,
            "word_embed_proj_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 128,
            "max_position_embeddings": 2048,
        },
    ),
    "gemma_tiny": (
        "GemmaConfig",
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "intermediate_size": 128,
            "max_position_embeddings": 2048,
        },
    ),
    "llama_3_2_1b": (
        "LlamaConfig",
        {
            "hidden_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "intermediate_size": 8192,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 32.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "tie_word_embeddings": True,
        },
    ),
}

# our field -> the names a family may use for it
_FIELD_NAMES = {
    "hidden_size": ("hidden_size",),
    "num_layers": ("num_hidden_layers",),
    "num_heads": ("num_attention_heads",),
    "num_key_value_heads": ("num_key_value_heads",),
    "intermediate_size": ("intermediate_size", "ffn_dim", "n_inner"),
    "max_positions": ("max_position_embeddings",),
}


def preset_config(
    name: str, vocab_size: int, overrides: dict[str, int | None]
) -> "PretrainedConfig":
    """Return the transformers config of a preset.

    Args:
        name: a key of :data:`PRESETS`.
        vocab_size: rows V of the embedding, ECG rows included.
        overrides: our field names (``hidden_size``, ``num_layers``, ...) to values; None keeps the
            preset's value.

    Raises:
        EcgError: width and head counts do not divide.
    """
    import transformers

    class_name, preset = PRESETS[name]
    values = dict(preset)
    for field_name, value in overrides.items():
        if value is None:
            continue
        known = [key for key in _FIELD_NAMES[field_name] if key in values]
        values[known[0] if known else _FIELD_NAMES[field_name][0]] = value
    if overrides.get("hidden_size") is not None:
        if "word_embed_proj_dim" in values:
            values["word_embed_proj_dim"] = values["hidden_size"]
        if "head_dim" in values:
            values["head_dim"] = values["hidden_size"] // values["num_attention_heads"]
    _check_heads(name, values)
    return getattr(transformers, class_name)(vocab_size=vocab_size, **values)


def _check_heads(name: str, values: dict[str, Any]) -> None:
    """Refuse a width and head counts that do not divide.

    Raises:
        EcgError: names the settings and their values.
    """
    width, heads = values["hidden_size"], values["num_attention_heads"]
    groups = values.get("num_key_value_heads", heads)
    if min(width, heads, groups) < 1 or width % heads or heads % groups:
        raise EcgError(
            f"preset {name} with model.hidden_size={width}, model.num_heads={heads}, "
            f"model.num_key_value_heads={groups}: the width must be a multiple of the heads, and "
            "the heads a multiple of the key/value heads"
        )
