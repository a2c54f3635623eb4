"""Computes a part of a network in float32, whatever precision the rest runs in."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Switch off mixed precision, and on a GPU the shortened mantissas of TF32.

    Args:
        device: where the tensors are.
    """
    with contextlib.ExitStack() as stack:
        if torch.amp.is_autocast_available(device.type):
            stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(_without_tf32())
        yield


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    switches = _switches()
    before = [getattr(kind, name) for kind, name, _ in switches]
    for kind, name, exact in switches:
        setattr(kind, name, exact)
    try:
        yield
    finally:
        for (kind, name, _), value in zip(switches, before, strict=True):
            setattr(kind, name, value)


def _switches() -> list[tuple[Any, str, Any]]:
    """Return what decides on TF32: object, attribute, and the value for full precision."""
    convolutions: Any = torch.backends.cudnn
    products = torch.backends.cuda.matmul
    if hasattr(products, "fp32_precision"):
        # Mixing these with the older switches, that torch before 2.9 has alone, is an error.
        return [(convolutions.conv, "fp32_precision", "ieee"), (products, "fp32_precision", "ieee")]
    return [(convolutions, "allow_tf32", False), (products, "allow_tf32", False)]
