"""HeartLLM's autoencoder: leads to tokens by finite scalar quantization, and back to signals.

Source: fact sheet heartllm.md, 1.3; names of tensors are the published ones. All leads go through
one encoder, and meet in one linear layer, so a network belongs to leads in one order. Everything up
to the tokens is computed in float32, and weights stay float32 where a surrounding model is cast:
half precision changes every tenth token.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.encoder import EncodedSignal
from ecg_fairseq.networks.heartllm.config import FsqAutoencoderConfig
from ecg_fairseq.networks.layers.finite_scalar_quantizer import FiniteScalarQuantizer, QuantizedCode
from ecg_fairseq.networks.layers.full_precision import full_precision
from ecg_fairseq.networks.layers.residual_inception import ResidualInception
from ecg_fairseq.networks.layers.single_threads import map_in_single_threads


@dataclass(frozen=True)
class AutoencoderOutput:
    """What the autoencoder gives.

    Attributes:
        reconstruction: float32 (B, L, T), in the unit of the signal.
        code: (B, S, D), before and on the grid.
        padding: bool (B, T), True where padded, or None.
    """

    reconstruction: Tensor
    code: QuantizedCode
    padding: Tensor | None


class LeadEncoder(nn.Module):
    """Encodes every lead by itself, then mixes them into a code.

    Args:
        config: sizes.
    """

    def __init__(self, config: FsqAutoencoderConfig) -> None:
        super().__init__()
        width = config.channels_per_lead
        self.blocks = nn.ModuleList(
            nn.Sequential(
                ResidualInception(1 if place == 0 else width, width),
                nn.Conv1d(width, width, 3, stride=2, padding=1, bias=False),
            )
            for place in range(config.depth)
        )
        self.bottleneck = ResidualInception(width, width)
        self.to_code = nn.Linear(config.width, len(config.levels))

    def features(self, signal: Tensor) -> Tensor:
        """Return (B, S, L x channels), lead after lead, of a signal (B, L, T)."""
        batch, leads, samples = signal.shape
        rows = signal.reshape(batch * leads, 1, samples)
        if rows.device.type == "cpu" and not torch.is_grad_enabled():
            values = self._few_at_a_time(rows)
        else:
            values = self._rows(rows)
        return values.reshape(batch, -1, values.shape[-1]).transpose(1, 2)

    def _few_at_a_time(self, rows: Tensor) -> Tensor:
        """Return what :meth:`_rows` does, two or three leads at a time.

        So few stay in the processor's cache. Not one: of a single row torch chooses another kernel,
        whose rounding is several times as large.
        """
        if len(rows) == 1:
            return self._rows(rows.repeat(2, 1, 1))[:1]
        pairs = [2] * (len(rows) // 2)
        pairs[-1] += len(rows) % 2
        return torch.cat([self._rows(few) for few in rows.split(pairs)])

    def _rows(self, values: Tensor) -> Tensor:
        """Return (N, channels, S) of single leads (N, 1, T)."""
        for block in self.blocks:
            values = block(values)
        return self.bottleneck(values)


class CodeDecoder(nn.Module):
    """Turns codes into signals of all leads.

    Args:
        config: sizes.
    """

    def __init__(self, config: FsqAutoencoderConfig) -> None:
        super().__init__()
        width = config.width
        self.expand = nn.Linear(len(config.levels), width)
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(width, width, 3, stride=2, padding=1, output_padding=1)
            for _ in range(config.depth)
        )
        self.dec = nn.ModuleList(ResidualInception(width, width) for _ in range(config.depth))
        self.final = nn.Conv1d(width, config.in_d, 1)

    def forward(self, on_grid: Tensor, num_samples: int) -> Tensor:
        """Return (B, L, num_samples) of codes (B, S, D) between 0 and 1."""
        values = self.expand(on_grid).transpose(1, 2)
        for up, block in zip(self.up, self.dec, strict=True):
            values = block(up(values))
        return self.final(values)[..., :num_samples]


class FsqAutoencoder(nn.Module):
    """The autoencoder; also an ECG encoder, of the features that codes are made of.

    Args:
        config: sizes; checked here.
    """

    def __init__(self, config: FsqAutoencoderConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.quantizer = FiniteScalarQuantizer(config.levels)
        self.enc = LeadEncoder(config)
        self.dec = CodeDecoder(config)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FsqAutoencoder":
        """Move weights where a surrounding model goes, but keep them float32."""

        def moved(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        return super()._apply(moved, recurse)

    @property
    def width(self) -> int:
        """Width D of frames and pooled vectors: channels of all leads."""
        return self.config.width

    @property
    def leads(self) -> int:
        """Number of leads L that it reads."""
        return self.config.in_d

    @property
    def min_samples(self) -> int:
        """Samples of one token."""
        return self.config.samples_per_token

    @property
    def frame_step(self) -> int:
        """Samples between the starts of two tokens."""
        return self.config.samples_per_token

    def forward(
        self, source: Tensor, padding_mask: Tensor | None = None, **_: Any
    ) -> AutoencoderOutput:
        """Encode, quantize and reconstruct signals.

        Args:
            source: (B, L, T), as the recipe gives them.
            padding_mask: bool (B, T) or (B, L, T), True where padded at the end, or None. A padded
                row gives what it gives without its padding.

        Raises:
            EcgError: another number of leads, or less than one token.
        """
        encoded = self.encode(source, padding_mask)
        code = self.code(encoded.frames)
        padding = _of_all_leads(padding_mask)
        lengths = _lengths(source, padding)
        if lengths is None:
            return AutoencoderOutput(self.decode(code.on_grid, source.shape[-1]), code, None)
        reconstruction = torch.zeros_like(source, dtype=torch.float32)
        for row, length in enumerate(lengths):
            num_tokens = self.config.num_tokens(length)
            decoded = self.decode(code.on_grid[row : row + 1, :num_tokens], length)
            reconstruction[row, :, :length] = decoded[0]
        return AutoencoderOutput(reconstruction, code, padding)

    def encode(self, signal: Tensor, padding: Tensor | None = None) -> EncodedSignal:
        """Return the features that codes are made of; see :class:`Encoder`.

        A padded row gives what it gives without its padding.

        Raises:
            EcgError: another number of leads, or less than one token.
        """
        self._check(signal)
        lengths = _lengths(signal, _of_all_leads(padding))
        with full_precision(signal.device):
            if lengths is None:
                frames = self.enc.features(signal.float())
                return EncodedSignal(frames, None, frames.mean(1))
            num_frames = self.config.num_tokens(signal.shape[-1])
            frames = signal.new_zeros(len(signal), num_frames, self.width, dtype=torch.float32)
            is_padding = torch.ones(frames.shape[:2], dtype=torch.bool, device=signal.device)
            pooled = []
            for row, length in enumerate(lengths):
                self._check(signal[row : row + 1, :, :length])
                own = self.enc.features(signal[row : row + 1, :, :length].float())[0]
                frames[row, : len(own)] = own
                is_padding[row, : len(own)] = False
                pooled.append(own.mean(0))
            return EncodedSignal(frames, is_padding, torch.stack(pooled))

    def code(self, features: Tensor) -> QuantizedCode:
        """Return codes (B, S, D) of features (B, S, L x channels)."""
        with full_precision(features.device):
            return self.quantizer(self.code_values(features))

    def code_values(self, features: Tensor) -> Tensor:
        """Return codes before any bounding, float32 (B, S, D)."""
        return self.enc.to_code(features.float())

    def decode(self, on_grid: Tensor, num_samples: int) -> Tensor:
        """Return signals float32 (B, L, num_samples) of codes (B, S, D) between 0 and 1."""
        return self.dec(on_grid, num_samples).float()

    def token_ids(self, signal: Tensor) -> Tensor:
        """Return int64 ids (B, S) of signals (B, L, T).

        Every segment is encoded by itself and in one thread: libraries choose and order their sums
        by the size of a batch and by the number of threads, and neither may change an id. With
        several threads, several segments are encoded at a time.

        Raises:
            EcgError: another number of leads, or less than one token.
        """
        self._check(signal)
        if len(signal) == 0:
            num_tokens = self.config.num_tokens(signal.shape[-1])
            return torch.zeros((0, num_tokens), dtype=torch.int64, device=signal.device)
        segments = signal.split(1)
        if signal.device.type == "cpu":
            return torch.cat(map_in_single_threads(self._ids_of_one, segments))
        return torch.cat([self._ids_of_one(segment) for segment in segments])

    @torch.no_grad()
    def _ids_of_one(self, segment: Tensor) -> Tensor:
        return self.quantizer.ids(self.code(self.encode(segment).frames).levels)

    def _check(self, signal: Tensor) -> None:
        if signal.dim() != 3 or signal.shape[1] != self.leads:
            raise EcgError(
                f"signals of shape {tuple(signal.shape)}; this autoencoder takes (segments, "
                f"{self.leads} leads, samples)"
            )
        if signal.shape[-1] < self.min_samples:
            raise EcgError(
                f"a segment of {signal.shape[-1]} samples is shorter than one token of "
                f"{self.min_samples}"
            )


def _of_all_leads(padding: Tensor | None) -> Tensor | None:
    return padding[:, 0] if padding is not None and padding.dim() == 3 else padding


def _lengths(signal: Tensor, padding: Tensor | None) -> list[int] | None:
    """Return the samples of each row that are no padding; None where nothing is padded."""
    if padding is None or not bool(padding.any()):
        return None
    return (signal.shape[-1] - padding.sum(1)).tolist()
