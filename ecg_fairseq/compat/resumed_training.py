"""A training command typed again: nothing to do, or going on with other settings, and said so.

fairseq checks its stopping conditions behind an update. So a finished run that is started again
would make one more, with a learning rate from beyond its schedule, and would write its checkpoints
over. Its patience is not kept in checkpoints either. fairseq's ``main`` looks its parts up by name,
so two of them are replaced here: what loads the checkpoint, and what trains an epoch.
"""

import functools
import logging
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils, distributed_utils
from omegaconf import OmegaConf, open_dict

from ecg_fairseq.compat.whole_checkpoints import LAST_CHECKPOINT
from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file

logger = logging.getLogger(__name__)
# Settings that decide which batches a run sees and what is drawn at random.
_ORDER_SETTINGS = (
    "common.seed",
    "dataset.batch_size",
    "dataset.max_tokens",
    "dataset.required_batch_size_multiple",
    "optimization.update_freq",
    "distributed_training.distributed_world_size",
)
_SECONDS_AN_HOUR = 3600
# Programs whose main function trains: fairseq's module, also when it is run as a script.
_PROGRAMS = ("fairseq_cli.train", "__main__")
_PATIENCE_KEYS = ("best", "num_runs")


def watch_resumed_training() -> None:
    """Let fairseq's training notice a finished run; does nothing the second time."""
    if not hasattr(checkpoint_utils.load_checkpoint, "__wrapped__"):
        checkpoint_utils.load_checkpoint = _watched_load(checkpoint_utils.load_checkpoint)
    for name in _PROGRAMS:
        program = sys.modules.get(name)
        train = getattr(program, "train", None)
        is_fairseq = hasattr(program, "validate_and_save") and hasattr(program, "should_stop_early")
        if is_fairseq and not hasattr(train, "leaves_finished_runs"):
            program.train = _watched_train(train)  # type: ignore[union-attr]


def patience_state() -> dict[str, float]:
    """Return what fairseq's early stopping has counted; empty without ``checkpoint.patience``."""
    counter = _early_stopping()
    return {key: getattr(counter, key) for key in _PATIENCE_KEYS if hasattr(counter, key)}


def _early_stopping() -> Callable[..., bool] | None:
    for name in reversed(_PROGRAMS):
        if counter := getattr(sys.modules.get(name), "should_stop_early", None):
            return counter
    return None


def _set_patience(state: Mapping[str, float]) -> None:
    counter = _early_stopping()
    for key in _PATIENCE_KEYS if counter else ():
        if key in state:
            setattr(counter, key, state[key])
        elif hasattr(counter, key):
            delattr(counter, key)  # of another run in this process


def _watched_load(load: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(load)
    def load_checkpoint(cfg: Any, trainer: Any, **passthrough: Any) -> Any:
        extra_state, epoch_itr = load(cfg, trainer, **passthrough)
        _set_patience({})
        trainer.is_finished = False
        if extra_state is not None and trainer.get_num_updates() > 0:
            _set_patience(extra_state.get("early_stopping") or {})
            if distributed_utils.is_master(trainer.cfg.distributed_training):
                _compare_settings(cfg, trainer)
            _look_whether_finished(trainer, extra_state, epoch_itr)
        return extra_state, epoch_itr

    return load_checkpoint


def _watched_train(train: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(train)
    def train_epoch(cfg: Any, trainer: Any, task: Any, epoch_itr: Any) -> Any:
        if getattr(trainer, "is_finished", False):
            return [None], True
        return train(cfg, trainer, task, epoch_itr)

    train_epoch.leaves_finished_runs = True  # type: ignore[attr-defined]
    return train_epoch


def _look_whether_finished(trainer: Any, extra_state: Mapping[str, Any], epoch_itr: Any) -> None:
    reached = _limit_reached(trainer.cfg, trainer.get_num_updates(), extra_state, epoch_itr)
    if reached is None:
        return
    trainer.is_finished = True
    with open_dict(trainer.cfg):
        trainer.cfg.dataset.disable_validation = True  # fairseq would read the whole split once
    logger.info(f"finished at update {trainer.get_num_updates()}; nothing to do ({reached})")


def _limit_reached(
    cfg: Any, num_updates: int, extra_state: Mapping[str, Any], epoch_itr: Any
) -> str | None:
    """Return the setting that ended a run, as ``name=value``; None for one that may go on."""
    optimization, patience = cfg.optimization, cfg.checkpoint.patience
    if num_updates >= (optimization.max_update or math.inf):
        return f"optimization.max_update={optimization.max_update}"
    if epoch_itr.next_epoch_idx > (optimization.max_epoch or math.inf):
        return f"optimization.max_epoch={optimization.max_epoch}"
    hours = extra_state.get("previous_training_time", 0) / _SECONDS_AN_HOUR
    if 0 < optimization.stop_time_hours < hours:
        return f"optimization.stop_time_hours={optimization.stop_time_hours}"
    if 0 < patience <= (extra_state.get("early_stopping") or {}).get("num_runs", 0):
        return f"checkpoint.patience={patience}"
    return None


def _compare_settings(cfg: Any, trainer: Any) -> None:
    """Say what differs from the settings that the checkpoint was written with."""
    is_last = cfg.restore_file == LAST_CHECKPOINT
    path = Path(cfg.save_dir) / LAST_CHECKPOINT if is_last else Path(cfg.restore_file)
    try:
        saved = OmegaConf.create(read_checkpoint_file(path, only_settings=True).get("cfg") or {})
    except (CheckpointError, ValueError):
        return  # an older form; fairseq has read what it needs
    changes = [
        f"{name} {before} -> {now}"
        for name in _ORDER_SETTINGS
        if (before := _value(saved, name)) is not None
        and (now := _value(trainer.cfg, name)) != before
    ]
    if changes:
        logger.warning(
            f"resumed with other settings than {path.name} was written with: {', '.join(changes)}; "
            "order and random draws are others from here on, so the run no longer equals an "
            "uninterrupted one"
        )
    before, now = (_value(each, "optimization.max_update") for each in (saved, trainer.cfg))
    updates = trainer.get_num_updates()
    if before is not None and before != now and updates < (now or math.inf):
        logger.info(
            f"optimization.max_update was {before} and is {now}: going on at update {updates} with "
            f"the learning rate that a run of {now} updates has there, {trainer.get_lr():g}"
        )
        _warn_of_a_restart(trainer.cfg, now)


def _warn_of_a_restart(cfg: Any, max_update: int) -> None:
    """Say that a cosine whose period was set by hand begins again before the run ends."""
    period = _value(cfg, "lr_scheduler.lr_period_updates") or 0
    warmup = _value(cfg, "lr_scheduler.warmup_updates") or 0
    if 0 < warmup + period < max_update:
        logger.warning(
            f"lr_scheduler.lr_period_updates={period} ends at update {warmup + period:g}, where "
            "the learning rate starts again from its highest; for one half wave until "
            f"max_update={max_update} set lr_scheduler.lr_period_updates={max_update - warmup + 1}"
        )


def _value(cfg: Any, name: str) -> Any:
    value = OmegaConf.select(cfg, name)
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
