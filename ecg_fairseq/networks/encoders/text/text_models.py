"""Where text models come from: a local Hugging Face folder, the hub, or random weights.

Every way in gives the network, a fast tokenizer that pads on the
right, and how many tokens they take.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ecg_fairseq.errors import EcgError, first_line

TINY = "tiny"
_TINY_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 256,
}
_PAD, _CLS, _SEP = "[PAD]", "[CLS]", "[SEP]"
# Tokenizers without a limit of their own carry a huge number instead.
_NO_LIMIT = 10**6
_DEFAULT_LIMIT = 512


@dataclass(frozen=True)
class TextModel:
    """A text model ready to be used.

    Attributes:
        network: a transformers encoder with ``last_hidden_state`` among its outputs.
        tokenizer: its fast tokenizer.
        max_tokens: the longest text, special tokens included.
        has_pooler: whether it has a pooler with weights of its own.
    """

    network: Any
    tokenizer: Any
    max_tokens: int
    has_pooler: bool


def load_named(name: str, revision: str | None = None) -> TextModel:
    """Load a local folder or a hub name.

    Args:
        name: of the folder, or of the hub's model.
        revision: of the hub's model.

    Raises:
        EcgError: it cannot be found or reached, has no safetensors or no fast tokenizer, or weights
            are missing.
    """
    from transformers import AutoModel, AutoTokenizer

    _check_folder(name)
    options: dict[str, Any] = {"trust_remote_code": False}
    if revision is not None:
        options["revision"] = revision
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        network, report = AutoModel.from_pretrained(
            name, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
        )
    except Exception as cause:
        # Hub, network, file and shape errors have a dozen unrelated classes in these libraries.
        raise EcgError(
            f"text model {name!r} cannot be loaded ({first_line(cause)}): give a local folder with "
            "config.json, tokenizer.json and model.safetensors, or a hub name that can be reached "
            "from here and has safetensors weights; tiny needs neither"
        ) from cause
    missing = sorted(report["missing_keys"])
    absent = [key for key in missing if "pooler" not in key]
    if absent:
        raise EcgError(
            f"text model {name!r} lacks {len(absent)} of its weights ({absent[0]}, ...): it is "
            "incomplete, or its weights are under other names than its config.json says"
        )
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    _fit_tokenizer(name, tokenizer, network)
    has_pooler = getattr(network, "pooler", None) is not None and not missing
    return TextModel(network, tokenizer, _limit(tokenizer, network), has_pooler)


def make_tiny(corpus: Iterable[str], vocabulary_size: int, seed: int) -> TextModel:
    """Make a small BERT of random weights over a byte-level tokenizer.

    Args:
        corpus: texts that the tokenizer is trained on; with none, tokens are single bytes.
        vocabulary_size: most ids; the bytes and three special tokens are always there.
        seed: of the weights.
    """
    return tiny_of(_byte_tokenizer(corpus, vocabulary_size), seed)


def tiny_of(tokenizer_json: str, seed: int) -> TextModel:
    """Make the same small BERT over a tokenizer that was trained before.

    Args:
        tokenizer_json: the tokenizer's file.
        seed: of the weights.
    """
    import transformers
    from tokenizers import Tokenizer

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_json),
        pad_token=_PAD, cls_token=_CLS, sep_token=_SEP,
    )  # fmt: skip
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **_TINY_SIZES
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = transformers.BertModel(config)
    return TextModel(network, tokenizer, _TINY_SIZES["max_position_embeddings"], has_pooler=True)


def _byte_tokenizer(corpus: Iterable[str], vocabulary_size: int) -> str:
    """Train byte-level BPE, return its file; it depends on the multiset of texts only."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[_PAD, _CLS, _SEP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(sorted(corpus), trainer)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{_CLS} $A {_SEP}",
        special_tokens=[(token, backend.token_to_id(token)) for token in (_CLS, _SEP)],
    )
    return str(backend.to_str())


def _check_folder(name: str) -> None:
    """Say at once that a path does not exist, instead of asking the hub for it.

    Raises:
        EcgError: it looks like a path and is no folder.
    """
    is_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    if is_path and not Path(name).is_dir():
        raise EcgError(
            f"text model {name!r} is not a folder; give a Hugging Face folder, a hub name "
            "(owner/name), or tiny"
        )


def _fit_tokenizer(name: str, tokenizer: Any, network: Any) -> None:
    """Pad on the right with some token, as pooling expects.

    Raises:
        EcgError: no fast tokenizer, or one with more ids than the model has rows.
    """
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise EcgError(f"text model {name!r} must have a fast tokenizer (tokenizer.json)")
    num_rows = network.get_input_embeddings().num_embeddings
    if len(tokenizer) > num_rows:
        raise EcgError(
            f"the tokenizer of text model {name!r} has {len(tokenizer)} ids but the model has "
            f"{num_rows} rows: they do not belong together"
        )
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        # Any will do: padding is masked.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)


def _limit(tokenizer: Any, network: Any) -> int:
    """Return the longest text; RoBERTa's positions begin behind its padding id."""
    limits = []
    positions = getattr(network.config, "max_position_embeddings", None)
    if positions:
        table = getattr(getattr(network, "embeddings", None), "position_embeddings", None)
        offset = getattr(table, "padding_idx", None)
        limits.append(positions - (0 if offset is None else offset + 1))
    if tokenizer.model_max_length < _NO_LIMIT:
        limits.append(tokenizer.model_max_length)
    return int(min(limits, default=_DEFAULT_LIMIT))
