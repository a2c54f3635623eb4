"""Texts to vectors: the protocol, the encoder over transformers' models, where models come from."""

from ecg_fairseq.networks.encoders.text.text_encoder import (
    TextEncoder,
    TextEncoderConfig,
    TransformersTextEncoder,
    open_text_encoder,
    text_encoder_from_state,
)

__all__ = [
    "TextEncoder",
    "TextEncoderConfig",
    "TransformersTextEncoder",
    "open_text_encoder",
    "text_encoder_from_state",
]
