"""Texts to vectors: any Hugging Face encoder, or a tiny random one, under one protocol.

Reports and label names are embedded by the contrastive and the text-conditioned systems (fact
sheets ecg-encoder.md sections 5 and 6, dual-attention.md section 4). Weights are safetensors only
and no code of a model's folder is run. What turns codes into sentences is not here.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.encoders.text.text_models import (
    TINY,
    TextModel,
    load_named,
    make_tiny,
    tiny_of,
)

logger = logging.getLogger(__name__)

POOLINGS = ("masked_mean", "pooler", "cls", "published")


class TextEncoder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def width(self) -> int:
        """Length D of a vector."""
        ...

    def encode(self, texts: list[str]) -> Tensor:
        """Return the vectors (B, D) of texts."""
        ...


@dataclass(frozen=True)
class TextEncoderConfig:
    """Settings of a :class:`TransformersTextEncoder`.

    Attributes:
        model: a local folder, a hub name, or ``tiny`` (random weights, no hub).
        pooling: ``masked_mean`` of the last layer over a text's own tokens; ``pooler``: the model's
            own output, as MERL's MedCPT; ``cls``: the first token; ``published``: mean over
            ``max_tokens`` positions, padding included, as the SCP texts of LLM-ECG-Dual-Attention
            and the text condition of ecg_encoder.
        max_tokens: longer texts are cut, and counted; None: as many as the model takes.
        special_tokens: ``added`` by the tokenizer, while text that spells one stays text;
            ``in_text``: none is added and text that spells one means it, as in the SCP texts.
        is_trainable: gradients flow into the model; otherwise it stays in evaluation mode.
        batch_size: texts that run through the model at once.
        revision: of a hub name.
        vocabulary_size: of ``tiny``, most ids of the tokenizer that is trained.
        seed: of the random weights of ``tiny``.
    """

    model: str = TINY
    pooling: str = "masked_mean"
    max_tokens: int | None = None
    special_tokens: str = "added"
    is_trainable: bool = False
    batch_size: int = 64
    revision: str | None = None
    vocabulary_size: int = 512
    seed: int = 1

    def check(self) -> None:
        """Refuse settings that cannot work.

        Raises:
            EcgError: names the setting.
        """
        if self.pooling not in POOLINGS:
            raise EcgError(f"pooling={self.pooling!r} must be one of {', '.join(POOLINGS)}")
        if self.special_tokens not in ("added", "in_text"):
            raise EcgError(f"special_tokens={self.special_tokens!r} must be added or in_text")
        if self.batch_size < 1 or (self.max_tokens is not None and self.max_tokens < 1):
            raise EcgError(
                f"batch_size={self.batch_size} and max_tokens={self.max_tokens} must be positive"
            )


class TransformersTextEncoder(nn.Module):
    """A transformers model, its tokenizer, and pooling.

    Args:
        model: with its tokenizer.
        config: settings.

    Attributes:
        num_texts: texts encoded since the start.
        num_truncated: of them, those that were longer than ``max_tokens``.
    """

    def __init__(self, model: TextModel, config: TextEncoderConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.model = model.network
        self.tokenizer = model.tokenizer
        self.max_tokens = _max_tokens(model, config)
        self.num_texts = self.num_truncated = 0
        if not config.is_trainable:
            self.model.requires_grad_(False)
        if config.pooling == "pooler" and not model.has_pooler:
            raise EcgError(
                f"text model {config.model!r} has no trained pooler; use pooling=masked_mean or cls"
            )
        self.train(False)

    @property
    def width(self) -> int:
        """Length D of a vector."""
        return int(self.model.config.hidden_size)

    def train(self, mode: bool = True) -> "TransformersTextEncoder":
        """Set training mode; a frozen model stays in evaluation mode."""
        super().train(mode)
        self.model.train(mode and self.config.is_trainable)
        return self

    def encode(self, texts: list[str]) -> Tensor:
        """Return the vectors (B, D), float32, of texts.

        Args:
            texts: B of them, possibly none; texts of similar length share a batch.

        Raises:
            EcgError: a text has no token.
        """
        ids = self.token_ids(texts)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        size = self.config.batch_size
        with torch.set_grad_enabled(self.config.is_trainable and torch.is_grad_enabled()):
            batches = [
                self._pooled([ids[index] for index in order[start : start + size]])
                for start in range(0, len(order), size)
            ]
        if not batches:
            return torch.zeros(0, self.width, device=self.model.device)
        places = torch.tensor(order, device=self.model.device).argsort()
        return torch.cat(batches)[places]

    forward = encode

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold beside the weights, in plain types.

        A tokenizer of ``tiny`` is there whole, a named one by its hash.
        """
        text = _plain(self.tokenizer)
        state = {"config": asdict(self.config), "sha256": _sha256(text)}
        return {**state, "tokenizer": text} if self.config.model == TINY else state

    def token_ids(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each text, and count what is cut.

        Raises:
            EcgError: a text has no token.
        """
        if not texts:
            return []
        is_added = self.config.special_tokens == "added"
        found = self.tokenizer(
            list(texts),
            add_special_tokens=is_added,
            split_special_tokens=is_added,
            truncation=True,
            max_length=self.max_tokens,
            return_overflowing_tokens=True,
        )
        ids: list[list[int]] = []
        truncated: set[int] = set()
        # A text that is too long has further rows behind its first.
        for row, text in zip(found["input_ids"], found["overflow_to_sample_mapping"], strict=True):
            if text == len(ids):
                ids.append(row)
            else:
                truncated.add(text)
        empty = [text for text, row in enumerate(ids) if not row]
        if empty:
            raise EcgError(
                f"text {empty[0]} of {len(texts)}, {texts[empty[0]]!r}, has no token; leave it out "
                "or give it a text"
            )
        self._count(len(texts), len(truncated))
        return ids

    def _count(self, num_texts: int, num_truncated: int) -> None:
        if num_truncated and not self.num_truncated:
            logger.warning(
                "%d of %d texts are longer than %d tokens and are cut; further ones are only "
                "counted (num_truncated)",
                num_truncated, num_texts, self.max_tokens,
            )  # fmt: skip
        self.num_texts += num_texts
        self.num_truncated += num_truncated

    def _pooled(self, ids: Sequence[list[int]]) -> Tensor:
        """Return the vectors (B, D) of one batch of token ids."""
        is_published = self.config.pooling == "published"
        batch = self.tokenizer.pad(
            {"input_ids": list(ids)},
            padding="max_length" if is_published else "longest",
            max_length=self.max_tokens if is_published else None,
            return_tensors="pt",
        ).to(self.model.device)
        mask = batch["attention_mask"]
        output = self.model(input_ids=batch["input_ids"], attention_mask=mask)
        if self.config.pooling == "pooler":
            pooled: Tensor = output.pooler_output.float()
            return pooled
        return pool_tokens(output.last_hidden_state.float(), mask.bool(), self.config.pooling)


def pool_tokens(tokens: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Return the vectors (B, D) of token vectors.

    Args:
        tokens: (B, S, D).
        mask: bool (B, S), True for a text's own tokens, which come first.
        pooling: ``masked_mean``, ``cls`` or ``published`` (see :class:`TextEncoderConfig`).
    """
    if pooling == "cls":
        return tokens[:, 0]
    if pooling == "published":
        return tokens.mean(1)
    own = mask.unsqueeze(2)
    return tokens.masked_fill(~own, 0.0).sum(1) / own.sum(1)


def open_text_encoder(
    config: TextEncoderConfig, corpus: Iterable[str] | None = None
) -> TransformersTextEncoder:
    """Make a text encoder.

    Args:
        config: settings.
        corpus: texts that the tokenizer of ``tiny`` is trained on; None: single bytes.

    Raises:
        EcgError: the model cannot be loaded, or does not fit the settings.
    """
    config.check()
    if config.model == TINY:
        model = make_tiny(corpus or (), config.vocabulary_size, config.seed)
    else:
        model = load_named(config.model, config.revision)
    return TransformersTextEncoder(model, config)


def text_encoder_from_state(state: dict[str, Any]) -> TransformersTextEncoder:
    """Make the text encoder of a checkpoint; its weights are those of the named model, or random.

    Args:
        state: of :meth:`TransformersTextEncoder.state`.

    Raises:
        CheckpointError: the named tokenizer is not the one that was trained with.
        EcgError: see :func:`open_text_encoder`.
    """
    config = TextEncoderConfig(**state["config"])
    if config.model == TINY:
        return TransformersTextEncoder(tiny_of(state["tokenizer"], config.seed), config)
    model = load_named(config.model, config.revision)
    found = _sha256(_plain(model.tokenizer))
    if found != state["sha256"]:
        raise CheckpointError(
            f"the tokenizer of text model {config.model!r} is not the one of this checkpoint (hash "
            f"{found[:12]}, expected {state['sha256'][:12]}); use the same revision of the model"
        )
    return TransformersTextEncoder(model, config)


def _plain(tokenizer: Any) -> str:
    """Return a tokenizer's file without the lengths of its last batch."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return str(backend.to_str())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _max_tokens(model: TextModel, config: TextEncoderConfig) -> int:
    if config.max_tokens is None:
        return model.max_tokens
    if config.max_tokens > model.max_tokens:
        raise EcgError(
            f"max_tokens={config.max_tokens} is more than the {model.max_tokens} that text model "
            f"{config.model!r} takes"
        )
    return config.max_tokens
