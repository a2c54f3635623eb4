"""The language model below everything: a preset with random weights, or a pretrained folder.

A pretrained base is taken whole or not at all: transformers fills tensors that a folder lacks with
random numbers and drops those that its settings have no place for, and both give another model
under the old name. How a base likes to write (repetition penalties, beams, ...) is left behind:
answers are as :mod:`answering` says.
"""

import dataclasses
import logging
from typing import Any

import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError, first_line
from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.presets import PRESETS, preset_config
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

logger = logging.getLogger(__name__)

# The published resize drew new rows from the old covariance times this (fact sheet 3.2).
_PUBLISHED_COVARIANCE_SCALE = 1e-9
# Names of the longest sequence; a family without any places sequences of every length.
_POSITION_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_UNLIMITED_POSITIONS = 1 << 30
_TENSORS_NAMED = 3


def random_base(config: LanguageModelConfig, vocabulary: EcgVocabulary) -> Any:
    """Build a preset with random weights for the whole vocabulary."""
    from transformers import AutoModelForCausalLM

    overrides = {
        name: getattr(config, name)
        for name in (
            "hidden_size",
            "num_layers",
            "num_heads",
            "num_key_value_heads",
            "intermediate_size",
            "max_positions",
        )
    }
    shape = preset_config(config.llm, vocabulary.size, overrides)
    shape.bos_token_id, shape.eos_token_id = vocabulary.bos_id, vocabulary.eos_id
    shape.pad_token_id = vocabulary.pad_id
    if config.attention_dropout is not None:
        set_attention_dropout(shape, config.attention_dropout)
    return AutoModelForCausalLM.from_config(
        shape, attn_implementation=config.attention, dtype=_base_dtype(config)
    )


def named_base(config: LanguageModelConfig) -> Any:
    """Load pretrained weights from a folder or the hub (safetensors only).

    Attention runs in the kernel that the settings name; ``sdpa`` gives way to ``eager`` in families
    that do not have it (Gemma-2, whose scores are capped; GPT-Neo; ...), with the same numbers.

    Raises:
        EcgError: it cannot be loaded, reads more than text, or lacks tensors or has others than
            its settings ask for.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    # Every family raises errors of its own for a damaged or unknown folder.
    try:
        shape = AutoConfig.from_pretrained(config.llm, trust_remote_code=False)
    except Exception as cause:
        raise _not_loaded(config.llm, cause) from cause
    _refuse_what_is_no_decoder(config.llm, shape)
    if config.attention_dropout is not None:
        set_attention_dropout(shape, config.attention_dropout)
    try:
        found: Any = AutoModelForCausalLM.from_pretrained(
            config.llm,
            config=shape,
            dtype=_base_dtype(config),
            # Without a name transformers takes sdpa where a family has it, else eager.
            attn_implementation=None if config.attention == "sdpa" else config.attention,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as cause:
        raise _not_loaded(config.llm, cause) from cause
    llm, loaded = found
    _refuse_another_model(config.llm, llm, loaded)
    if llm.config._attn_implementation != config.attention:
        logger.info(f"{config.llm} has no {config.attention} attention: it runs in eager")
    return llm


def forget_generation_settings(llm: Any) -> None:
    """Drop what a base's files say about how to write: answers are as the decoding options say.

    transformers fills every setting that a call leaves open from these, greedy or not.
    """
    from transformers import GenerationConfig

    llm.generation_config = GenerationConfig()
    own_fields = {field.name for field in dataclasses.fields(llm.config)}
    for name in GenerationConfig().to_dict():
        if name in vars(llm.config) and name not in own_fields and name != "use_cache":
            delattr(llm.config, name)


def max_positions(llm: Any) -> int:
    """Return the longest sequence that a base can place."""
    shape = llm.config.get_text_config()
    given = [getattr(shape, name, None) for name in _POSITION_FIELDS]
    return int(next((length for length in given if length is not None), _UNLIMITED_POSITIONS))


def set_attention_dropout(shape: Any, rate: float) -> None:
    """Set the dropout on attention weights, whatever a family calls it."""
    names = [name for name in ("attention_dropout", "attn_pdrop") if hasattr(shape, name)]
    if not names:
        raise EcgError(
            f"model.attention_dropout is not known for {type(shape).__name__}; leave it unset"
        )
    setattr(shape, names[0], rate)


def add_rows(llm: Any, vocabulary: EcgVocabulary, new_rows: str) -> None:
    """Append the ECG rows to the embedding tables of a pretrained base.

    Raises:
        EcgError: the vocabulary was laid out for another base.
    """
    old = llm.get_input_embeddings().weight.shape[0]
    if vocabulary.num_text_rows == 0:
        raise EcgError(
            "a prompt layout without text needs a preset with random weights: set model.llm to one "
            f"of {', '.join(PRESETS)}"
        )
    if old != vocabulary.num_text_rows:
        raise EcgError(
            f"the language model has {old} rows but the vocabulary was laid out for "
            f"{vocabulary.num_text_rows}; set task.text_tokenizer to the same name as model.llm"
        )
    llm.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    for weight in embedding_tables(llm).values():
        with torch.no_grad():
            rows = weight[:old].float()
            spread = rows.std(dim=0)
            if new_rows == "frozen_mean":
                spread = spread * _PUBLISHED_COVARIANCE_SCALE**0.5
            fresh = rows.mean(dim=0) + spread * torch.randn(vocabulary.num_new_rows, rows.shape[1])
            weight[old:] = fresh.to(weight.dtype)


def embedding_tables(llm: Any) -> dict[str, Tensor]:
    """Return the input table and, where it is not tied to it, the output table."""
    return {name: module.weight for name, module in embedding_modules(llm).items()}


def embedding_modules(llm: Any) -> dict[str, Any]:
    """Return the modules behind :func:`embedding_tables`."""
    modules = {"input": llm.get_input_embeddings()}
    output = llm.get_output_embeddings()
    if output is not None and output.weight is not modules["input"].weight:
        modules["output"] = output
    return modules


def _base_dtype(config: LanguageModelConfig) -> torch.dtype:
    """Return the dtype that the base's weights are made in."""
    return torch.bfloat16 if config.base_dtype == "bfloat16" else torch.float32


