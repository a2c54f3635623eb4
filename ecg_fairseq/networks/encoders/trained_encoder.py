"""A trained ECG-FM network with everything that a recording needs on its way into it.

Loaded from one checkpoint file, without fairseq or a manifest: classifiers, identification networks
and pretrained encoders, our own or converted ones.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.errors import CheckpointError, EcgError, RecordError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.ecg_fm.checkpoint import (
    NETWORKS,
    TrainedNetwork,
    load_exactly,
    stored_config,
)
from ecg_fairseq.networks.ecg_fm.encoder import EcgTransformer, pool
from ecg_fairseq.networks.encoders.by_recording import MIMIC_IV_ECG_LABELS
from ecg_fairseq.networks.encoders.heads import EcgTransformerClassifier
from ecg_fairseq.networks.encoders.lead_choice import NetworkInput
from ecg_fairseq.records.labels.label_files import read_label_names
from ecg_fairseq.records.manifest.provenance import Provenance
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.signal.recipes import get_recipe, recipe_from_description

# What checkpoints that do not name their recipe were trained on, above all ECG-FM's own.
DEFAULT_RECIPE = "ecg_fm"
PUBLISHED_LABELS = {"mimic-iv-ecg": MIMIC_IV_ECG_LABELS}
_BATCH_SIZE = 32


@dataclass(frozen=True)
class TrainedEncoder:
    """A network of a checkpoint, and how its signals are made.

    Attributes:
        path: of the checkpoint.
        trained: the network, in evaluation mode.
        recipe: turns recordings into segments.
        labels: names of a classifier's outputs; ``label_0``, ... where the checkpoint does not
            name them; empty for other networks.
        signals: which leads the network reads.
        source: the training data.
    """

    path: str
    trained: TrainedNetwork
    recipe: Recipe
    labels: tuple[str, ...]
    signals: NetworkInput
    source: Provenance

    @property
    def is_classifier(self) -> bool:
        """Whether the network scores labels."""
        return isinstance(self.trained.network, EcgTransformerClassifier)

    @property
    def has_label_names(self) -> bool:
        """Whether the outputs go by real names."""
        return self.labels != _numbered(len(self.labels))

    @property
    def width(self) -> int:
        """Width D of an embedding."""
        return self.trained.config.encoder_embed_dim

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.trained.network.parameters()).device

    @property
    def recipe_leads(self) -> tuple[str, ...]:
        """Leads of the recipe's segments."""
        return tuple(strip.lead for strip in self.recipe.strips)

    def to(self, device: torch.device | str) -> "TrainedEncoder":
        """Move the network; EcgError when there is no such device."""
        try:
            self.trained.network.to(device)
        except (RuntimeError, AssertionError) as error:
            raise EcgError(f"device {device!r} cannot be used: {error}") from error
        return self

    def segments(self, record: EcgRecord) -> np.ndarray:
        """Prepare a recording of any length.

        Returns:
            float32 (N, L, T), N at least 1; the remainder behind the last whole segment is left
            out.

        Raises:
            RecordError: leads are missing, samples are not finite, or it is shorter than a segment.
        """
        try:
            segments = self.recipe.apply(record.signal, record.leads, record.fs_hz)
            return self.signals.chosen(segments, self.recipe_leads)
        except RecordError as error:
            raise RecordError(f"record {record.record_id}: {error}") from error

    def logits(self, segments: np.ndarray, batch_size: int = _BATCH_SIZE) -> np.ndarray:
        """Score segments.

        Args:
            segments: float32 (N, L, T), as :meth:`segments` gives them.
            batch_size: segments at a time.

        Returns:
            float32 (N, K).

        Raises:
            EcgError: the network scores no labels.
        """
        self.check_is_classifier()
        network = self.trained.network
        return np.concatenate(
            [network(batch).logits.cpu().numpy() for batch in self._batches(segments, batch_size)]
        )

    def embeddings(
        self, segments: np.ndarray, pooling: str = "mean", batch_size: int = _BATCH_SIZE
    ) -> np.ndarray:
        """Embed segments.

        Args:
            segments: float32 (N, L, T), as :meth:`segments` gives them.
            pooling: over frames, one of :data:`encoder.POOLINGS`. Classifiers were trained on
                ``mean``; ``max`` keeps what happens once; ``first`` and ``last`` are single frames
                of an encoder without a class token, for comparison.
            batch_size: segments at a time.

        Returns:
            float32 (N, D).
        """
        encoder = self.trained.encoder
        return np.concatenate(
            [
                pool(encoder.encode(batch).context, None, pooling).cpu().numpy()
                for batch in self._batches(segments, batch_size)
            ]
        )

    def check_is_classifier(self) -> None:
        """Refuse networks without labels; EcgError says what to use instead."""
        if self.is_classifier:
            return
        is_identification = self.trained.name == "arcface"
        what = "tells people apart" if is_identification else "is pretrained and has no label head"
        raise EcgError(
            f"{self.path} ({self.trained.name}) {what}, so it predicts no labels; `ecg-fairseq "
            "embed` writes its embeddings, `ecg-fairseq probe` fits a linear classifier on them, "
            f"and `fairseq-hydra-train --config-name diagnosis model.model_path={self.path} "
            "task.data=MANIFEST` finetunes it"
        )

    def label_number(self, name: str) -> int:
        """Return the column of a label given by name or number; EcgError lists the names."""
        self.check_is_classifier()
        if name in self.labels:
            return self.labels.index(name)
        folded = [label.lower() for label in self.labels]
        if folded.count(name.lower()) == 1:
            return folded.index(name.lower())
        if name.isdecimal() and int(name) < len(self.labels):
            return int(name)
        raise EcgError(f"label {name!r} is not one of {', '.join(self.labels)}")

    def named(self, labels: Path | str) -> "TrainedEncoder":
        """Return the same with other label names.

        Args:
            labels: a ``label_def.csv``, or a key of :data:`PUBLISHED_LABELS`.

        Raises:
            EcgError: their number is not that of the network's outputs.
            ManifestError: the file is missing or no label definition.
        """
        self.check_is_classifier()
        names = PUBLISHED_LABELS.get(str(labels)) or read_label_names(Path(labels))
        if len(names) != len(self.labels):
            raise EcgError(
                f"{labels} names {len(names)} labels, {self.path} has {len(self.labels)} outputs; "
                "give the label_def.csv of the label file that it was trained with"
            )
        return replace(self, labels=names)

    def _batches(self, segments: np.ndarray, batch_size: int) -> Iterator[Tensor]:
        """Yield tensors on the network's device, without gradients."""
        if batch_size < 1:
            raise EcgError(f"batch size {batch_size}; expected at least 1")
        shortest = self.trained.encoder.feature_extractor.receptive_field
        if segments.shape[2] < shortest:
            raise RecordError(
                f"segments of {segments.shape[2]} samples are shorter than the {shortest} that one "
                "frame of the network sees"
            )
        with torch.inference_mode():
            for start in range(0, len(segments), batch_size):
                # A copy: rows of a mapped store are read-only, which torch warns about.
                batch = torch.from_numpy(np.array(segments[start : start + batch_size]))
                yield batch.to(self.device)


