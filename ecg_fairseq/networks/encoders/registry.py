"""Encoders and the networks that hold them, by the names that settings and checkpoints use.

How an encoder is added, without touching the code of verbs and tasks:

1. Write its module: a ``torch.nn.Module`` that is an :class:`~encoder.Encoder`, and a dataclass of
   its settings (plain types, ``check()`` raises ``EcgError`` on contradictions)::

       register_encoder(EncoderKind("my_encoder", MyConfig, MyEncoder, architecture=("depth", ...)))

   ``architecture`` names the settings that decide which tensors there are and what they compute;
   finetuning takes them from a pretrained checkpoint.
2. Name it in ``ENCODERS`` of ``networks/trained.py`` (the one place that knows all systems), with a
   function that imports its module; outside this package call :func:`register_encoder` before
   training or opening a checkpoint.
3. It can now be finetuned: ``model._name=ecg_encoder_classifier`` (labels) or
   ``ecg_encoder_arcface`` (identification) with ``model.encoder=my_encoder``,
   ``model.encoder_settings={depth: 18}``. ``predict``, ``embed``, ``probe`` and ``plot`` read the
   checkpoints.
4. Only where the encoder is also pretrained, by a fairseq model of its own: register that model's
   checkpoints with :func:`register_network`, and name it in ``NETWORKS`` of
   ``networks/trained.py``; ``model.model_path`` and ``embed`` take them from then on.

Imports no torch: names are looked up before anything heavy is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import CheckpointError, EcgError

if TYPE_CHECKING:
    from torch import Tensor, nn

Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class EncoderKind:
    """How an encoder is built from its settings.

    Attributes:
        name: in ``model.encoder`` and in checkpoints.
        config: dataclass of its settings, with ``check()``.
        build: returns the encoder for such settings, with random weights.
        architecture: settings that a pretrained checkpoint imposes.
        load: puts tensors (encoder, name -> tensor, where they are from) into the encoder; None:
            :func:`checkpoint.load_exactly`.
        pooling: what ``embed`` pools by when not told; a name of ``pooling.POOLINGS``.
    """

    name: str
    config: type[Any]
    build: "Callable[[Any], nn.Module]"
    architecture: tuple[str, ...] = ()
    load: "Callable[[nn.Module, Tensors, str], None] | None" = None
    pooling: str = "encoder"

    def settings(self, given: Mapping[str, Any]) -> Any:
        """Return the checked settings; EcgError for names that the encoder does not know."""
        known = [one.name for one in fields(self.config)]
        if unknown := sorted(set(map(str, given)) - set(known)):
            raise EcgError(
                f"model.encoder_settings has {', '.join(unknown)}, which the encoder {self.name} "
                f"does not know; it has {', '.join(known)}"
            )
        config = self.config(**given)
        config.check()
        return config


@dataclass(frozen=True)
class NetworkKind:
    """What the checkpoints of a registered fairseq model hold.

    Attributes:
        name: of the model.
        settings: returns the network's settings for those of a checkpoint (``cfg.model``, path);
            raises CheckpointError for files that are not ours.
        build: returns the whole network for these settings, with random weights.
        encoder: returns the name and the settings of the encoder in it.
        encoder_tensors: picks the encoder's tensors from the network's, under the encoder's names.
    """

    name: str
    settings: Callable[[Mapping[str, Any], str], Any]
    build: "Callable[[Any], nn.Module]"
    encoder: Callable[[Any], tuple[str, Any]]
    encoder_tensors: "Callable[[Tensors], dict[str, Tensor]]"


_ENCODERS: dict[str, EncoderKind] = {}
_NETWORKS: dict[str, NetworkKind] = {}
# Name -> imports the module that registers it; trained.py announces them.
Importer = Callable[[], object]
_ENCODER_MODULES: dict[str, Importer] = {}
_NETWORK_MODULES: dict[str, Importer] = {}


def register_encoder(kind: EncoderKind) -> None:
    """Make an encoder known; EcgError when the name is another one's."""
    _register(_ENCODERS, kind.name, kind)


def register_network(kind: NetworkKind) -> None:
    """Make a model's checkpoints known; EcgError when the name is another one's."""
    _register(_NETWORKS, kind.name, kind)


def announce(encoders: Mapping[str, Importer], networks: Mapping[str, Importer]) -> None:
    """Say what imports the module that registers a name, when the name is asked for."""
    _ENCODER_MODULES.update(encoders)
    _NETWORK_MODULES.update(networks)


def encoder_kind(name: str) -> EncoderKind:
    """Return an encoder by name; EcgError lists the names."""
    found = _find(_ENCODERS, _ENCODER_MODULES, name)
    if found is None:
        names = sorted({*_ENCODERS, *_ENCODER_MODULES})
        raise EcgError(f"model.encoder={name!r} is not an encoder; there are {', '.join(names)}")
    return found


def network_kind(name: Any, path: str) -> NetworkKind:
    """Return a network by its model's name.

    Args:
        name: ``cfg.model._name`` of a checkpoint, or whatever stands there.
        path: of the checkpoint, for the message.

    Raises:
        CheckpointError: there is no such network here.
    """
    found = _find(_NETWORKS, _NETWORK_MODULES, name)
    if found is None:
        names = [*_NETWORK_MODULES, *(name for name in _NETWORKS if name not in _NETWORK_MODULES)]
        raise CheckpointError(
            f"{path} holds the model {name!r}, not an ECG encoder of ours ({', '.join(names)}); a "
            "fairseq-signals checkpoint goes through `ecg-fairseq convert --from fairseq-signals "
            "IN --out OUT` first"
        )
    return found


def _register(table: dict[str, Any], name: str, kind: Any) -> None:
    if table.setdefault(name, kind) != kind:
        raise EcgError(f"{name} is registered already; choose another name")


def _find(table: dict[str, Any], modules: Mapping[str, Importer], name: Any) -> Any:
    if not isinstance(name, str):
        return None
    if name not in table and name in modules:
        modules[name]()
    return table.get(name)
