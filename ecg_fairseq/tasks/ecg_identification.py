"""fairseq task ``ecg_identification``: tell by an ECG who it is of.

Training classifies segments of known patients (criterion ``arcface``). Validation has others:
each probe looks for the most similar recording of a gallery, and is right when it is of its own
patient (fact sheet ecg-fm.md section 2.1).
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from fairseq import metrics
from fairseq.data import FairseqDataset
from fairseq.tasks import register_task

from ecg_fairseq.compat import autocast, meters_of_the_pass
from ecg_fairseq.data.signals.gallery_dataset import GalleryDataset
from ecg_fairseq.data.signals.identification_dataset import IdentificationDataset
from ecg_fairseq.data.signals.identification_scores import IdentificationScores
from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.segments.segment_list import IdentificationList
from ecg_fairseq.tasks.ecg_classification import EcgFinetuningTask
from ecg_fairseq.tasks.ecg_pretraining import RETIRED, EcgPretrainingConfig

# Name in the log -> attribute of IdentificationAccuracy.
_ACCURACIES = {"accuracy": "embedding", "published_accuracy": "published"}


@dataclass
class EcgIdentificationConfig(EcgPretrainingConfig):
    """Settings of the task."""

    retired = MappingProxyType(
        {
            **RETIRED,
            "task.visualize": (False, "draw embeddings from what `ecg-fairseq embed` writes"),
        }
    )


@register_task("ecg_identification", dataclass=EcgIdentificationConfig)
class EcgIdentificationTask(EcgFinetuningTask):
    """Segments of numbered patients."""

    kind_of_lists = "identification"

    def __init__(self, cfg: EcgIdentificationConfig) -> None:
        super().__init__(cfg)
        self._scores = IdentificationScores()

    def count_outputs(self) -> int:
        """Return the number of patients trained on."""
        return IdentificationList.load(self.folder.tsv(self.cfg.train_subset)).num_people

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build the model; at least as many outputs as patients trained on."""
        model = super().build_model(cfg, from_checkpoint)
        num_patients = 0 if from_checkpoint else self.count_outputs()
        if num_patients > cfg.num_labels:
            raise EcgError(
                f"model.num_labels={cfg.num_labels}, but {self.folder.tsv(self.cfg.train_subset)} "
                f"lists {num_patients} people; set model.num_labels={num_patients}, or 0 to take "
                "their number"
            )
        return model

    def make_dataset(self, split: str, is_training: bool) -> FairseqDataset:
        """Return patients to train on, or the gallery and the probes of another split."""
        if is_training:
            segments = IdentificationList.load(self.folder.tsv(split))
            augmentation = self.augmentation(segments)
            return IdentificationDataset(
                segments, self.options, augmentation, self.cfg.seed, is_training
            )
        gallery, probes = (
            IdentificationDataset(
                IdentificationList.load(self.folder.tsv(f"{split}_{part}")),
                self.options,
                seed=self.cfg.seed,
            )
            for part in ("gallery", "probe")
        )
        return GalleryDataset(gallery, probes, split)

    def valid_step(
        self, sample: Any, model: Any, criterion: Any
    ) -> tuple[Any, int, dict[str, Any]]:
        """Keep the embeddings of a batch; the patients are not those of the loss, which is 0."""
        model.eval()
        source = sample["net_input"]["source"]
        with torch.no_grad(), autocast(self.cfg.autocast, source.device):
            output = model(**sample["net_input"])
        # With uneven shards fairseq passes a training batch, which must not count.
        num_scored = 0 if sample["is_training"] else len(source)
        if num_scored:
            self._scores.add(sample, output.pooled, output.logits)
        loss = source.new_zeros(())
        return loss, num_scored, {"loss": loss, "num_scored": num_scored, "nsignals": num_scored}

    def reduce_metrics(self, logging_outputs: list[dict[str, Any]], criterion: Any) -> None:
        """Log the accuracies of a validation pass; of training, what the criterion logs."""
        if not any("num_scored" in log for log in logging_outputs):
            super().reduce_metrics(logging_outputs, criterion)
            return
        num_scored = sum(float(log.get("num_scored", 0)) for log in logging_outputs)
        metrics.log_scalar("loss", 0.0, num_scored)
        metrics.log_scalar_sum("nsignals", num_scored)
        whole = meters_of_the_pass()
        for name, attribute in _ACCURACIES.items():
            metrics.log_derived(
                name, lambda meters, name=attribute: self._accuracy(meters is whole, name)
            )

    def _accuracy(self, is_whole_pass: bool, name: str) -> float:
        """Return an accuracy of the whole pass; fairseq asks after every batch as well."""
        return getattr(self._scores.accuracy(), name) if is_whole_pass else 0.0
