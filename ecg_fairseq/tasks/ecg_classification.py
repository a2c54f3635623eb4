"""fairseq task ``ecg_classification``: finetune an encoder to labels of ECG segments.

Labels come from ``y.npy`` or ``targets.npz`` by recording, or from fairseq-signals' ``.mat`` files:
yes or no, real numbers, or times and events (``items: survival``). Beyond fairseq-signals, the
augmentations of ``ecg_pretraining`` can be used here, too.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Optional

import numpy as np
from fairseq.models import MODEL_REGISTRY
from fairseq.tasks import register_task
from omegaconf import open_dict

from ecg_fairseq.data.items import check_targets
from ecg_fairseq.data.signals.label_source import LabelSource
from ecg_fairseq.data.signals.segment_dataset import SegmentDataset, SurvivalDataset
from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.encoders.checkpoint import PretrainedEncoder
from ecg_fairseq.networks.trained import open_pretrained_encoder
from ecg_fairseq.records.segments.segment_list import SegmentList
from ecg_fairseq.tasks.ecg_pretraining import (
    RETIRED,
    EcgPretrainingConfig,
    EcgPretrainingTask,
)

logger = logging.getLogger(__name__)
# Settings in which pretraining and finetuning must agree: they change what the encoder sees. Ours
# never filter; fairseq-signals' checkpoints may have been trained so.
_SAME_SIGNALS = ("normalize", "filter")


class EcgFinetuningTask(EcgPretrainingTask, ABC):
    """What finetuning tasks share: the pretrained encoder and the number of outputs."""

    items_offered = ("segments",)
    kind_of_lists = "plain"

    @abstractmethod
    def count_outputs(self) -> int:
        """Return how many outputs the data ask for; 0 where they do not say."""

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build the model with a pretrained encoder, or again from its own checkpoint.

        The encoder's architecture is written into the settings, so that the finetuned checkpoint
        can be read without the pretrained one.
        """
        with open_dict(cfg):
            cfg.num_labels = cfg.get("num_labels") or self.count_outputs()
            if from_checkpoint:
                cfg.no_pretrained_weights = True
        pretrained = None
        if cfg.get("model_path") and not cfg.get("no_pretrained_weights"):
            pretrained = self._checked_encoder(str(Path(cfg.model_path).resolve()))
        settings = _finetuned_model(cfg._name).settings_for(cfg, pretrained)
        if pretrained is not None:
            changed = [f"{key}={new}" for key, new in settings.items() if cfg.get(key, new) != new]
            if changed:
                logger.info(
                    f"the encoder's architecture is that of {pretrained.path}: {', '.join(changed)}"
                )
            settings = {**settings, "model_path": pretrained.path}
        with open_dict(cfg):
            cfg.update(settings)
        return super().build_model(cfg, from_checkpoint)

    def _checked_encoder(self, path: str) -> PretrainedEncoder:
        """Return a pretrained encoder after checking that its signals are alike."""
        pretrained, state = open_pretrained_encoder(path)
        self.begin_with(state, path)
        task = state["cfg"].get("task") or {}
        for name in _SAME_SIGNALS:
            theirs, ours = bool(task.get(name, False)), bool(self.cfg.get(name, False))
            if theirs != ours:
                raise CheckpointError(
                    f"{path} was pretrained with task.{name}={theirs}, the settings have {ours}; "
                    "the encoder must see signals of the same kind"
                )
        return pretrained


def _finetuned_model(name: str) -> Any:
    """Return a registered model that has a head to finetune; EcgError for others."""
    model = MODEL_REGISTRY.get(name)
    if not hasattr(model, "settings_for"):
        known = sorted(key for key, one in MODEL_REGISTRY.items() if hasattr(one, "settings_for"))
        raise EcgError(f"model {name} has no head to finetune; use one of {', '.join(known)}")
    return model


