"""Settings of HeartLLM's autoencoder; defaults are the published ones (fact sheet heartllm 1.1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, List

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers.residual_inception import NUM_GROUPS

MODEL = "fsq_autoencoder"


@dataclass
class FsqAutoencoderConfig:
    """Sizes; all of them are the network's architecture."""

    in_d: int = field(default=12, metadata={"help": "leads L of the signal"})
    channels_per_lead: int = field(
        default=32, metadata={"help": "width of the encoder that every lead goes through, 8 x n"}
    )
    levels: List[int] = field(
        default_factory=lambda: [6, 6, 6, 6],
        metadata={"help": "levels of each dimension of the code; their product is the codes"},
    )
    depth: int = field(
        default=4, metadata={"help": "halvings of the rate; a token stands for 2**depth samples"}
    )

    @property
    def width(self) -> int:
        """Channels of all leads together."""
        return self.in_d * self.channels_per_lead

    @property
    def samples_per_token(self) -> int:
        """Samples of every lead that a token stands for."""
        return 2**self.depth

    def num_tokens(self, num_samples: int) -> int:
        """Return the tokens of a segment; every halving rounds up."""
        return -(-num_samples // self.samples_per_token)

    def check(self) -> None:
        """Refuse sizes that make no network.

        Raises:
            EcgError: says which one.
        """
        if self.in_d < 1:
            raise EcgError(f"model.in_d={self.in_d} leads; give 1 or more")
        if self.channels_per_lead < NUM_GROUPS or self.channels_per_lead % NUM_GROUPS:
            raise EcgError(
                f"model.channels_per_lead={self.channels_per_lead}; give a multiple of "
                f"{NUM_GROUPS}, the groups that are normalized together"
            )
        if not 1 <= self.depth <= 12:
            raise EcgError(f"model.depth={self.depth} halvings; give 1 to 12")


def config_of(values: Any) -> FsqAutoencoderConfig:
    """Return checked settings.

    Args:
        values: a mapping (fairseq's settings too) or an object with attributes; names that the
            network does not know are ignored.

    Raises:
        EcgError: a size makes no network, or is no number.
    """
    values = values if isinstance(values, Mapping) else vars(values)
    chosen = {
        one.name: values[one.name] for one in fields(FsqAutoencoderConfig) if one.name in values
    }
    try:
        chosen = {
            name: [int(number) for number in value] if name == "levels" else int(value)
            for name, value in chosen.items()
        }
    except (TypeError, ValueError) as error:
        raise EcgError(
            f"settings of {MODEL} are whole numbers, and levels a list: {error}"
        ) from error
    config = FsqAutoencoderConfig(**chosen)
    config.check()
    return config
