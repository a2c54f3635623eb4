"""The encoder ``resnet``: a 1-D ResNet and the mean of its frames.

The supervised floor that self-supervised encoders are held against, and MERL's trunk. Blocks and
sources are in ``layers/resnet.py``.
"""

from dataclasses import dataclass, field

from torch import Tensor, nn

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.encoder import EncodedSignal
from ecg_fairseq.networks.encoders.pooling import pool
from ecg_fairseq.networks.encoders.registry import EncoderKind, register_encoder
from ecg_fairseq.networks.layers.resnet import ResNet, ResNetConfig, resnet_config


@dataclass
class ResNetEncoderConfig:
    """Settings of :class:`ResNetEncoder`; all of them are its architecture."""

    depth: int = field(default=18, metadata={"help": "18, 34, 50, 101 or 152"})
    num_leads: int = field(default=12, metadata={"help": "leads L of the input"})
    base_width: int = field(
        default=64,
        metadata={"help": "channels of stem and first stage; each further stage has twice as many"},
    )
    stem_kernel: int = field(
        default=7, metadata={"help": "samples that the first convolution sees, odd"}
    )
    use_max_pool: bool = field(
        default=False, metadata={"help": "one frame in 32 samples instead of in 16"}
    )

    def check(self) -> None:
        """Refuse settings that make no network.

        Raises:
            EcgError: says which one.
        """
        self.sizes().check()

    def sizes(self) -> ResNetConfig:
        """Return the sizes of the network."""
        if self.base_width < 1:
            raise EcgError(f"base_width={self.base_width} must be positive")
        return resnet_config(
            self.depth,
            num_leads=self.num_leads,
            widths=tuple(self.base_width * 2**stage for stage in range(4)),
            stem_width=self.base_width,
            stem_kernel=self.stem_kernel,
            use_max_pool=self.use_max_pool,
        )


class ResNetEncoder(nn.Module):
    """A ResNet as an :class:`~ecg_fairseq.networks.encoders.encoder.Encoder`, without attention.

    Args:
        config: settings; checked here.
    """

    def __init__(self, config: ResNetEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ResNet(config.sizes())

    @property
    def width(self) -> int:
        """Width D of frames and pooled vectors."""
        return self.trunk.config.width

    @property
    def leads(self) -> int:
        """Number of leads L that it reads."""
        return self.config.num_leads

    @property
    def min_samples(self) -> int:
        """Shortest segment T, of two frames: batch norms cannot train on a single value."""
        return self.trunk.config.stride + 1

    def encode(self, signal: Tensor, padding: Tensor | None = None) -> EncodedSignal:
        """Encode signals.

        Args:
            signal: float32 (B, L, T).
            padding: bool (B, T), True where padded, or None; padded places change nothing.

        Raises:
            EcgError: another number of leads.
        """
        if signal.shape[1] != self.leads:
            raise EcgError(
                f"the encoder reads {self.leads} leads and got {signal.shape[1]}; set "
                "model.encoder_settings.num_leads to the leads that the task gives"
            )
        frames = self.trunk(signal, padding).transpose(1, 2)
        frame_padding = None if padding is None else self.trunk.frame_padding(padding)
        return EncodedSignal(frames, frame_padding, pool(frames, frame_padding))

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> EncodedSignal:
        """Encode signals under fairseq's names of arguments."""
        return self.encode(source, padding_mask)


register_encoder(
    EncoderKind(
        "resnet",
        ResNetEncoderConfig,
        ResNetEncoder,
        architecture=("depth", "num_leads", "base_width", "stem_kernel", "use_max_pool"),
        pooling="mean",
    )
)
