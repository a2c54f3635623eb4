"""Base of all tasks: what data a training comes from, kept in its checkpoints and checked.

A checkpoint meets the present data in three ways: as an earlier stage, whose weights a training
begins with; as the one that a training in the same folder is resumed from; and as the one that is
evaluated. fairseq hands its ``task_state`` to the task in the last case only, so the others are
read from the file when the model is built.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import torch
from fairseq.dataclass import FairseqDataclass
from omegaconf import II

from ecg_fairseq.compat.whole_checkpoints import LAST_CHECKPOINT, mend_last_checkpoint
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.records.manifest.content_check import ContentCheck, check_contents
from ecg_fairseq.records.manifest.provenance import Provenance, check, check_resumed
from ecg_fairseq.tasks.autocast_task import AutocastTask

logger = logging.getLogger(__name__)


@dataclass
class ProvenanceConfig(FairseqDataclass):
    """Settings of the checks."""

    external_test: bool = field(
        default=False,
        metadata={
            "help": "do not compare the checkpoint's patients with those of the valid and test "
            "splits: they are known to be others; recipe, leads and tokenizer are still compared"
        },
    )
    save_dir: str = II("checkpoint.save_dir")
    restore_file: str = II("checkpoint.restore_file")
    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    continue_once: Optional[str] = II("checkpoint.continue_once")


class ProvenanceTask(AutocastTask):
    """A task over data of known origin; its settings are a :class:`ProvenanceConfig`."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self._earlier: list[Provenance] = []
        self._resumed: Optional[Provenance] = None
        self._is_training_run = False
        self._content_checks: dict[Path, Optional[ContentCheck]] = {}

    @property
    def present(self) -> Provenance:
        """What is known of the present data."""
        raise NotImplementedError

    @property
    def external_test(self) -> bool:
        """Whether patients are not compared."""
        return bool(self.cfg.external_test)

    @cached_property
    def provenance(self) -> Provenance:
        """Of this training: the present data and all stages before; complete with the model."""
        provenance = self.present
        if self._resumed is not None and self._resumed.patients is not None:
            return provenance.continued(self._resumed)
        for stage in self._earlier:
            provenance = provenance.after(stage)
        return provenance

    def watch_contents(self, manifest: Optional[Path]) -> None:
        """Check the files of a manifest, once a run and by its first process.

        Training goes on meanwhile, and writes no checkpoint before all was read; evaluation waits.

        Args:
            manifest: its folder; None where the data are not ours, which say nothing to check.

        Raises:
            ManifestError: a shard or the table of records is not as it was written.
        """
        is_first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
        if manifest is None or manifest in self._content_checks or not is_first:
            return
        self._content_checks[manifest] = None
        if self._is_training_run:
            self._content_checks[manifest] = ContentCheck(manifest)
        else:
            check_contents(manifest)

    def train_step(self, *arguments: Any, **options: Any) -> tuple[Any, int, dict[str, Any]]:
        """Run one forward and backward pass, unless the data were found damaged."""
        for content in filter(None, self._content_checks.values()):
            content.raise_if_damaged()
        return super().train_step(*arguments, **options)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold besides weights, in plain types.

        Raises:
            ManifestError: the data that the weights come from are damaged.
        """
        for content in filter(None, self._content_checks.values()):
            content.finish()
        return self.provenance.to_state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that a checkpoint may be evaluated on the present data; CheckpointError if not."""
        trained = Provenance.from_state(state_dict)
        check(trained, self.present, "the checkpoint", self.external_test)

    def begin_with(self, state: Mapping[str, Any], path: Path | str) -> None:
        """Check a checkpoint that this training takes weights from, and keep its patients.

        Args:
            state: its whole content, or its settings.
            path: for messages.

        Raises:
            CheckpointError: its data and the present ones do not go together.
        """
        earlier = Provenance.from_state(state.get("task_state") or {}, path)
        check(earlier, self.present, str(path), self.external_test)
        self._earlier.append(earlier)

    def resume_from(self, state: Mapping[str, Any], path: Path | str) -> None:
        """Check that a checkpoint is of this very training; CheckpointError if not."""
        self._resumed = Provenance.from_state(state.get("task_state") or {}, path)
        check_resumed(self._resumed, self.present, path)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build the model; in training, first check the checkpoint that fairseq will load."""
        if not from_checkpoint:
            self._is_training_run = True
            self._check_restored()
        return super().build_model(cfg, from_checkpoint)

    def _check_restored(self) -> None:
        """Read what was kept in the file that fairseq restores, leaving its tensors there."""
        cfg, last = self.cfg, Path(self.cfg.save_dir) / LAST_CHECKPOINT
        if cfg.restore_file == LAST_CHECKPOINT:
            mend_last_checkpoint(cfg.save_dir)
        if cfg.restore_file == LAST_CHECKPOINT and last.is_file():
            self.resume_from(read_checkpoint_file(last, only_settings=True), last)
            return
        others = (cfg.continue_once, cfg.finetune_from_model)
        path = (
            next(filter(None, others), None)
            if cfg.restore_file == LAST_CHECKPOINT
            else cfg.restore_file
        )
        # fairseq itself explains a file that is missing.
        if path and Path(path).is_file():
            self.begin_with(read_checkpoint_file(path, only_settings=True), path)
