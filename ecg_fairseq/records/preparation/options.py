"""How a preparation is done: where to, with which recipe, by how many processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.store import scale_of
from ecg_fairseq.records.preparation.percentiles import PERCENTILE_RULES
from ecg_fairseq.signal.recipe import Recipe


@dataclass(frozen=True)
class PrepareOptions:
    """How to prepare.

    Attributes:
        shard: (i, n): write only every n-th shard of the store, starting with number i.
        max_skip_fraction: more skipped records than this end the run.
        percentile_rule: ``exact``, or ECG-Byte's published ``first-four-windows``.
        accept_amplitude: use signals whose amplitude or gaps no ECG has, too.
        max_questions: split -> most questions, sampled with the seed.
    """

    out: Path
    recipe: Recipe
    workers: int = 1
    seed: int = 0
    dtype: str = "float32"
    shard: tuple[int, int] | None = None
    max_skip_fraction: float = 0.1
    percentile_rule: str = "exact"
    progress: str = "auto"
    overwrite: bool = False
    accept_amplitude: bool = False
    max_questions: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse values out of range with a ManifestError."""
        scale_of(self.dtype)
        if self.shard and not 0 <= self.shard[0] < self.shard[1]:
            raise ManifestError(f"--shard {self.shard[0]}/{self.shard[1]}; expected 0/n to (n-1)/n")
        if not 0 <= self.max_skip_fraction <= 1:
            raise ManifestError(f"--max-skip-fraction {self.max_skip_fraction}; expected 0 to 1")
        if self.percentile_rule not in PERCENTILE_RULES:
            raise ManifestError(
                f"percentile rule {self.percentile_rule!r}; expected one of {PERCENTILE_RULES}"
            )
