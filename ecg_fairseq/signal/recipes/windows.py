"""What the recipes that cut plain windows share: leads by name, one rate, one rule for lengths."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.leads import CANONICAL_LEADS, select_leads
from ecg_fairseq.signal.rate_change import change_rate, length_of_rounded_ratio, resampled_length
from ecg_fairseq.signal.recipe import Recipe, Step, Strip, check_signal

_VERSION_THAT_LOSES_NO_SAMPLE = 2


@dataclass(frozen=True)
class WindowRecipe(Recipe):
    """Constants of a recipe whose segments are consecutive windows of all leads.

    Attributes:
        window_samples: samples of one segment at ``target_fs_hz``; the remainder is dropped.
        required_fs_hz: the only accepted rate, or None.
        required_samples: the only accepted length, or None.
    """

    leads: tuple[str, ...] = CANONICAL_LEADS
    target_fs_hz: float = 500.0
    window_samples: int = 5000
    required_fs_hz: float | None = None
    required_samples: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(leads, window_samples)."""
        return (len(self.leads), self.window_samples)

    @property
    def strips(self) -> tuple[Strip, ...]:
        """One whole window of each lead."""
        return tuple(
            Strip(lead, "lead", self.target_fs_hz, self.window_samples) for lead in self.leads
        )

    def _chosen(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Return the wanted leads in their own dtype, checked."""
        check_signal(signal, leads, fs_hz)
        samples = signal.shape[1]
        self._check_rate(fs_hz)
        way_out = f"use recipe {self.name.removesuffix('_reference')}"
        if self.required_fs_hz is not None and fs_hz != self.required_fs_hz:
            raise RecordError(
                f"rate {fs_hz:g} Hz; recipe {self.name} takes only {self.required_fs_hz:g} Hz: "
                f"read files of that rate or {way_out}"
            )
        if self.required_samples is not None and samples != self.required_samples:
            raise RecordError(
                f"{samples} samples; recipe {self.name} takes only {self.required_samples}: "
                f"{way_out}"
            )
        shortest = self._shortest()
        if self._num_resampled(samples, fs_hz) < shortest:
            raise RecordError(
                f"{samples / fs_hz:.2f} s long; recipe {self.name} needs at least "
                f"{shortest / self.target_fs_hz:g} s"
            )
        return select_leads(signal, leads, self.leads)

    @abstractmethod
    def _check_rate(self, fs_hz: float) -> None:
        """Refuse rates at which a recording lacks what the system reads."""

    def _shortest(self) -> int:
        """Return the fewest samples at ``target_fs_hz`` that make a segment."""
        return self.window_samples

    def _num_resampled(self, samples: int, fs_hz: float) -> int:
        return resampled_length(samples, fs_hz, self.target_fs_hz)

    def _windows(self, values: np.ndarray) -> np.ndarray:
        """Return float32 (windows, leads, window_samples), a view of nothing else."""
        count = values.shape[1] // self.window_samples
        kept = values[:, : count * self.window_samples]
        parts = kept.reshape(len(values), count, self.window_samples).transpose(1, 0, 2)
        return np.ascontiguousarray(parts, dtype=np.float32)

    def _lead_step(self, chosen: np.ndarray) -> Step:
        return ("leads", f"picked by name: {' '.join(self.leads)}", chosen)

    def _last_step(self, segments: np.ndarray) -> Step:
        explanation = (
            f"windows of {self.window_samples} samples "
            f"({self.window_samples / self.target_fs_hz:g} s), the remainder dropped"
        )
        return ("segments", explanation, segments)


@dataclass(frozen=True)
class ResampledWindowRecipe(WindowRecipe):
    """Constants of a window recipe that begins with a change of rate.

    Version 1 rounds the ratio of the rates before the length is taken, which at some rates (10 s at
    121 or 227 Hz, 8 s at 333 Hz) loses a sample, and may lose the last window with it. Version 2
    loses none; where version 1 loses none either, the two are equal to the last bit.

    Attributes:
        resampling: a method of ``change_rate`` for recordings of another rate.
        minimum_fs_hz: slower recordings lack what the system reads, and are refused.
    """

    resampling: str = "polyphase"
    minimum_fs_hz: float = 100.0

    def _check_rate(self, fs_hz: float) -> None:
        if fs_hz < self.minimum_fs_hz:
            raise RecordError(
                f"rate {fs_hz:g} Hz; recipe {self.name} needs at least {self.minimum_fs_hz:g} Hz"
            )

    def input_hash(self) -> str:
        """Return the same hash for all versions, which differ in lengths only."""
        return replace(self, version=1).hash()

    def _num_resampled(self, samples: int, fs_hz: float) -> int:
        if self.version < _VERSION_THAT_LOSES_NO_SAMPLE:
            return length_of_rounded_ratio(samples, fs_hz, self.target_fs_hz)
        return resampled_length(samples, fs_hz, self.target_fs_hz, self.resampling)

    def _resampled(self, chosen: np.ndarray, fs_hz: float) -> np.ndarray:
        length = self._num_resampled(chosen.shape[-1], fs_hz)
        return change_rate(chosen, fs_hz, self.target_fs_hz, self.resampling, length)

    def _first_steps(self, chosen: np.ndarray, resampled: np.ndarray, fs_hz: float) -> list[Step]:
        """Return the stages that these recipes begin with."""
        return [
            self._lead_step(chosen),
            (
                "resampled",
                f"from {fs_hz:g} to {self.target_fs_hz:g} Hz"
                + (", nothing to do" if fs_hz == self.target_fs_hz else f", {self.resampling}"),
                resampled,
            ),
        ]
