"""From frames (B, F, D) to one vector (B, D) a segment. Imports no torch: the console reads it."""

from typing import TYPE_CHECKING

from ecg_fairseq.errors import EcgError

if TYPE_CHECKING:
    from torch import Tensor

    from ecg_fairseq.networks.encoders.encoder import EncodedSignal

# encoder: the vector that the encoder itself gives, on which heads are trained.
POOLINGS = ("encoder", "mean", "max", "first", "last")


def pooled_by(encoded: "EncodedSignal", how: str) -> "Tensor":
    """Return one vector (B, D) a segment.

    Args:
        encoded: of any encoder.
        how: one of ``POOLINGS``; padded frames count in none of them.

    Raises:
        EcgError: unknown pooling.
    """
    return encoded.pooled if how == "encoder" else pool(encoded.frames, encoded.padding, how)


def pool(frames: "Tensor", padding: "Tensor | None", how: str = "mean") -> "Tensor":
    """Pool frames (B, F, D) into one vector (B, D) each.

    Args:
        frames: (B, F, D).
        padding: bool (B, F), True where padded, or None.
        how: one of ``POOLINGS`` but ``encoder``; padded frames count in none of them. Rows of
            nothing but padding have a mean of 0.

    Raises:
        EcgError: unknown pooling.
    """
    if how not in POOLINGS or how == "encoder":
        raise EcgError(f"pooling {how!r} is not one of {', '.join(POOLINGS[1:])}")
    if how == "first":
        return frames[:, 0]
    if how == "last":
        if padding is None:
            return frames[:, -1]
        last = ((~padding).sum(1) - 1).clamp_min(0)
        return frames.gather(1, last[:, None, None].expand(-1, 1, frames.shape[2])).squeeze(1)
    if how == "max":
        shown = frames if padding is None else frames.masked_fill(padding[..., None], float("-inf"))
        return shown.amax(1)
    if padding is None:
        return frames.mean(1)
    shown = frames.masked_fill(padding[..., None], 0.0)
    return shown.sum(1) / (~padding).sum(1, keepdim=True).clamp_min(1)
