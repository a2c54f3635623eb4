"""An encoder that no system of the package has, registered as anybody would register one."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.encoder import EncodedSignal
from ecg_fairseq.networks.encoders.registry import EncoderKind, register_encoder

NAME = "toy_convolutions"


@dataclass
class ToyConfig:
    """Settings; ``dropout`` is no matter of architecture."""

    width: int = 8
    leads: int = 12
    stride: int = 25
    dropout: float = 0.0

    def check(self) -> None:
        if self.width < 1:
            raise EcgError(f"model.encoder_settings.width={self.width} must be at least 1")


class ToyEncoder(nn.Module):
    """One convolution; its vector is the largest value over time, which no shared pooling is."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.width, self.leads, self.min_samples = config.width, config.leads, config.stride
        self.stride = config.stride
        self.dropout = nn.Dropout(config.dropout)
        self.convolution = nn.Conv1d(config.leads, config.width, config.stride, config.stride)

    def encode(self, signal: Tensor, padding: Tensor | None = None) -> EncodedSignal:
        frames = self.dropout(self.convolution(signal)).tanh().transpose(1, 2)
        padded = None
        if padding is not None and bool(padding.any()):
            padded = padding[:, self.stride - 1 :: self.stride][:, : frames.shape[1]]
            frames = frames.masked_fill(padded[..., None], -1.0)
        return EncodedSignal(frames, padded, frames.amax(1) + 2.0)


class ToyAttentiveEncoder(ToyEncoder):
    """The same with attention, in which every frame looks at the third."""

    def attention(self, signal: Tensor) -> Tensor:
        num_frames = signal.shape[2] // self.stride
        weights = torch.zeros(len(signal), 1, num_frames, num_frames)
        weights[..., 2] = 1.0
        return weights


ARCHITECTURE = ("width", "leads", "stride")
register_encoder(EncoderKind(NAME, ToyConfig, ToyEncoder, ARCHITECTURE))
register_encoder(EncoderKind("toy_attentive", ToyConfig, ToyAttentiveEncoder, ARCHITECTURE))
