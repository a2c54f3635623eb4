"""Base of all tasks: forward and backward passes under the task's own autocast."""

from typing import Any

import torch
from fairseq.tasks import FairseqTask

from ecg_fairseq.compat import (
    AUTOCAST,
    autocast,
    full_precision_is_kept,
    name_shared_parameters_only,
)
from ecg_fairseq.compat.resumed_training import patience_state, watch_resumed_training
from ecg_fairseq.compat.whole_checkpoints import make_copies_whole
from ecg_fairseq.errors import EcgError

make_copies_whole()


class AutocastTask(FairseqTask):
    """A task whose settings have ``autocast`` and ``common_precision``.

    Weights stay in full precision, and fairseq's own half precision is refused: it casts them.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        full_precision_is_kept(cfg.common_precision)
        if cfg.autocast not in AUTOCAST:
            raise EcgError(f"task.autocast={cfg.autocast!r} is not one of {', '.join(AUTOCAST)}")
        watch_resumed_training()
        name_shared_parameters_only()

    def get_checkpoint_dict(self) -> dict[str, Any]:
        """Return what fairseq adds to the training state of a checkpoint, in plain types."""
        counted = patience_state()
        return {"early_stopping": counted} if counted else {}

    def before_batch(self, sample: Any, update_num: int) -> None:
        """Do what a batch needs before its forward pass; nothing here.

        Args:
            sample: the batch.
            update_num: updates so far; 0 in validation.
        """

    def train_step(
        self,
        sample: Any,
        model: Any,
        criterion: Any,
        optimizer: Any,
        update_num: int,
        ignore_grad: bool = False,
    ) -> tuple[Any, int, dict[str, Any]]:
        """Run one forward and backward pass."""
        model.train()
        model.set_num_updates(update_num)
        self.before_batch(sample, update_num)
        with autocast(self.cfg.autocast, next(model.parameters()).device):
            loss, sample_size, log = criterion(model, sample)
        if ignore_grad:
            loss *= 0
        optimizer.backward(loss)
        return loss, sample_size, log

    def valid_step(
        self, sample: Any, model: Any, criterion: Any
    ) -> tuple[Any, int, dict[str, Any]]:
        """Run the criterion without gradients."""
        model.eval()
        self.before_batch(sample, 0)
        with torch.no_grad(), autocast(self.cfg.autocast, next(model.parameters()).device):
            return criterion(model, sample)
