"""A classifier that says what it is told, and what fairseq does with a criterion."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("fairseq")


class Repeater(torch.nn.Module):
    """Gives its input back as logits."""

    def forward(self, source: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=source)


@pytest.fixture
def repeater() -> torch.nn.Module:
    return Repeater().eval()


@pytest.fixture
def make_criterion() -> Callable[..., Any]:
    """Build a criterion as fairseq does: settings through hydra, names from the task."""
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY
    from omegaconf import OmegaConf

    from ecg_fairseq import criterions  # noqa: F401 - registers them

    def make(
        label_names: Any = None, name: str = "binary_cross_entropy_with_logits", **settings: Any
    ) -> Any:
        cfg = OmegaConf.merge(OmegaConf.structured(CRITERION_DATACLASS_REGISTRY[name]), settings)
        task = SimpleNamespace(label_names=label_names)
        return CRITERION_REGISTRY[name].build_criterion(cfg, task)

    return make


@pytest.fixture
def validate() -> Callable[..., dict[str, float]]:
    """Run a validation pass as fairseq's trainer does, step by step."""
    from fairseq import metrics

    def run(criterion: Any, model: torch.nn.Module, batches: list[dict[str, Any]]) -> Any:
        with metrics.aggregate(new_root=True) as whole:
            for batch in batches:
                log = criterion(model, batch)[2]
                with metrics.aggregate() as step:
                    type(criterion).reduce_metrics([log])
                    step.get_smoothed_values()
        return whole.get_smoothed_values()

    return run


@pytest.fixture
def reduced() -> Callable[..., dict[str, float]]:
    """Return what a criterion logs for the logging outputs of some steps or processes."""
    from fairseq import metrics

    def run(criterion: Any, logs: list[dict[str, Any]]) -> Any:
        with metrics.aggregate(new_root=True) as whole:
            type(criterion).reduce_metrics(logs)
        return whole.get_smoothed_values()

    return run
