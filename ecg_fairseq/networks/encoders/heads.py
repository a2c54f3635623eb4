"""Read-out heads over any encoder: what is read (pooled vector, learned attention), and the output.

A finetuned network is an encoder, a read-out that gives the embedding (B, D), and an output layer
that gives logits (B, K) of it; :mod:`classifier` puts them together.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.encoder import EncodedSignal

# Names in settings -> what is read: the encoder's own vector, or attention over its frames.
HEADS = ("linear", "attention")
_INIT_SPREAD = 0.02


class PooledReadOut(nn.Module):
    """The encoder's own vector, with dropout.

    Args:
        dropout: share of features set to 0 in training.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, encoded: EncodedSignal) -> Tensor:
        """Return embeddings (B, D)."""
        return self.dropout(encoded.pooled)


class AttentionReadOut(nn.Module):
    """A learned query looks over all frames and takes their weighted mean.

    Each group of D / ``num_heads`` features has weights of its own. Padded frames weigh nothing;
    of a row that is nothing but padding the plain mean is taken.

    Args:
        width: D.
        num_heads: H, must divide D.
        dropout: share of features set to 0 in training, before attention.
    """

    def __init__(self, width: int, num_heads: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        if num_heads < 1 or width % num_heads:
            raise EcgError(
                f"the encoder's width {width} is not a multiple of "
                f"model.head_attention_heads={num_heads}; choose a divisor of it"
            )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Parameter(torch.randn(num_heads, width // num_heads) * _INIT_SPREAD)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, encoded: EncodedSignal) -> Tensor:
        """Return embeddings (B, D)."""
        frames = self.norm(self.dropout(encoded.frames))
        weights = self.weights(frames, encoded.padding)
        values = self.value(frames).unflatten(-1, self.query.shape)
        return torch.einsum("bfh,bfhd->bhd", weights, values).flatten(1)

    def weights(self, frames: Tensor, padding: Tensor | None) -> Tensor:
        """Return the weight (B, F, H) of each frame of (B, F, D), adding up to 1 over frames."""
        keys = self.key(frames).unflatten(-1, self.query.shape)
        scores = (keys * self.query).sum(-1) * self.query.shape[-1] ** -0.5
        if padding is not None:
            hidden = padding & ~padding.all(1, keepdim=True)
            scores = scores.masked_fill(hidden.unsqueeze(-1), float("-inf"))
        return scores.softmax(1)


def read_out(head: str, width: int, num_heads: int, dropout: float) -> nn.Module:
    """Return the read-out of a head.

    Args:
        head: one of ``HEADS``.
        width: D of the encoder.
        num_heads: of ``attention``.
        dropout: before pooling or on the pooled vector.

    Raises:
        EcgError: unknown head, or the width is not a multiple of the number of heads.
    """
    if head not in HEADS:
        raise EcgError(f"model.head={head!r} is not one of {', '.join(HEADS)}")
    if head == "linear":
        return PooledReadOut(dropout)
    return AttentionReadOut(width, num_heads, dropout)


def label_layer(width: int, num_labels: int) -> nn.Linear:
    """Return the linear layer from embeddings (B, D) to logits (B, K); its bias starts at 0."""
    layer = nn.Linear(width, num_labels)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def patient_directions(width: int, num_patients: int) -> nn.Parameter:
    """Return one direction (D,) a patient as (K, D), uniform on the sphere.

    fairseq-signals normalizes its start along the other axis, which changes nothing else.
    """
    return nn.Parameter(functional.normalize(torch.randn(num_patients, width), dim=1))


def cosines(embeddings: Tensor, directions: Tensor) -> Tensor:
    """Return cosines (B, K) of embeddings (B, D) and directions (K, D), in full precision."""
    with torch.autocast(embeddings.device.type, enabled=False):
        units = functional.normalize(embeddings.float(), dim=1)
        found = units @ functional.normalize(directions.float(), dim=1).t()
    return found.clamp(-1.0, 1.0)
