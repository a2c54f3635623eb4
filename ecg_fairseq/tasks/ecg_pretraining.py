"""fairseq task ``ecg_pretraining``: unlabelled ECG segments for wav2vec 2.0, CMSC, SimCLR, 3KG.

Fields are fairseq-signals' (fact sheet ecg-fm.md section 2.1). ``items`` says what an item is: a
segment, a pair of neighbouring segments, or two views of a segment; by default what the criterion
declares that it needs (``data/items.py``).
"""

import logging
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from fairseq.data import FairseqDataset
from fairseq.dataclass import FairseqDataclass
from fairseq.models import MODEL_DATACLASS_REGISTRY
from fairseq.tasks import register_task
from omegaconf import II, MISSING, open_dict

from ecg_fairseq.compat import AUTOCAST, COMMON_PRECISION
from ecg_fairseq.data.items import AUTO, ITEMS, items_of, views_of
from ecg_fairseq.data.signals.cmsc_dataset import CmscDataset
from ecg_fairseq.data.signals.extra_tensors import ExtraTensors
from ecg_fairseq.data.signals.segment_dataset import SegmentDataset
from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.data.signals.signal_dataset import SignalDataset
from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.data.signals.two_view_dataset import TwoViewDataset
from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.metrics_csv import write_metrics_csv
from ecg_fairseq.networks.encoders.classifier import encoder_of
from ecg_fairseq.records.manifest.provenance import Provenance
from ecg_fairseq.records.segments.segment_list import CmscPairList, SegmentList
from ecg_fairseq.signal.augmentations import AUGMENTATIONS, Chain, ThreeKg, TwoViews, chain_of
from ecg_fairseq.tasks.provenance_task import ProvenanceConfig, ProvenanceTask

logger = logging.getLogger(__name__)
# Rate that noise is drawn for when neither task.sample_rate nor the segments say another.
_DEFAULT_RATE_HZ = 500.0
# fairseq-signals' settings that do nothing here; see compat.pass_over_retired_settings.
RETIRED = MappingProxyType(
    {
        "task.filter": (False, "signals are filtered when the manifest is made (see its recipes)"),
        "task.precompute_mask_indices": (
            False,
            "the model draws masks, reproducibly, in its forward pass",
        ),
        "task.leads_bucket": (None, "choose leads with task.leads_to_load"),
        "task.bucket_selection": (..., "it chose from leads_bucket"),
        "task.inferred_w2v_config": (None, "the model draws its masks itself"),
    }
)


def _number(value: float, text: str) -> Any:
    return field(default=value, metadata={"help": text})


@dataclass
class EcgPretrainingConfig(ProvenanceConfig):
    """Settings of the task."""

    data: str = field(
        default=MISSING,
        metadata={"help": "manifest folder, a folder in it, or a folder of fairseq-signals' lists"},
    )
    items: str = field(
        default=AUTO,
        metadata={"help": f"what an item is: {', '.join(ITEMS)}; auto: what the criterion needs"},
    )
    views: str = field(
        default=AUTO,
        metadata={
            "help": "how two_views are made: augmented (perturbation_mode, each by itself) or 3kg "
            "(inferred_3kg_config); auto: as the criterion needs"
        },
    )
    extra: List[str] = field(
        default_factory=list,
        metadata={"help": "names of tensors of the manifest's extra/ that every batch carries"},
    )
    leads_to_load: Optional[str] = field(
        default=None, metadata={"help": "names or numbers of leads, such as 'I,II,V2'; null: all"}
    )
    sample_rate: Optional[float] = field(
        default=None, metadata={"help": "refuse segments of another rate in Hz; null takes any"}
    )
    normalize: bool = field(
        default=False,
        metadata={"help": "subtract each lead's mean, divide by its deviation, from text files"},
    )
    mean_path: Optional[str] = field(
        default=None, metadata={"help": "text file of 12 means, for normalize"}
    )
    std_path: Optional[str] = field(
        default=None, metadata={"help": "text file of 12 deviations, for normalize"}
    )
    enable_padding: bool = field(
        default=False, metadata={"help": "pad short segments instead of cutting long ones"}
    )
    enable_padding_leads: bool = field(
        default=False, metadata={"help": "12 rows always; leads that are absent are zeros"}
    )
    max_sample_size: Optional[int] = field(
        default=None, metadata={"help": "cut longer segments to this many samples"}
    )
    min_sample_size: Optional[int] = field(
        default=None, metadata={"help": "leave out segments shorter than this many samples"}
    )
    num_batch_buckets: int = field(
        default=0, metadata={"help": "pad batches to one of this many lengths; 0: to the longest"}
    )
    perturbation_mode: Optional[List[str]] = field(
        default=None,
        metadata={"help": f"augmentations in training, in order: {', '.join(AUGMENTATIONS)}"},
    )
    p: List[float] = field(
        default_factory=lambda: [1.0],
        metadata={"help": "how often each augmentation is applied; one value for all, or each"},
    )
    max_amplitude: float = _number(0.1, "largest amplitude of noise, in units of the signal")
    min_amplitude: float = _number(0.0, "smallest amplitude of noise")
    dependency: bool = field(
        default=True, metadata={"help": "III, aVR, aVL and aVF follow I and II after noise"}
    )
    dependency_form: str = field(
        default="sound",
        metadata={
            "help": "of dependency and 3kg: sound, right in any unit, or published, which derives "
            "leads as in mV and so replaces z-scored ones by other curves"
        },
    )
    shift_ratio: float = _number(0.2, "baseline_shift: length of a stretch, share of the segment")
    num_segment: int = field(default=1, metadata={"help": "baseline_shift: number of stretches"})
    max_freq: float = _number(0.2, "baseline_wander: highest frequency in Hz")
    min_freq: float = _number(0.01, "baseline_wander: lowest frequency in Hz")
    k: int = field(default=3, metadata={"help": "baseline_wander: number of sines"})
    mask_leads_selection: str = field(
        default="random", metadata={"help": "random_leads_masking: random or conditional"}
    )
    mask_leads_prob: float = _number(0.5, "random_leads_masking: chance of a lead to be zeros")
    mask_leads_condition: List[int] = field(
        default_factory=lambda: [4, 5],
        metadata={"help": "conditional: how many limb leads and chest leads become zeros"},
    )
    inferred_3kg_config: Optional[Dict[str, float]] = field(
        default=None,
        metadata={"help": "3kg: angle in degrees, scale, mask_ratio (default 45, 1.5, 0.5)"},
    )
    criterion_name: str = II("criterion._name")
    autocast: str = field(
        default="none", metadata={"help": f"mixed precision: {', '.join(AUTOCAST)}"}
    )
    allow_other_split: bool = field(
        default=False,
        metadata={"help": "older name of external_test"},
    )
    seed: int = II("common.seed")
    common_precision: str = COMMON_PRECISION
    train_subset: str = II("dataset.train_subset")
    retired = RETIRED


