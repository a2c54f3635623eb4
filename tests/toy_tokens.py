"""A second kind of ECG tokens: the mean of every stretch of 50 samples of a lead, in equal steps.

Ids start at 3 and are odd, so that nothing can mistake an id for a row or a level.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.files import read_json, sha256_of_json, write_json
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.tokenizer.ecg_tokens import register_kind

STRETCH = 50


@register_kind
class LeadLevels:
    """Uniform quantizer of the samples of a lead, one token a stretch.

    Args:
        levels: number of steps between -1 and 1 mV; more levels, smaller error.
        stretch: samples a token stands for.
    """

    kind: ClassVar[str] = "toy_levels"

    def __init__(
        self, levels: int, stretch: int, shape: tuple[int, int], recipe: Any, split_hash: Any
    ) -> None:
        self.levels, self.stretch, self.shape = levels, stretch, shape
        self.recipe, self.split_hash = recipe, split_hash

    @classmethod
    def of(cls, recipe: Recipe, levels: int, stretch: int = 1) -> "LeadLevels":
        """Tokens for a recipe, of no split."""
        origin = {"name": recipe.name, "hash": recipe.hash()}
        return cls(levels, stretch, tuple(recipe.shape), origin, None)

    @classmethod
    def for_manifest(cls, manifest: Manifest, levels: int = 8) -> "LeadLevels":
        """Tokens for a manifest, of its split."""
        recipe = {key: manifest.meta["recipe"][key] for key in ("name", "hash")}
        shape = tuple(manifest.meta["layout"]["shape"])
        return cls(levels, STRETCH, shape, recipe, manifest.split_hash)

    @property
    def num_ids(self) -> int:
        return 2 * self.levels + 2

    def emitted_ids(self) -> np.ndarray:
        return 3 + 2 * np.arange(self.levels, dtype=np.int64)

    def encode(self, segments: np.ndarray) -> list[np.ndarray]:
        means = segments.reshape(len(segments), -1, self.stretch).mean(-1)
        steps = np.floor((means + 1) / 2 * self.levels).clip(0, self.levels - 1)
        return list(3 + 2 * steps.astype(np.int64))

    def decode(self, ids: Any) -> np.ndarray:
        values = ((np.asarray(ids) - 3) / 2 + 0.5) / self.levels * 2 - 1
        return np.repeat(values, self.stretch).reshape(self.shape).astype(np.float32)

    def spans(self, ids: Any) -> np.ndarray:
        starts = np.arange(len(ids), dtype=np.int64) * self.stretch
        leads, first = np.divmod(starts, self.shape[1])
        return np.stack([leads, first, first + self.stretch], axis=1)

    def state(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "levels": self.levels,
            "stretch": self.stretch,
            "shape": list(self.shape),
            "recipe": self.recipe,
            "split_hash": self.split_hash,
        }

    def sha256(self) -> str:
        return sha256_of_json(self.state())

    def save(self, path: Path | str) -> None:
        write_json(path, {**self.state(), "sha256": self.sha256()})

    @classmethod
    def load(cls, path: Path | str) -> "LeadLevels":
        return cls.from_state(read_json(path, TokenizerError, "tokenizer"))

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "LeadLevels":
        state = json.loads(json.dumps(state))
        return cls(
            state["levels"],
            state["stretch"],
            tuple(state["shape"]),
            state["recipe"],
            state["split_hash"],
        )
