"""The only place that knows quirks of fairseq, torch and hydra (fact sheet fairseq-modern.md)."""

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import open_dict

from ecg_fairseq.errors import EcgError

logger = logging.getLogger(__name__)

AUTOCAST = ("none", "bf16", "fp16")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_HALF_PRECISION = ("fp16", "bf16", "amp", "memory_efficient_fp16", "memory_efficient_bf16")
# Default of a task field: a task is built from its own settings only, so this is how it sees
# fairseq's precision switches (as "False,False,True,...").
COMMON_PRECISION = ",".join(f"${{common.{name}}}" for name in _HALF_PRECISION)


@contextlib.contextmanager
def autocast(name: str, device: torch.device) -> Iterator[None]:
    """Run the block under our own mixed precision.

    fairseq's bf16 and fp16 switches cast the whole model (rotary tables too) and do not resume
    exactly; its amp knows fp16 only (fact sheet section 8). Here weights stay fp32.

    Args:
        name: ``none``, ``bf16`` or ``fp16``.
        device: where the model is.

    Raises:
        EcgError: the name is unknown.
    """
    if name == "none":
        yield
        return
    if name not in _DTYPES:
        raise EcgError(f"task.autocast={name!r} is not one of {', '.join(AUTOCAST)}")
    with torch.autocast(device.type, dtype=_DTYPES[name]):
        yield


def full_precision_is_kept(switches: str) -> None:
    """Refuse fairseq's own half precision, which our models cannot resume from exactly.

    Args:
        switches: a task field whose default is :data:`COMMON_PRECISION`.

    Raises:
        EcgError: names the switch that is on.
    """
    for name, value in zip(_HALF_PRECISION, switches.split(","), strict=True):
        if value == "True":
            raise EcgError(
                f"common.{name}=true casts rotary tables and does not resume exactly; leave it "
                "false and set task.autocast=bf16 (or fp16)"
            )


def register() -> None:
    """Register our tasks, models and criterions in a process that has imported the package already.

    fairseq does this itself when it is the first to import the user directory.
    """
    from fairseq.models import import_models
    from fairseq.tasks import import_tasks

    package = Path(__file__).resolve().parents[1]
    import_tasks(str(package / "tasks"), "ecg_fairseq.tasks")
    import_models(str(package / "models"), "ecg_fairseq.models")


def pass_over_retired_settings() -> None:
    """Have fairseq take settings that a component of ours had once and that did nothing.

    fairseq refuses a YAML with a setting that it does not know, so every YAML and checkpoint made
    before a setting went would be useless. A dataclass says in ``retired`` (``task.filter`` ->
    (only value that was allowed, or ``...`` for any; why it is gone)) what is to be left out.
    """
    from fairseq import models, registry, tasks
    from fairseq.dataclass import utils

    merge = utils.merge_with_parent
    if hasattr(merge, "__wrapped__"):
        return

    @functools.wraps(merge)
    def merge_what_is_known(dc: Any, cfg: Any, remove_missing: bool = False) -> Any:
        left_out = leave_out_retired(cfg, getattr(dc, "retired", {}))
        if left_out and not remove_missing:
            logger.warning(
                f"{', '.join(left_out)}: these settings do nothing and are left out; drop their "
                "lines from the YAML"
            )
        return merge(dc, cfg, remove_missing)

    for module in (utils, tasks, models, registry):
        module.merge_with_parent = merge_what_is_known


def leave_out_retired(cfg: Any, retired: Mapping[str, tuple[Any, str]]) -> list[str]:
    """Delete retired settings from a component's settings, in place; return their names.

    Args:
        cfg: of one group, such as ``task``.
        retired: see :func:`pass_over_retired_settings`.

    Raises:
        EcgError: one has a value that was never allowed.
    """
    left_out = []
    for name, (allowed, reason) in retired.items():
        key = name.split(".")[1]
        if key not in cfg:
            continue
        if allowed is not ... and cfg[key] != allowed:
            raise EcgError(f"{name}={cfg[key]!r} is not supported: {reason}; leave it out")
        with open_dict(cfg):
            del cfg[key]
        left_out.append(name)
    return left_out


def name_shared_parameters_only() -> None:
    """Have fairseq's trainer log parameters that are shared, not those that are absent.

    It takes the biases that layers do without for one and the same parameter, a log line for each.
    Does nothing the second time, or in a process that does not train.
    """
    trainer = sys.modules.get("fairseq.trainer")
    catalog = getattr(trainer, "_catalog_shared_params", None)
    if catalog is None or hasattr(catalog, "__wrapped__"):
        return

    @functools.wraps(catalog)
    def without_absent(module: Any, memo: Any = None, prefix: str = "") -> Any:
        # It calls itself with a memo, and returns the paths of shared parameters at the top only.
        found = catalog(module, memo, prefix)
        if memo is not None:
            return found
        return [paths for paths in found if _parameter_at(module, paths[0]) is not None]

    trainer._catalog_shared_params = without_absent  # type: ignore[union-attr]


def _parameter_at(module: Any, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), module)


def meters_of_the_pass() -> Any:
    """Return fairseq's meters over the present validation pass; call it in ``reduce_metrics``.

    fairseq evaluates derived metrics after every batch, with the meters of that batch, and once
    more with those of the pass. What needs the whole pass compares its meters with these.
    """
    from fairseq import metrics

    default = metrics.get_meters("default")
    return next((m for m in metrics.get_active_aggregators() if m is not default), default)
