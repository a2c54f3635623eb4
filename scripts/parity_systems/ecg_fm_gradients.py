"""Recorded gradients of ECG-FM's losses with respect to parameters.

In ``outputs.npz`` a gradient is called ``grad.PARAMETER`` (of the pretraining loss),
``LOSS.grad.PARAMETER`` (``clf`` or ``bce``: of the classifier's loss; ``cmsc``, ``simclr``,
``threekg``: of that loss on unmasked segments), or has its norm in ``grad_norms.json``, a mapping
of parameters. The file ``grads.safetensors`` holds such names, too.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from parity_systems.check import Check, difference
from parity_systems.recorded import read_recorded, tolerance_of

RELATIVE_TOLERANCE = 1e-4
_NAME = re.compile(r"(?:(?P<loss>[a-z0-9]+)[._])?grads?[._](?P<parameter>.+)")
_NORMS_FILE, _TENSORS_FILE = "grad_norms.json", "grads.safetensors"
_CLASSIFIER = {"clf": "bce_loss_sum", "bce": "bce_loss_sum"}
_EMBEDDING = {
    "cmsc": "cmsc_loss_unmasked",
    "simclr": "simclr_loss_unmasked",
    "threekg": "threekg_loss_unmasked_unique_pids",
}
_LOSSES = {"": "joint_loss", "joint": "joint_loss", **_CLASSIFIER, **_EMBEDDING}
Losses = Callable[[], Mapping[str, Tensor]]


def is_gradient(name: str) -> bool:
    """Return whether a recorded array is a gradient of a known loss."""
    found = _NAME.fullmatch(name)
    return found is not None and (found["loss"] or "") in _LOSSES


def gradient_checks(
    case_dir: Path,
    recorded: Mapping[str, np.ndarray],
    networks: Mapping[str, tuple[nn.Module, Losses]],
) -> Iterator[Check]:
    """Yield the comparisons of all recorded gradients.

    Args:
        case_dir: where further files with gradients may lie.
        recorded: the arrays of ``outputs.npz``.
        networks: ``pretraining`` and ``classifier``, where there are such: network, and what
            computes its losses by name.
    """
    arrays = {name: values for name, values in recorded.items() if is_gradient(name)}
    if (case_dir / _TENSORS_FILE).is_file():
        from safetensors.numpy import load_file

        arrays |= {
            name if is_gradient(name) else f"grad.{name}": values
            for name, values in load_file(case_dir / _TENSORS_FILE).items()
        }
    norms = {}
    if (case_dir / _NORMS_FILE).is_file():
        norms = {f"grad.{name}": v for name, v in read_recorded(case_dir / _NORMS_FILE).items()}
    computed: dict[str, dict[str, np.ndarray]] = {}
    for name in (*arrays, *norms):
        found = _NAME.fullmatch(name)
        assert found is not None
        loss = found["loss"] or ""
        if loss not in computed:
            kind = "classifier" if loss in _CLASSIFIER else "pretraining"
            computed[loss] = _gradients(networks.get(kind), _LOSSES[loss])
        ours = computed[loss].get(found["parameter"], np.empty(0))
        if name in norms:
            error = abs(float(np.linalg.norm(ours)) - norms[name]) if ours.size else float("inf")
            yield Check(f"norm_of_{name}", error, tolerance_of(norms[name], RELATIVE_TOLERANCE))
        else:
            largest = float(np.abs(arrays[name]).max(initial=0.0))
            yield Check(name, difference(ours, arrays[name]), RELATIVE_TOLERANCE * largest)


def _gradients(network: tuple[nn.Module, Losses] | None, loss: str) -> dict[str, np.ndarray]:
    """Return the gradients of a loss by parameter; none where the folder lacks the network."""
    if network is None:
        return {}
    module, losses = network
    module.zero_grad(set_to_none=True)
    with torch.enable_grad():
        values = losses()
        if loss not in values:
            return {}
        values[loss].backward()
    return {
        name: np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
        for name, parameter in module.named_parameters()
    }