@register_task("ecg_pretraining", dataclass=EcgPretrainingConfig)
class EcgPretrainingTask(ProvenanceTask):
    """Unlabelled segments; also the base of the tasks that finetune.

    Attributes:
        items_offered: what items a task can make, its usual one first.
    """

    items_offered: Tuple[str, ...] = ("segments", "cmsc_pairs", "two_views")

    def __init__(self, cfg: EcgPretrainingConfig) -> None:
        super().__init__(cfg)
        # Not cfg.items, which is a method of omegaconf's settings.
        self.items = items_of(cfg["items"], cfg.criterion_name, self.items_offered)
        self.options = _signal_options(cfg)
        self.options.validate()
        self.folder = SegmentFolder.open(cfg.data, self.kind_of_lists)
        self.extra = ExtraTensors(self.folder.manifest, cfg.extra) if cfg.extra else None
        self.receptive_field = self.num_leads = 0
        if cfg.allow_other_split:
            logger.warning("task.allow_other_split is the older name of task.external_test")

    @classmethod
    def setup_task(cls, cfg: EcgPretrainingConfig, **kwargs: Any) -> "EcgPretrainingTask":
        """Build the task; what fairseq-validate adds (``from_checkpoint``) makes no difference."""
        return cls(cfg)

    @property
    def kind_of_lists(self) -> str:
        """Which lists of a manifest are read; see :meth:`SegmentFolder.open`."""
        return "cmsc" if self.items == "cmsc_pairs" else "plain"

    @property
    def present(self) -> Provenance:
        """What is known of the present data, with the leads that the network reads of them."""
        names = self.options.lead_names()
        return self.folder.provenance.reading(names, self.options.enable_padding_leads)

    @property
    def external_test(self) -> bool:
        """Whether patients are not compared."""
        return bool(self.cfg.external_test or self.cfg.allow_other_split)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build the model; its settings are completed, so that a checkpoint holds all of them."""
        settings = MODEL_DATACLASS_REGISTRY[cfg._name]()
        with open_dict(cfg):
            for known in fields(settings):
                if known.name not in cfg:
                    cfg[known.name] = getattr(settings, known.name)
        model = super().build_model(cfg, from_checkpoint)
        encoder = encoder_of(model)
        self.receptive_field, self.num_leads = encoder.min_samples, encoder.leads
        return model

    def load_dataset(
        self,
        split: str,
        combine: bool = False,
        task_cfg: Optional[FairseqDataclass] = None,
        **kwargs: Any,
    ) -> None:
        """Load a split; the one that fairseq trains on sees augmentations."""
        self.watch_contents(self.folder.manifest)
        dataset = self.make_dataset(split, split == self.cfg.train_subset)
        self._check_fits(dataset)
        if self.extra is not None:
            for part in parts_of(dataset):
                part.add_extra(self.extra)
        self.datasets[split] = dataset
        logger.info(f"{split}: {len(dataset):,} items from {self.folder.path}")

    def make_dataset(self, split: str, is_training: bool) -> FairseqDataset:
        """Return the dataset of a split."""
        common = {"seed": self.cfg.seed, "is_training": is_training}
        tsv = self.folder.tsv(split)
        if self.items == "cmsc_pairs":
            pairs = CmscPairList.load(tsv)
            return CmscDataset(pairs, self.options, self.augmentation(pairs), **common)
        segments = SegmentList.load(tsv)
        if self.items == "two_views":
            return TwoViewDataset(segments, self.options, self._views(segments), **common)
        return SegmentDataset(segments, self.options, self.augmentation(segments), **common)

    def _views(self, segments: SegmentList) -> TwoViews | ThreeKg:
        """Return what makes two views of a segment."""
        if views_of(self.cfg.views, self.cfg.criterion_name) == "3kg":
            return _three_kg(self.cfg)
        augmentation = self.augmentation(segments)
        if augmentation is None:
            raise EcgError(
                f"criterion {self.cfg.criterion_name} compares two augmented views, but "
                "task.perturbation_mode is null; name one or more augmentations"
            )
        return TwoViews(augmentation)

    def augmentation(self, segments: Any) -> Optional[Chain]:
        """Return the augmentations of ``perturbation_mode``, or None.

        Args:
            segments: a list; its first segment's rate counts where ``sample_rate`` is null.
        """
        cfg = self.cfg
        if not cfg.perturbation_mode:
            return None
        options = {
            "fs_hz": float(cfg.sample_rate or _rate_of(segments)),
            "min_amplitude": cfg.min_amplitude,
            "max_amplitude": cfg.max_amplitude,
            "dependency": _dependency(cfg) if cfg.dependency else "none",
            "shift_ratio": cfg.shift_ratio,
            "num_segments": cfg.num_segment,
            "min_freq_hz": cfg.min_freq,
            "max_freq_hz": cfg.max_freq,
            "num_sines": cfg.k,
            "selection": cfg.mask_leads_selection,
            "mask_probability": cfg.mask_leads_prob,
            "condition": tuple(cfg.mask_leads_condition),
        }
        names = list(cfg.perturbation_mode)
        kinds = [AUGMENTATIONS[name] for name in names if name in AUGMENTATIONS]
        used = {option for kind in kinds for option in kind.__dataclass_fields__}
        chosen = {option: value for option, value in options.items() if option in used}
        return chain_of(names, list(cfg.p), **chosen)

    def _check_fits(self, dataset: Any) -> None:
        """Refuse segments that the model cannot take; it is built before data are loaded."""
        for part in parts_of(dataset):
            if self.num_leads:
                part.check_num_leads(self.num_leads, "model.in_d")
            shortest = int(part.sizes.min())
            if shortest < self.receptive_field:
                raise EcgError(
                    f"{part.segments.path} has a segment of {shortest} samples, shorter than the "
                    f"{self.receptive_field} that one frame of the model sees; leave such segments "
                    f"out with task.min_sample_size={self.receptive_field} or more"
                )

    def begin_epoch(self, epoch: int, model: Any) -> None:
        """Have the metrics that fairseq logs from now on written as CSV, too."""
        write_metrics_csv(self.cfg.save_dir)

    def reduce_metrics(self, logging_outputs: List[Dict[str, Any]], criterion: Any) -> None:
        """Log what the criterion logs; fairseq's counts of words mean nothing here."""
        type(criterion).reduce_metrics(logging_outputs)

    def before_batch(self, sample: Any, update_num: int) -> None:
        """Seed masks, codes and dropout by update and content of the batch.

        fairseq seeds once an update and alike in all processes. Then two processes would draw the
        same numbers, and other ones than a single process that accumulates their two batches.
        """
        key = (self.cfg.seed, update_num, int(sample["id"][0]))
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def max_positions(self) -> None:
        """Return no limit: lengths are handled by the dataset."""
        return None


