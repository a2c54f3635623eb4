"""What an ECG encoder is: signals in, frames and one vector a segment out.

Heads, probes, embeddings, saliency and language-model slots take an :class:`Encoder`, never a
system's class. :mod:`registry` says how a new one is added.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class EncodedSignal:
    """What an encoder gives for a batch.

    Attributes:
        frames: (B, F, D), features in the order of time; an encoder may give a single frame.
        padding: bool (B, F), True where a frame is padding, or None when none is.
        pooled: (B, D), the segment's vector, pooled as the encoder was trained.
    """

    frames: Tensor
    padding: Tensor | None
    pooled: Tensor


@runtime_checkable
class Encoder(Protocol):
    """An ECG encoder; in practice also a ``torch.nn.Module``.

    An encoder may also offer ``attention(signal) -> (B, layers, F, F)``, weights averaged over
    heads (:class:`AttentiveEncoder`), and ``frame_step``, the samples between the starts of two
    neighbouring frames, of which each sees ``min_samples``. Without it frames count as spread
    evenly over the segment.
    """

    @property
    def width(self) -> int:
        """Width D of frames and pooled vectors."""

    @property
    def leads(self) -> int:
        """Number of leads L that it reads; which ones they are is up to the task."""

    @property
    def min_samples(self) -> int:
        """Shortest segment T in samples."""

    def encode(self, signal: Tensor, padding: Tensor | None = None) -> EncodedSignal:
        """Encode signals.

        Args:
            signal: float32 (B, L, T), as the recipe and the task give them.
            padding: bool (B, T), True where padded at the end of a row, or None.
        """


@runtime_checkable
class AttentiveEncoder(Encoder, Protocol):
    """An encoder that says where its frames look."""

    def attention(self, signal: Tensor) -> Tensor:
        """Return weights (B, layers, F, F), averaged over heads, for signals (B, L, T)."""