def _not_loaded(name: str, cause: Exception) -> EcgError:
    """Return the error about a base that transformers cannot load, with its own reason."""
    return EcgError(
        f"language model {name!r} cannot be loaded: {first_line(cause)}; model.llm is a preset "
        f"({', '.join(PRESETS)}), a local folder with config.json and safetensors, or the name of "
        "such a model on a hub that can be reached from here; give a local path or a preset"
    )


def _refuse_what_is_no_decoder(name: str, shape: Any) -> None:
    """Refuse a base that is more than a decoder of text; EcgError."""
    kind = type(shape).__name__
    if shape.get_text_config() is not shape:
        raise EcgError(
            f"language model {name!r} reads more than text ({kind} keeps its language model in a "
            "part of it); only models of text alone can get ECG rows: take the text-only release "
            "of the family (such as google/gemma-3-1b-it), or save the language model by itself"
        )
    if getattr(shape, "is_encoder_decoder", False):
        raise EcgError(
            f"language model {name!r} is an encoder with a decoder ({kind}); only models that "
            "continue one sequence can get ECG rows (Llama, Qwen, Gemma, GPT-2, OPT, ...)"
        )


def _refuse_another_model(name: str, llm: Any, loaded: dict[str, Any]) -> None:
    """Refuse a folder whose tensors are not those of its settings; EcgError names them."""
    problems = []
    for what, found in (
        ("are missing", sorted(loaded["missing_keys"])),
        ("have another shape", [_shapes(entry) for entry in sorted(loaded["mismatched_keys"])]),
        ("have no place in it", _inside(llm, sorted(loaded["unexpected_keys"]))),
        ("could not be read", [str(text) for text in loaded.get("error_msgs", ())]),
    ):
        if found:
            more = ", ..." if len(found) > _TENSORS_NAMED else ""
            problems.append(f"{len(found)} {what} ({', '.join(found[:_TENSORS_NAMED])}{more})")
    if problems:
        raise EcgError(
            f"the weights of language model {name!r} are not those of its config.json "
            f"({type(llm).__name__}): of its tensors {'; '.join(problems)}. They would be random "
            "or left out; download it again, or give a complete model of this kind"
        )
    if loaded["unexpected_keys"]:
        unused = ", ".join(sorted(loaded["unexpected_keys"])[:_TENSORS_NAMED])
        logger.warning(f"{name} also holds parts that are no language model's: {unused}")


def _shapes(entry: tuple[str, Any, Any]) -> str:
    """Return a mismatched tensor's name with its shapes, as transformers reports them."""
    tensor, stored, wanted = entry
    return f"{tensor} {tuple(stored)} instead of {tuple(wanted)}"


def _inside(llm: Any, names: list[str]) -> list[str]:
    """Keep the tensors that belong to a module of the model, not to a further head beside it."""
    bodies = [llm, getattr(llm, llm.base_model_prefix, llm)]
    known = {child for body in bodies for child, _ in body.named_children()}
    return [name for name in names if name.partition(".")[0] in known]
