"""ECG tokens of kind ``fsq``: codes of an autoencoder with finite scalar quantization (HeartLLM).

A token stands for 16 samples of all leads at the published depth. The network is in
``networks/heartllm`` and is imported when tokens are opened, so that this module stays light. Token
files are JSON beside a safetensors file with the weights; nothing is pickled.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecg_fairseq.errors import EcgError, TokenizerError
from ecg_fairseq.files import atomic_write, read_json, sha256_of_json, write_json
from ecg_fairseq.tokenizer.ecg_tokens import register_kind

if TYPE_CHECKING:
    from torch import Tensor

    from ecg_fairseq.networks.heartllm.network import FsqAutoencoder

FORMAT = "ecg_fairseq.fsq_tokens"
VERSION = 1
# Of the whole file; its ``sha256`` is of what ids depend on alone.
DESCRIPTION_KEY = "description_sha256"
MAX_WEIGHT_BYTES = 1 << 32
_FIELDS = ("config", "recipe", "split_hash", "num_samples", "lacking", "source")


@register_kind
@dataclass(frozen=True, eq=False)
class FsqTokens:
    """A trained autoencoder as ECG tokens.

    Attributes:
        network: in evaluation mode, on the CPU unless moved.
        recipe: name and hash of the preprocessing it was trained on, or None.
        split_hash: of the patients it was trained on, or None.
        num_samples: length of the recipe's segments, which :meth:`decode` gives, or None.
        lacking: tensors that have random values, since a converted file lacked them.
        source: what else is known of the training data, as checkpoints keep it.
    """

    kind: ClassVar[str] = "fsq"

    network: "FsqAutoencoder"
    recipe: dict[str, Any] | None = None
    split_hash: str | None = None
    num_samples: int | None = None
    lacking: tuple[str, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("name", "hash")
        if self.recipe is not None and (
            not isinstance(self.recipe, dict)
            or not all(isinstance(self.recipe.get(key), str) for key in names)
        ):
            raise TokenizerError("FSQ tokens: recipe must be {'name': str, 'hash': str} or null")
        if self.split_hash is not None and not isinstance(self.split_hash, str):
            raise TokenizerError("FSQ tokens: split_hash must be a string or null")
        length = self.num_samples
        if length is not None and (type(length) is not int or length < self.network.min_samples):
            raise TokenizerError(
                f"FSQ tokens: segments of {length!r} samples; a token alone stands for "
                f"{self.network.min_samples}"
            )
        expected = _segment_samples(self.recipe)
        if self.recipe and length and expected is not None and length != expected:
            raise TokenizerError(
                f"FSQ tokens: segments of {length} samples, but recipe {self.recipe['name']} makes "
                f"segments of {expected}; export the tokens anew from their checkpoint"
            )
        lacking = [name for name in self.lacking if name.startswith("enc.")]
        if lacking:
            raise TokenizerError(
                f"the encoder of these FSQ tokens was converted in part and has random values in "
                f"{', '.join(lacking[:4])}; convert a whole file"
            )

    # -- sizes ---------------------------------------------------------------------------------

    @property
    def levels(self) -> tuple[int, ...]:
        """Number of levels of each dimension of a code."""
        return self.network.quantizer.levels

    @property
    def num_ids(self) -> int:
        """Number of ids, the product of the levels."""
        return self.network.quantizer.num_ids

    @property
    def samples_per_token(self) -> int:
        """Samples of every lead that a token stands for."""
        return self.network.config.samples_per_token

    @property
    def has_decoder(self) -> bool:
        """Whether ids can be turned back into signals."""
        return not self.lacking

    def emitted_ids(self) -> np.ndarray:
        """Return all ids: every code can occur."""
        return np.arange(self.num_ids, dtype=np.int64)

    def sha256(self) -> str:
        """Return a hash of what ids depend on: sizes, the encoder's weights, and the recipe."""
        encoder = hashlib.sha256()
        for name, tensor in sorted(self._tensors().items()):
            if name.startswith("enc."):
                encoder.update(name.encode())
                encoder.update(tensor.numpy().tobytes())
        described = {"config": asdict(self.network.config), "recipe": self.recipe}
        return sha256_of_json({**described, "encoder": encoder.hexdigest()})

    # -- encoding and decoding -------------------------------------------------------------------

    def encode(self, segments: np.ndarray) -> list[np.ndarray]:
        """Return the int64 ids (S,) of each segment; see :meth:`EcgTokens.encode`.

        Always in float32, and of a segment alone: neither the size of a batch nor the precision of
        a model around it changes an id.

        Args:
            segments: (B, L, T) float, as the recipe gives them; T may differ from the recipe's.

        Raises:
            TokenizerError: another number of leads, too short, or samples that are not finite.
        """
        import torch

        array = np.asarray(segments)
        if array.ndim != 3 or array.dtype.kind != "f":
            raise TokenizerError(
                f"expected float values of shape (segments, leads, samples), got {array.dtype} "
                f"{array.shape}"
            )
        if not np.isfinite(array).all():
            raise TokenizerError(
                f"{int((~np.isfinite(array)).sum())} samples of the segments are NaN or Inf; mend "
                "or leave out such recordings, their tokens mean nothing"
            )
        signal = torch.from_numpy(np.array(array, dtype=np.float32))
        try:
            ids = self.network.token_ids(signal.to(self._device))
        except EcgError as error:
            raise TokenizerError(str(error)) from error
        return list(ids.cpu().numpy())

    def decode(self, ids: Any) -> np.ndarray:
        """Return the segment (L, T) float32, in the recipe's unit, that ids (S,) stand for.

        T is the recipe's where the ids are of a whole segment, else all samples of the tokens.

        Raises:
            TokenizerError: an unknown id, no ids, or a network without decoder.
        """
        import torch

        checked = self._checked(ids)
        if not self.has_decoder:
            raise TokenizerError(
                "these FSQ tokens have an encoder alone (converted from a full checkpoint), so "
                "nothing can be decoded; convert the tokenizer's own file (best.pt)"
            )
        if len(checked) == 0:
            raise TokenizerError("no ids were given; a segment has one token or more")
        quantizer = self.network.quantizer
        with torch.inference_mode():
            levels = quantizer.levels_of(torch.from_numpy(checked).to(self._device))
            decoded = self.network.decode(quantizer.grid(levels)[None], self._length(len(checked)))
        return decoded[0].cpu().numpy()

    def spans(self, ids: Any) -> np.ndarray:
        """Return int64 (S, 3): -1 for all leads, first and end sample of every token."""
        count = len(self._checked(ids))
        edges = np.arange(count + 1, dtype=np.int64) * self.samples_per_token
        edges = np.minimum(edges, self._length(count))
        return np.stack([np.full(count, -1, dtype=np.int64), edges[:-1], edges[1:]], axis=1)

    def levels_of(self, ids: Any) -> np.ndarray:
        """Return int64 (S, D), the level of every dimension of ids (S,)."""
        import torch

        return self.network.quantizer.levels_of(torch.from_numpy(self._checked(ids))).numpy()

    def _length(self, num_tokens: int) -> int:
        """Return the samples of a segment of so many tokens."""
        whole = self.num_samples
        if whole is not None and self.network.config.num_tokens(whole) == num_tokens:
            return whole
        return num_tokens * self.samples_per_token

    def _checked(self, ids: Any) -> np.ndarray:
        array = np.asarray(ids)
        is_empty = array.size == 0 and array.ndim == 1
        if array.ndim != 1 or (array.dtype.kind not in "iu" and not is_empty):
            raise TokenizerError(
                f"expected a flat list of whole ids, got {array.dtype} of shape {array.shape}"
            )
        if len(array) and not 0 <= array.min() <= array.max() < self.num_ids:
            raise TokenizerError(
                f"ids from {array.min()} to {array.max()}; these tokens have the ids 0 to "
                f"{self.num_ids - 1}"
            )
        return array.astype(np.int64)

    @property
    def _device(self) -> Any:
        return next(self.network.parameters()).device

    def _tensors(self) -> dict[str, "Tensor"]:
        state = self.network.state_dict().items()
        return {name: tensor.detach().cpu().contiguous() for name, tensor in state}

    # -- files -----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds to build it anew: plain types and tensors."""
        return {**self._description(), "tensors": self._tensors()}

    def _description(self) -> dict[str, Any]:
        return {
            "config": asdict(self.network.config),
            "recipe": self.recipe,
            "split_hash": self.split_hash,
            "num_samples": self.num_samples,
            "lacking": list(self.lacking),
            "source": self.source,
        }

    @classmethod
    def from_state(cls, state: Any) -> "FsqTokens":
        """Rebuild what :meth:`state` gave.

        Raises:
            TokenizerError: it is damaged.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("tensors"), Mapping):
            raise TokenizerError("the stored FSQ tokens hold no tensors; they are damaged")
        return _built(state, state["tensors"], "the stored FSQ tokens")

    def save(self, path: Path | str) -> None:
        """Write ``path`` (JSON) and beside it a safetensors file, named after its content.

        The weights of a file that is written over stay until then, so that an interruption leaves
        a whole file.
        """
        from safetensors.torch import save

        path = Path(path)
        content = save(self._tensors())
        digest = hashlib.sha256(content).hexdigest()
        weights = path.with_name(f"{path.stem}.{digest[:12]}.safetensors")
        with atomic_write(weights, "wb") as stream:
            stream.write(content)
        head = {"format": FORMAT, "version": VERSION, "kind": self.kind, "sha256": self.sha256()}
        files = {"weights": weights.name, "weights_sha256": digest}
        whole = {**head, **files, **self._description()}
        write_json(path, {**whole, DESCRIPTION_KEY: _described_sha256(whole)})

    @classmethod
    def load(cls, path: Path | str) -> "FsqTokens":
        """Read what :meth:`save` wrote.

        Raises:
            TokenizerError: missing, damaged, of another version, or weights of another file.
        """
        path = Path(path)
        value = read_json(path, TokenizerError, "tokenizer")
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise TokenizerError(f'{path} holds no FSQ tokens: "format" is not "{FORMAT}"')
        if value.get("version") != VERSION:
            raise TokenizerError(
                f"{path} has version {value.get('version')!r}, this program reads {VERSION}"
            )
        tokens = _built(value, _read_weights(path, value), str(path))
        keys = {"sha256": tokens.sha256()}
        # Files of earlier versions lack it.
        if DESCRIPTION_KEY in value:
            keys[DESCRIPTION_KEY] = _described_sha256(value)
        if changed := [key for key, found in keys.items() if value.get(key) != found]:
            raise TokenizerError(
                f"{path} was changed after it was written: its {changed[0]} is not that of its "
                "content; export the tokens anew"
            )
        return tokens

    @classmethod
    def of_checkpoint(cls, state: Mapping[str, Any], path: str) -> "FsqTokens":
        """Return the tokens of a fairseq checkpoint of the model ``fsq_autoencoder``.

        Args:
            state: what :func:`read_checkpoint_file` gave.
            path: of the file, for messages.

        Raises:
            TokenizerError: it is damaged.
        """
        from ecg_fairseq.networks.checkpoint_file import model_settings
        from ecg_fairseq.records.manifest.provenance import Provenance

        source = Provenance.from_state(state.get("task_state") or {}, path)
        recipe = dict(source.recipe) if source.recipe else None
        converted = (state.get("extra_state") or {}).get("converted") or {}
        lacking = [*converted.get("missing", ()), *converted.get("wrong_shape", ())]
        description = {
            "config": model_settings(state),
            "recipe": recipe,
            "split_hash": source.split_hash,
            "num_samples": _segment_samples(recipe),
            "lacking": lacking,
            "source": source.to_state(is_text=True),
        }
        return _built(description, state["model"], path)


def _described_sha256(value: Mapping[str, Any]) -> str:
    """Return a hash of everything that a token file says, but for the hash itself."""
    return sha256_of_json({key: item for key, item in value.items() if key != DESCRIPTION_KEY})


def _built(value: Mapping[str, Any], tensors: Mapping[str, Any], where: str) -> FsqTokens:
    """Build tokens from a description and tensors."""
    from ecg_fairseq.networks.heartllm.checkpoint import network_of

    if missing := [name for name in _FIELDS if name not in value]:
        raise TokenizerError(f"{where} lacks {', '.join(missing)}; it is damaged")
    lacking, source = value["lacking"], value["source"]
    is_listed = isinstance(lacking, list | tuple) and all(isinstance(one, str) for one in lacking)
    if not is_listed or not isinstance(source, Mapping):
        raise TokenizerError(f"{where} is damaged: lacking must be a list, source an object")
    if not isinstance(value["config"], Mapping):
        raise TokenizerError(f"{where} is damaged: config must be an object")
    try:
        network = network_of(value["config"], tensors, where)
    except EcgError as error:
        raise TokenizerError(f"{where}: {error}") from error
    return FsqTokens(
        network=network,
        recipe=value["recipe"],
        split_hash=value["split_hash"],
        num_samples=value["num_samples"],
        lacking=tuple(lacking),
        source=dict(source),
    )


def _read_weights(path: Path, value: Mapping[str, Any]) -> dict[str, "Tensor"]:
    """Return the tensors of the safetensors file that a token file names."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    name = value.get("weights")
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise TokenizerError(f"{path} names weights {name!r}; expected a file beside it")
    file = path.with_name(name)
    try:
        if file.stat().st_size > MAX_WEIGHT_BYTES:
            raise TokenizerError(f"{file} has more than {MAX_WEIGHT_BYTES} bytes")
        content = file.read_bytes()
    except OSError as error:
        raise TokenizerError(
            f"weights {file} of {path} cannot be read: {error.strerror or error}; both files "
            "belong together"
        ) from error
    if hashlib.sha256(content).hexdigest() != value.get("weights_sha256"):
        raise TokenizerError(f"{file} is not the weights that {path} was written with")
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise TokenizerError(f"weights {file} are damaged: {error}") from error


def _segment_samples(recipe: dict[str, Any] | None) -> int | None:
    """Return the samples of a recipe's segments; None where it is not known here."""
    from ecg_fairseq.errors import RecipeError
    from ecg_fairseq.signal.recipes import recipe_from_description

    if recipe is None:
        return None
    try:
        return int(recipe_from_description(recipe, "the tokenizer").shape[-1])
    except RecipeError:
        return None
