"""Finetuned networks over any encoder: a classifier, and identification with ArcFace.

Source of the training scheme: fact sheet ecg-fm.md section 3.4. Systems with released classifiers
of their own (ECG-FM) derive from these, so every verb can treat them alike.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.encoder import EncodedSignal, Encoder
from ecg_fairseq.networks.encoders.heads import cosines, label_layer, patient_directions


@dataclass(frozen=True)
class FinetunedOutput:
    """What a finetuned network gives.

    Attributes:
        logits: (B, K); for identification the cosines with each patient's direction.
        pooled: (B, D), the segment's embedding.
        encoded: the encoder's output.
    """

    logits: Tensor
    pooled: Tensor
    encoded: EncodedSignal


class FinetunedEncoder(nn.Module, ABC):
    """An encoder and a read-out under an output layer.

    Args:
        encoder: any :class:`Encoder` that is a module.
        read_out: from :class:`EncodedSignal` to embeddings (B, D).
        num_labels: K.
        freeze_updates: updates in which only read-out and output layer learn.
    """

    def __init__(
        self, encoder: nn.Module, read_out: nn.Module, num_labels: int, freeze_updates: int = 0
    ) -> None:
        super().__init__()
        if num_labels < 1:
            raise EcgError(
                f"model.num_labels={num_labels}: give the number of columns of the label file "
                "(task.label_file), or of people to identify"
            )
        self.encoder = encoder
        self.read_out = read_out
        self.num_labels = num_labels
        self.freeze_updates = freeze_updates
        self.num_updates = 0

    def forward(
        self, source: Tensor, padding_mask: Tensor | None = None, **_: Any
    ) -> FinetunedOutput:
        """Score signals.

        Args:
            source: (B, L, T), as the recipe and the task give them.
            padding_mask: bool (B, T) or (B, L, T), True where padded, or None.
        """
        is_frozen = self.training and self.num_updates < self.freeze_updates
        if padding_mask is not None and padding_mask.dim() == 3:
            padding_mask = padding_mask[:, 0]
        with _frozen(self.encoder) if is_frozen else contextlib.nullcontext():
            encoded = self.encode(source, padding_mask)
        pooled = self.read_out(encoded)
        return FinetunedOutput(self.score(pooled), pooled, encoded)

    def encode(self, source: Tensor, padding: Tensor | None) -> EncodedSignal:
        """Return the encoder's output for signals (B, L, T) and their padding (B, T)."""
        return self.encoder.encode(source, padding)  # type: ignore[operator]

    @abstractmethod
    def score(self, pooled: Tensor) -> Tensor:
        """Return logits (B, K) of embeddings (B, D)."""

    def set_num_updates(self, num_updates: int) -> None:
        """Tell the network how far training is."""
        self.num_updates = num_updates


class EncoderClassifier(FinetunedEncoder):
    """One linear layer on the embedding; arguments as the base class's."""

    def __init__(
        self, encoder: nn.Module, read_out: nn.Module, num_labels: int, freeze_updates: int = 0
    ) -> None:
        super().__init__(encoder, read_out, num_labels, freeze_updates)
        self.proj = label_layer(_width(encoder), num_labels)

    def score(self, pooled: Tensor) -> Tensor:
        """Return logits (B, K) of embeddings (B, D)."""
        return self.proj(pooled)


class EncoderArcFace(FinetunedEncoder):
    """Cosines with one learned direction a patient; the loss adds the margin.

    Arguments are the base class's; ``num_labels`` is the number of patients.
    """

    def __init__(
        self, encoder: nn.Module, read_out: nn.Module, num_labels: int, freeze_updates: int = 0
    ) -> None:
        super().__init__(encoder, read_out, num_labels, freeze_updates)
        self.kernel = patient_directions(_width(encoder), num_labels)

    def score(self, pooled: Tensor) -> Tensor:
        """Return cosines (B, K) of embeddings (B, D)."""
        return cosines(pooled, self.kernel)


def encoder_of(network: nn.Module) -> Encoder:
    """Return the encoder below whatever head.

    Raises:
        EcgError: the network has none.
    """
    encoder = network.encoder if isinstance(network, FinetunedEncoder) else network
    if not isinstance(encoder, Encoder):
        raise EcgError(f"a {type(network).__name__} is no ECG encoder and has none")
    return encoder


@contextlib.contextmanager
def _frozen(encoder: nn.Module) -> Iterator[None]:
    """Compute no gradients, and keep the statistics of batch norms as they are."""
    norms = [one for one in encoder.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    were_training = [norm.training for norm in norms]
    for norm in norms:
        norm.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for norm, was_training in zip(norms, were_training, strict=True):
            norm.train(was_training)


def _width(encoder: nn.Module) -> int:
    return encoder_of(encoder).width
