"""A trained encoder with everything that a recording needs on its way into it.

Made of one checkpoint, without fairseq or a manifest: classifiers, identification networks and
pretrained encoders of any system. ``networks/trained.py`` opens the files.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.errors import CheckpointError, EcgError, RecordError
from ecg_fairseq.networks.encoders.by_recording import MIMIC_IV_ECG_LABELS
from ecg_fairseq.networks.encoders.checkpoint import TrainedNetwork, network_of_state
from ecg_fairseq.networks.encoders.classifier import EncoderArcFace, EncoderClassifier
from ecg_fairseq.networks.encoders.lead_choice import NetworkInput
from ecg_fairseq.networks.encoders.pooling import pooled_by
from ecg_fairseq.networks.encoders.registry import network_kind
from ecg_fairseq.records.labels.label_files import read_label_names
from ecg_fairseq.records.manifest.provenance import Provenance
from ecg_fairseq.records.readers.plausibility import segments_to_leave_out
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.signal.recipes import get_recipe, recipe_from_description

# What checkpoints that do not name their recipe were trained on, above all ECG-FM's own.
DEFAULT_RECIPE = "ecg_fm"
PUBLISHED_LABELS = {"mimic-iv-ecg": MIMIC_IV_ECG_LABELS}
_BATCH_SIZE = 32
# What the settings of a run that finetunes another encoder than ECG-FM's need besides.
_ANY_ENCODER = "model._name=ecg_encoder_classifier "


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
        return isinstance(self.trained.network, EncoderClassifier)

    @property
    def is_identification(self) -> bool:
        """Whether the network was trained to tell patients apart."""
        return isinstance(self.trained.network, EncoderArcFace)

    @property
    def has_label_names(self) -> bool:
        """Whether the outputs go by real names."""
        return self.labels != _numbered(len(self.labels))

    @property
    def width(self) -> int:
        """Width D of an embedding."""
        return self.trained.encoder.width

    @property
    def default_pooling(self) -> str:
        """What embeddings are pooled by when not told."""
        return self.trained.encoder_kind.pooling

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

    def moving_segments(self, record: EcgRecord) -> np.ndarray:
        """Prepare a recording as ``prepare`` does: without segments in which no lead moves.

        Returns and raises as :meth:`segments`.
        """
        segments = self.segments(record)
        seconds = self.recipe.segment_seconds
        return segments[~segments_to_leave_out(record, len(segments), seconds)]

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
        network = self.classifier
        return np.concatenate(
            [network(batch).logits.cpu().numpy() for batch in self._batches(segments, batch_size)]
        )

    def embeddings(
        self, segments: np.ndarray, pooling: str | None = None, batch_size: int = _BATCH_SIZE
    ) -> np.ndarray:
        """Embed segments.

        Args:
            segments: float32 (N, L, T), as :meth:`segments` gives them.
            pooling: over frames, one of :data:`pooling.POOLINGS`; None for
                :attr:`default_pooling`, which is what heads are trained on. ``max`` keeps what
                happens once; ``first`` and ``last`` are single frames, for comparison.
            batch_size: segments at a time.

        Returns:
            float32 (N, D).
        """
        encoder = self.trained.encoder
        # The encoder's own vector is pooled as its training did, to the last bit.
        how = pooling or self.default_pooling
        how = "encoder" if how == self.default_pooling else how
        return np.concatenate(
            [
                pooled_by(encoder.encode(batch), how).cpu().numpy()
                for batch in self._batches(segments, batch_size)
            ]
        )

    def check_is_classifier(self) -> None:
        """Refuse networks without labels; EcgError says what to use instead."""
        _ = self.classifier

    @property
    def classifier(self) -> EncoderClassifier:
        """The network, if it scores labels; EcgError says what to use others for."""
        if isinstance(self.trained.network, EncoderClassifier):
            return self.trained.network
        what = "is pretrained and has no label head"
        if self.is_identification:
            what = "tells people apart"
        model = "" if self.trained.encoder_name == "ecg_transformer" else _ANY_ENCODER
        raise EcgError(
            f"{self.path} ({self.trained.name}) {what}, so it predicts no labels; `ecg-fairseq "
            "embed` writes its embeddings, `ecg-fairseq probe` fits a linear classifier on them, "
            f"and `fairseq-hydra-train --config-name diagnosis {model}model.model_path={self.path} "
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
        shortest = self.trained.encoder.min_samples
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


def encoder_of_state(state: Mapping[str, Any], path: str) -> TrainedEncoder:
    """Return the trained encoder of a checkpoint that was read.

    Args:
        state: what :func:`read_checkpoint_file` gave.
        path: of the file.

    Raises:
        CheckpointError: it is of another system, or its tensors do not fit.
        RecipeError: its recipe is unknown here, or has other constants.
    """
    trained = network_of_state(state, path)
    stored = state.get("task_state") or {}
    recipe = _unpacked(stored.get("recipe"))
    labels = stored.get("labels") or stored.get("label_names")
    return TrainedEncoder(
        path=path,
        trained=trained,
        recipe=recipe_from_description(recipe, path) if recipe else get_recipe(DEFAULT_RECIPE),
        labels=_label_names(labels, trained.network, path),
        signals=NetworkInput.of_task(trained.task, trained.encoder.leads, path),
        source=Provenance.from_state(stored, path),
    )


def random_encoder(system: TrainedEncoder, seed: int) -> TrainedEncoder:
    """Return an encoder of the same architecture with random weights: the floor of every probe.

    Args:
        system: says architecture, recipe and leads.
        seed: of the weights.
    """
    kind, config = system.trained.encoder_kind, system.trained.encoder_config
    network = _with_seed(kind.build, config, seed)
    trained = replace(system.trained, name=kind.name, network=network, config=config)
    return _random(system, trained, seed, ())


def random_network(system: TrainedEncoder, seed: int) -> TrainedEncoder:
    """Return the whole network, head included, with random weights; arguments as above."""
    trained = system.trained
    build = network_kind(trained.name, system.path).build
    trained = replace(trained, network=_with_seed(build, trained.config, seed))
    return _random(system, trained, seed, system.labels)


def _with_seed(build: Callable[[Any], torch.nn.Module], config: Any, seed: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(config).eval()


def _random(
    system: TrainedEncoder, trained: TrainedNetwork, seed: int, labels: tuple[str, ...]
) -> TrainedEncoder:
    path = f"random weights (seed {seed})"
    return replace(system, path=path, trained=trained, labels=labels).to(system.device)


def _unpacked(recipe: Any) -> dict[str, Any] | None:
    """Return a recipe's description, which checkpoints hold as an object or as JSON text."""
    value = json.loads(recipe) if isinstance(recipe, str) else recipe
    return dict(value) if isinstance(value, Mapping) else None


def _label_names(
    stored: Sequence[str] | None, network: torch.nn.Module, path: str
) -> tuple[str, ...]:
    if not isinstance(network, EncoderClassifier):
        return ()
    count = network.num_labels
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