@dataclass
class EcgClassificationConfig(EcgPretrainingConfig):
    """Settings of the task."""

    label_file: Optional[str] = field(
        default=None,
        metadata={
            "help": "y.npy or targets.npz, one row a recording; null: the manifest's labels/, else "
            "the labels in .mat files"
        },
    )
    retired = MappingProxyType(
        {
            **RETIRED,
            "task.path_dataset": (False, "lists name files or rows of a manifest's store"),
            "task.load_specific_lead": (False, "choose leads with task.leads_to_load"),
        }
    )


@register_task("ecg_classification", dataclass=EcgClassificationConfig)
class EcgClassificationTask(EcgFinetuningTask):
    """Labelled segments, or segments of recordings that were followed up (``survival``)."""

    items_offered = ("segments", "survival")

    def __init__(self, cfg: EcgClassificationConfig) -> None:
        super().__init__(cfg)
        self.labels = LabelSource.find(self.folder, cfg.label_file, self.items == "survival")
        if self.labels is not None:
            check_targets(self.labels.kind, cfg.criterion_name)
        self.num_labels = 0

    @property
    def label_names(self) -> Optional[tuple[str, ...]]:
        """Names of the K labels, where known."""
        return None if self.labels is None else self.labels.names

    def count_outputs(self) -> int:
        """Return the number of columns of the label file, 1 for a risk; 0 without a file."""
        return 0 if self.labels is None else self.labels.num_labels

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold besides weights, in plain types."""
        names = None if self.label_names is None else list(self.label_names)
        return {**super().state_dict(), "labels": names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that a checkpoint belongs to this data and these labels; CheckpointError."""
        super().load_state_dict(state_dict)
        self._check_labels(state_dict)

    def resume_from(self, state: Mapping[str, Any], path: Path | str) -> None:
        """Check that a checkpoint is of this very training; CheckpointError if not."""
        super().resume_from(state, path)
        self._check_labels(state.get("task_state") or {})

    def _check_labels(self, state_dict: Mapping[str, Any]) -> None:
        theirs, ours = state_dict.get("labels"), self.label_names
        if theirs and ours and tuple(theirs) != ours:
            only = [f"{name!r}" for name in theirs if name not in ours]
            new = [f"{name!r}" for name in ours if name not in theirs]
            raise CheckpointError(
                f"the checkpoint was trained on {len(theirs)} labels, {self.labels.path} has "
                f"{len(ours)} (only there: {', '.join(only) or 'none'}; only here: "
                f"{', '.join(new) or 'none'}), or in another order; use the label file it was "
                "trained with"
            )

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build the model; as many outputs as labels."""
        model = super().build_model(cfg, from_checkpoint)
        self.num_labels = int(cfg.num_labels)
        if self.labels is not None:
            self.labels.check_count(self.num_labels)
        return model

    def make_dataset(self, split: str, is_training: bool) -> SegmentDataset:
        """Return the labelled segments of a split; those without labels are left out."""
        segments = SegmentList.load(self.folder.tsv(split))
        kind = SurvivalDataset if self.items == "survival" else SegmentDataset
        dataset = kind(
            segments,
            self.options,
            self.augmentation(segments) if is_training else None,
            seed=self.cfg.seed,
            labels=None if self.labels is None else self.labels.values,
            is_training=is_training,
            use_file_labels=True,
        )
        if self.labels is not None:
            if is_training:
                self.labels.check_positives(dataset, split)
        elif self.num_labels:
            self._check_own_label(dataset)
        return dataset

    def _check_own_label(self, dataset: SegmentDataset) -> None:
        """Compare the first file's own label with the network's outputs."""
        label = np.atleast_1d(dataset[0].label)
        if len(label) != self.num_labels:
            raise EcgError(
                f"model.num_labels={self.num_labels}, but files of {dataset.segments.path} hold "
                f"{len(label)} labels; set model.num_labels={len(label)} or give task.label_file"
            )
