"""``ecg_byte_beat``: a short view of an ECG for models that must train on a CPU in minutes.

Shape from the typical beat of the eight independent leads, rhythm from lead II over ten seconds:
about a twentieth of the values of the full recording. Not a published recipe; joining the two views
is from fact sheet quickstart-feasibility, section 2 ("med").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import RecipeError, RecordError
from ecg_fairseq.signal.beats import (
    QRS_BAND_HZ,
    BeatWindow,
    detect_beats,
    median_beat,
    qrs_onset,
)
from ecg_fairseq.signal.leads import INDEPENDENT_LEADS, select_leads
from ecg_fairseq.signal.recipe import Recipe, Step, Strip, check_signal
from ecg_fairseq.signal.spectral import Spectrum


@dataclass(frozen=True)
class BeatRecipe(Recipe):
    """Constants of the beat-and-rhythm view.

    Attributes:
        band_hz: pass band of the beat view.
        band_orders, rhythm_orders: steepness of lower and upper edge; gentle edges ring less.
        work_fs_hz: rate at which beats are found and aligned; a multiple of ``beat_fs_hz``.
        before_s, after_s: reach of the typical beat round its QRS.
        core_before_s, core_after_s: the part of it by which shapes are compared and aligned.
        max_shift_s: how far a beat may be moved to fit the others.
        baseline_s: the stretch before the QRS whose mean is set to zero in every lead.
        beat_fs_hz: the typical beat is sampled on a grid fixed to its QRS, without another
            low-pass: narrow waves keep their height, and all recordings have the same phase.
        rhythm_high_hz: upper edge of the rhythm strip's band, below half of ``rhythm_fs_hz``.
    """

    beat_leads: tuple[str, ...] = INDEPENDENT_LEADS
    rhythm_lead: str = "II"
    band_hz: tuple[float, float] = (0.5, 40.0)
    band_orders: tuple[int, int] = (2, 4)
    work_fs_hz: int = 200
    beat_fs_hz: int = 50
    before_s: float = 0.36
    after_s: float = 0.44
    core_before_s: float = 0.10
    core_after_s: float = 0.14
    max_shift_s: float = 0.02
    baseline_s: float = 0.03
    rhythm_fs_hz: int = 25
    rhythm_high_hz: float = 10.0
    rhythm_orders: tuple[int, int] = (2, 3)
    rhythm_s: float = 10.0
    minimum_fs_hz: float = 100.0

    def __post_init__(self) -> None:
        if self.work_fs_hz % self.beat_fs_hz:
            raise RecipeError(
                f"recipe {self.name}: work_fs_hz {self.work_fs_hz} is no multiple of beat_fs_hz "
                f"{self.beat_fs_hz}"
            )
        if 2 * self.rhythm_high_hz >= self.rhythm_fs_hz:
            raise RecipeError(
                f"recipe {self.name}: rhythm_high_hz {self.rhythm_high_hz:g} must be below half of "
                f"rhythm_fs_hz {self.rhythm_fs_hz}"
            )

    @property
    def beat_samples(self) -> int:
        """Samples of the typical beat in one lead."""
        return self._window.length * self.beat_fs_hz // self.work_fs_hz

    @property
    def segment_seconds(self) -> float:
        """Seconds of a rhythm strip; the beat is taken from the same stretch."""
        return self.rhythm_s

    @property
    def rhythm_samples(self) -> int:
        """Samples of the rhythm strip."""
        return round(self.rhythm_s * self.rhythm_fs_hz)

    @property
    def shape(self) -> tuple[int, ...]:
        """One flat vector: the beat of every lead, then the rhythm strip."""
        return (len(self.beat_leads) * self.beat_samples + self.rhythm_samples,)

    @property
    def strips(self) -> tuple[Strip, ...]:
        """The typical beat of each lead, then the rhythm strip."""
        beats = tuple(
            Strip(lead, "median_beat", float(self.beat_fs_hz), self.beat_samples)
            for lead in self.beat_leads
        )
        rhythm = Strip(self.rhythm_lead, "rhythm", float(self.rhythm_fs_hz), self.rhythm_samples)
        return (*beats, rhythm)

    def apply(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Return float32 (windows of ``rhythm_s``, values) in mV; see the base class."""
        chosen, length = self._check(signal, leads, fs_hz)
        segments = []
        for number in range(self._num_windows(chosen.shape[1], fs_hz)):
            window = chosen[:, round(number * length) : round((number + 1) * length)]
            beat, rhythm, _ = self._views(Spectrum(window, fs_hz))
            segments.append(np.concatenate((beat.ravel(), rhythm)))
        return np.array(segments, dtype=np.float32)

    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return the stages of the first window with explanations; see the base class."""
        chosen, length = self._check(signal, leads, fs_hz)
        spectrum = Spectrum(chosen[:, : round(length)], fs_hz)
        band = spectrum.band(*self.band_hz, self.work_fs_hz, self.band_orders)
        beat, rhythm, positions = self._views(spectrum)
        return [
            ("leads", f"picked by name: {' '.join(self._wanted())}", chosen),
            (
                "filtered",
                f"zero-phase band-pass {self.band_hz[0]:g}-{self.band_hz[1]:g} Hz at "
                f"{self.work_fs_hz} Hz",
                band,
            ),
            (
                "beats",
                f"{len(positions)} QRS complexes from the energy at {QRS_BAND_HZ[0]:g}-"
                f"{QRS_BAND_HZ[1]:g} Hz of all leads; values are sample numbers",
                positions,
            ),
            (
                "median beat",
                "median of the aligned beats of the commonest shape, level before the QRS set to "
                f"zero, {self.beat_fs_hz} Hz, {self.before_s:g} s before to {self.after_s:g} s "
                "after",
                beat,
            ),
            (
                "rhythm",
                f"lead {self.rhythm_lead}, {self.rhythm_s:g} s, low-pass {self.rhythm_high_hz:g} "
                f"Hz, {self.rhythm_fs_hz} Hz",
                rhythm[None],
            ),
            (
                "segments",
                f"beats of {len(self.beat_leads)} leads and the rhythm strip in one row for every "
                f"{self.rhythm_s:g} s",
                self.apply(signal, leads, fs_hz),
            ),
        ]

    @property
    def _window(self) -> BeatWindow:
        # Whole samples of the beat view, whatever the working rate.
        ratio = self.work_fs_hz // self.beat_fs_hz
        return BeatWindow(
            round(self.before_s * self.beat_fs_hz) * ratio,
            round(self.after_s * self.beat_fs_hz) * ratio,
        )

    def _wanted(self) -> tuple[str, ...]:
        extra = () if self.rhythm_lead in self.beat_leads else (self.rhythm_lead,)
        return (*self.beat_leads, *extra)

    def _check(
        self, signal: np.ndarray, leads: Sequence[str], fs_hz: float
    ) -> tuple[np.ndarray, float]:
        """Return the wanted leads and the (fractional) input samples of one window."""
        check_signal(signal, leads, fs_hz)
        chosen = select_leads(signal, leads, self._wanted()).astype(np.float64)
        if fs_hz < self.minimum_fs_hz:
            raise RecordError(
                f"rate {fs_hz:g} Hz; recipe {self.name} needs at least {self.minimum_fs_hz:g} Hz"
            )
        if self._num_windows(chosen.shape[1], fs_hz) == 0:
            raise RecordError(
                f"{chosen.shape[1] / fs_hz:.2f} s long; recipe {self.name} needs "
                f"{self.rhythm_s:g} s"
            )
        return chosen, self.rhythm_s * fs_hz

    def _num_windows(self, samples: int, fs_hz: float) -> int:
        """Return how many whole windows there are; half an output sample may be missing."""
        return int((samples / fs_hz + 0.5 / self.rhythm_fs_hz) / self.rhythm_s)

    def _views(self, spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the typical beat (L, T), the rhythm strip (T,) and the beats' sample numbers."""
        band = spectrum.band(*self.band_hz, self.work_fs_hz, self.band_orders)
        positions = detect_beats(spectrum.band(*QRS_BAND_HZ, self.work_fs_hz), self.work_fs_hz)
        rows = len(self.beat_leads)
        shift = round(self.max_shift_s * self.work_fs_hz)
        core = BeatWindow(
            round(self.core_before_s * self.work_fs_hz), round(self.core_after_s * self.work_fs_hz)
        )
        beat = median_beat(band[:rows], positions, self._window, core, shift)
        onset = qrs_onset(beat, self._window.before, self.work_fs_hz)
        level = beat[:, max(0, onset - round(self.baseline_s * self.work_fs_hz)) : onset]
        beat = (beat - level.mean(axis=1, keepdims=True))[:, :: self.work_fs_hz // self.beat_fs_hz]
        return beat, self._rhythm(spectrum), positions

    def _rhythm(self, spectrum: Spectrum) -> np.ndarray:
        row = self._wanted().index(self.rhythm_lead)
        edges = (self.band_hz[0], self.rhythm_high_hz)
        rhythm = spectrum.band(*edges, self.rhythm_fs_hz, self.rhythm_orders, row)[0]
        if len(rhythm) < self.rhythm_samples:
            rhythm = np.append(rhythm, rhythm[-1:].repeat(self.rhythm_samples - len(rhythm)))
        return rhythm[: self.rhythm_samples]


ECG_BYTE_BEAT = BeatRecipe("ecg_byte_beat", 1)