def load_trained_encoder(path: Path | str) -> TrainedEncoder:
    """Load a checkpoint of an ECG-FM network.

    Raises:
        CheckpointError: it is damaged, of another system, or its tensors do not fit.
        RecipeError: its recipe is unknown here, or has other constants.
    """
    state = read_checkpoint_file(path)
    name, config = stored_config(state, path)
    network = NETWORKS[name][0](config)
    load_exactly(network, state["model"], str(path))
    task = dict(state["cfg"].get("task") or {})
    trained = TrainedNetwork(name, network.eval(), config, task)
    stored = state.get("task_state") or {}
    recipe = _unpacked(stored.get("recipe"))
    labels = stored.get("labels") or stored.get("label_names")
    return TrainedEncoder(
        path=str(path),
        trained=trained,
        recipe=recipe_from_description(recipe, str(path)) if recipe else get_recipe(DEFAULT_RECIPE),
        labels=_label_names(labels, network, str(path)),
        signals=NetworkInput.of_task(task, config.in_d, str(path)),
        source=Provenance.from_state(stored, path),
    )


def random_encoder(system: TrainedEncoder, seed: int) -> TrainedEncoder:
    """Return an encoder of the same architecture with random weights: the floor of every probe.

    Args:
        system: says architecture, recipe and leads.
        seed: of the weights.
    """
    config = replace(system.trained.config, apply_mask=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EcgTransformer(config).eval()
    trained = TrainedNetwork("ecg_transformer", network, config, system.trained.task)
    path = f"random weights (seed {seed})"
    return replace(system, path=path, trained=trained, labels=()).to(system.device)


def _unpacked(recipe: Any) -> dict[str, Any] | None:
    """Return a recipe's description, which checkpoints hold as an object or as JSON text."""
    value = json.loads(recipe) if isinstance(recipe, str) else recipe
    return dict(value) if isinstance(value, Mapping) else None


def _label_names(
    stored: Sequence[str] | None, network: torch.nn.Module, path: str
) -> tuple[str, ...]:
    if not isinstance(network, EcgTransformerClassifier):
        return ()
    count = network.config.num_labels
    if stored is None:
        return _numbered(count)
    if len(stored) != count:
        raise CheckpointError(
            f"{path} names {len(stored)} labels, but its network has {count} outputs; it was "
            "changed after training"
        )
    return tuple(str(name) for name in stored)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"label_{number}" for number in range(count))
