"""Opens any checkpoint by the name of the model in it, and says what it can do.

The one place that knows all systems: a new one adds its names to the tables below. Nothing heavy is
imported before a checkpoint is opened.

Capabilities are ``answer`` (questions about recordings), ``score_labels``, ``embed``, ``identify``
(tell patients apart by embeddings) and ``tokenize`` (ECG tokens of recordings).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders import registry

if TYPE_CHECKING:
    from ecg_fairseq.networks.encoders.checkpoint import PretrainedEncoder


def _ecg_fm() -> object:
    from ecg_fairseq.networks.ecg_fm import checkpoint

    return checkpoint


def _ecg_fm_convert() -> Any:
    from ecg_fairseq.networks.ecg_fm import convert

    return convert


def _heartllm() -> object:
    from ecg_fairseq.networks.heartllm import checkpoint

    return checkpoint


def _heartllm_convert() -> Any:
    from ecg_fairseq.networks.heartllm import convert

    return convert


def _any_encoder() -> object:
    from ecg_fairseq.networks.encoders import finetuning

    return finetuning


def _language_model() -> Any:
    from ecg_fairseq.networks.language_model import trained_system

    return trained_system


def _resnet() -> object:
    from ecg_fairseq.networks.encoders import resnet

    return resnet


# Encoder -> imports the module that registers it (encoders/registry.py says how).
ENCODERS: dict[str, registry.Importer] = {
    "ecg_transformer": _ecg_fm,
    "resnet": _resnet,
    "fsq_autoencoder": _heartllm,
}
# Model of a checkpoint that holds an encoder -> imports the module that registers it.
NETWORKS: dict[str, registry.Importer] = {
    "ecg_transformer": _ecg_fm,
    "ecg_wav2vec2": _ecg_fm,
    "wav2vec2_cmsc": _ecg_fm,
    "ecg_transformer_classifier": _ecg_fm,
    "arcface": _ecg_fm,
    "ecg_encoder_classifier": _any_encoder,
    "ecg_encoder_arcface": _any_encoder,
    "fsq_autoencoder": _heartllm,
}
# Model of a checkpoint that answers -> imports a module with ``system_of_state(state, path)``.
ANSWERERS = {"ecg_llm": _language_model}
# Model of a checkpoint that makes ECG tokens.
TOKENIZERS = ("fsq_autoencoder",)
# Other projects -> imports a module with ``convert_checkpoint`` and ``export_checkpoint``, and
# perhaps ``OPTIONS``, names of their further arguments by direction (``from``, ``to``).
PROJECTS = {"fairseq-signals": _ecg_fm_convert, "heartllm": _heartllm_convert}
registry.announce(ENCODERS, NETWORKS)

# Capability -> what a checkpoint without it does not do, and the verb for one that has it.
CAPABILITIES = {
    "answer": (
        "answers no questions (models of ecg_llm, trained with task ecg_qa, do)",
        "`ecg-fairseq predict RECORD --question ...` asks it, `ecg-fairseq export` writes it in "
        "Hugging Face layout",
    ),
    "score_labels": ("scores no labels", "`ecg-fairseq predict RECORD` scores its labels"),
    "embed": (
        "has no ECG encoder, so there are no embeddings and no saliency",
        "`ecg-fairseq embed` and `ecg-fairseq probe` use its embeddings",
    ),
    "identify": (
        "tells no patients apart",
        "`ecg-fairseq embed` writes embeddings that tell patients apart",
    ),
    "tokenize": (
        "makes no ECG tokens (models of fsq_autoencoder do)",
        "`ecg-fairseq tokenizer export` writes its tokens as a file for language models",
    ),
}


@dataclass(frozen=True)
class Trained:
    """A checkpoint that was opened.

    Attributes:
        path: of the checkpoint.
        name: of its model, as fairseq registers it.
        capabilities: what it can do -> the object that does it: a ``TrainedSystem`` for
            ``answer``, ``EcgTokens`` for ``tokenize``, a ``TrainedEncoder`` for the others.
    """

    path: str
    name: str
    capabilities: Mapping[str, Any]

    def can(self, capability: str) -> bool:
        """Whether it has a capability, a key of :data:`CAPABILITIES`."""
        return capability in self.capabilities

    def require(self, capability: str) -> Any:
        """Return what has a capability.

        Raises:
            EcgError: it lacks the capability; says what to use it for instead.
        """
        if capability in self.capabilities:
            return self.capabilities[capability]
        encoder = self.capabilities.get("embed")
        if capability == "score_labels" and encoder is not None and not self.can("tokenize"):
            encoder.check_is_classifier()
        lacks = CAPABILITIES[capability][0]
        instead = "; ".join(CAPABILITIES[name][1] for name in self.capabilities)
        raise EcgError(f"{self.path} (model {self.name}) {lacks}; {instead}")


def open_trained(path: Path | str) -> Trained:
    """Open a checkpoint of any system; the file is read once.

    Raises:
        CheckpointError: it is damaged, of a model that is not known here, or does not fit.
    """
    from ecg_fairseq.networks.checkpoint_file import model_settings, read_checkpoint_file

    state = read_checkpoint_file(path)
    name = model_settings(state).get("_name")
    if isinstance(name, str) and name in ANSWERERS:
        system_of_state = ANSWERERS[name]().system_of_state
        return Trained(str(path), name, {"answer": system_of_state(state, path)})
    found = _encoding(state, str(path))
    if name in TOKENIZERS:
        from ecg_fairseq.tokenizer.fsq.tokens import FsqTokens

        # First, as messages name what each is used for in this order.
        found = {"tokenize": FsqTokens.of_checkpoint(state, str(path)), **found}
    return Trained(str(path), str(name), found)


def open_pretrained_encoder(path: Path | str) -> "tuple[PretrainedEncoder, dict[str, Any]]":
    """Return the encoder of a checkpoint, and the checkpoint, whose tensors stay in the file.

    Raises:
        CheckpointError: it is damaged, has weights that are not finite, or holds no encoder.
    """
    from ecg_fairseq.networks.checkpoint_file import (
        check_is_finite,
        check_sums,
        read_checkpoint_file,
    )
    from ecg_fairseq.networks.encoders.checkpoint import pretrained_encoder

    state = read_checkpoint_file(path, only_settings=True)
    check_sums(path)
    check_is_finite(state, path)
    return pretrained_encoder(state, str(path)), state


def load_trained_encoder(path: Path | str) -> Any:
    """Return the :class:`TrainedEncoder` of a checkpoint.

    Raises:
        EcgError: it holds none; says what to use it for instead.
        CheckpointError: see :func:`open_trained`.
    """
    return open_trained(path).require("embed")


def converter(project: str) -> Any:
    """Return the module that reads and writes another project's checkpoints."""
    return PROJECTS[project]()


def _encoding(state: dict[str, Any], path: str) -> dict[str, Any]:
    from ecg_fairseq.networks.encoders.trained_encoder import encoder_of_state

    system = encoder_of_state(state, path)
    found = {"embed": system}
    if system.is_classifier:
        found["score_labels"] = system
    if system.is_identification:
        found["identify"] = system
    return found