def parts_of(dataset: Any) -> Tuple[SignalDataset, ...]:
    """Return the datasets that one is made of, or itself."""
    return getattr(dataset, "parts", (dataset,))


def _signal_options(cfg: EcgPretrainingConfig) -> SignalOptions:
    values = {known.name: getattr(cfg, known.name) for known in fields(SignalOptions)}
    return SignalOptions(**values)


def _dependency(cfg: EcgPretrainingConfig) -> str:
    """Return how leads that depend on I and II are made."""
    forms = {"sound": "limb", "published": "published"}
    if cfg.dependency_form not in forms:
        raise EcgError(
            f"task.dependency_form={cfg.dependency_form!r}; expected one of {', '.join(forms)}"
        )
    return forms[cfg.dependency_form]


def _three_kg(cfg: EcgPretrainingConfig) -> ThreeKg:
    names = {"angle": "max_angle_deg", "scale": "max_scale", "mask_ratio": "mask_ratio"}
    given = dict(cfg.inferred_3kg_config or {})
    if unknown := sorted(set(given) - set(names)):
        raise EcgError(
            f"task.inferred_3kg_config has {', '.join(unknown)}; it may hold {', '.join(names)}"
        )
    values = {names[key]: float(value) for key, value in given.items()}
    return ThreeKg(**values, dependency=_dependency(cfg))


def _rate_of(segments: Any) -> float:
    first = segments.read(0)
    first = first[0] if isinstance(first, tuple) else first
    return first.fs_hz or _DEFAULT_RATE_HZ
