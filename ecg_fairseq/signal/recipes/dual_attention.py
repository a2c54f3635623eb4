"""LLM-ECG-Dual-Attention's input (fact sheet dual-attention 3): z-scored beats, padded with zeros.

A recording that fits the window is taken as a median beat made elsewhere (PTB-XL+, UK Biobank: 600
samples). From a longer one ``dual_attention`` takes the typical beat itself, so that data without
published median beats can be used; where its QRS stands is our choice, not a published one.

``dual_attention_reference`` has the published code's form for recordings of any kind: Fourier
resampling, which rings at the ends, windows where the recording is longer (the published loader
draws their place at random), and no padding by an odd number of samples, which the published
network does not survive. ``dual_attention_pretraining`` adds the cleaning that pretraining used and
fine-tuning did not; ``dual_attention_rhythm`` is its form for ten seconds at 100 Hz.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal as scipy_signal

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.beats import QRS_BAND_HZ, BeatWindow, detect_beats, median_beat
from ecg_fairseq.signal.filters import Filter, zero_phase
from ecg_fairseq.signal.normalizing import flat_leads, standardise
from ecg_fairseq.signal.recipe import Step, Strip
from ecg_fairseq.signal.recipes.windows import ResampledWindowRecipe
from ecg_fairseq.signal.spectral import Spectrum


@dataclass(frozen=True)
class DualAttentionRecipe(ResampledWindowRecipe):
    """Constants of the dual-attention network's input.

    Attributes:
        window_samples: length of a segment with its padding; the network halves it several times.
        content: ``beat`` (the typical beat of a longer recording) or ``windows``.
        content_samples: samples of the beat, or of a window cut from a longer recording.
        before_s: of the beat, the part before its QRS complex.
        core_before_s, core_after_s, max_shift_s: see ``ecg_byte_beat``.
        band_hz: pass band of a beat that is made here.
        highpass_hz, highpass_order, mains_hz: the published cleaning before the z-score: a
            zero-phase Butterworth high-pass and a moving mean over one mains period; None: none.
        odd_gap: ``right`` puts the odd zero behind the signal, ``refuse`` is the published limit.
    """

    window_samples: int = 608
    content: str = "beat"
    content_samples: int = 600
    before_s: float = 0.45
    core_before_s: float = 0.10
    core_after_s: float = 0.14
    max_shift_s: float = 0.02
    band_hz: tuple[float, float] = (0.5, 150.0)
    highpass_hz: float | None = None
    highpass_order: int = 5
    mains_hz: float | None = None
    odd_gap: str = "right"

    @property
    def segment_seconds(self) -> float:
        """Seconds of a window without its padding."""
        return self.content_samples / self.target_fs_hz

    @property
    def unit(self) -> str:
        """Standard deviations of the lead, without its padding."""
        return "sd"

    @property
    def strips(self) -> tuple[Strip, ...]:
        """One padded beat or window of each lead."""
        kind = "median_beat" if self.content == "beat" else "lead"
        return tuple(
            Strip(lead, kind, self.target_fs_hz, self.window_samples) for lead in self.leads
        )

    def apply(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Return float32 (segments, leads, window_samples) in sd; see the base class."""
        return self.steps(signal, leads, fs_hz)[-1][2]

    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return every stage with its explanation; see the base class."""
        chosen = self._chosen(signal, leads, fs_hz)
        steps: list[Step] = [("leads", f"picked by name: {' '.join(self.leads)}", chosen)]
        if self._is_beat_needed(chosen, fs_hz):
            values = self._beat(chosen, fs_hz)
            steps.append(("median beat", "median of the aligned beats of one shape", values))
        else:
            values = self._resampled(chosen, fs_hz)
            steps.extend(self._first_steps(chosen, values, fs_hz)[1:])
        if self.highpass_hz is not None:
            values = self._clean(values)
            steps.append(("cleaned", "zero-phase high-pass and mean over a mains period", values))
        values = standardise(values, flat_leads(chosen)).values
        steps.append(("standardised", "each lead less its mean, divided by its deviation", values))
        explanation = f"padded with zeros on both sides to {self.window_samples} samples"
        steps.append(("segments", explanation, self._padded(values)))
        return steps

    def _shortest(self) -> int:
        return 2

    def _is_beat_needed(self, chosen: np.ndarray, fs_hz: float) -> bool:
        window_s = self.window_samples / self.target_fs_hz
        return self.content == "beat" and chosen.shape[1] / fs_hz > window_s

    def _beat(self, chosen: np.ndarray, fs_hz: float) -> np.ndarray:
        """Return the typical beat, (L, content_samples), at ``target_fs_hz``."""
        spectrum = Spectrum(chosen.astype(np.float64), fs_hz)
        rate = self.target_fs_hz
        positions = detect_beats(spectrum.band(*QRS_BAND_HZ, rate), rate)
        before = round(self.before_s * rate)
        window = BeatWindow(before, self.content_samples - before)
        core = BeatWindow(round(self.core_before_s * rate), round(self.core_after_s * rate))
        band = spectrum.band(*self.band_hz, rate)
        return median_beat(band, positions, window, core, round(self.max_shift_s * rate))

    def _clean(self, values: np.ndarray) -> np.ndarray:
        """Return the values filtered as the published pretraining does, lead by lead the same."""
        sections = scipy_signal.butter(
            self.highpass_order, self.highpass_hz, "highpass", output="sos", fs=self.target_fs_hz
        )
        try:
            cleaned = scipy_signal.sosfiltfilt(sections, values, axis=-1)
        except ValueError as error:
            raise RecordError(f"{values.shape[1]} samples are too few to clean: {error}") from error
        size = int(self.target_fs_hz / self.mains_hz) if self.mains_hz else 1
        if size < 2:
            return cleaned
        numerator, denominator = np.full(size, 1.0 / size), np.ones(1)
        initial = scipy_signal.lfilter_zi(numerator, denominator)
        return zero_phase(cleaned, Filter(numerator, denominator, initial))

    def _padded(self, values: np.ndarray) -> np.ndarray:
        """Return float32 (segments, L, window_samples) with zeros round the values."""
        length = values.shape[1]
        if length > self.window_samples:
            length = self.content_samples
        count = values.shape[1] // length
        gap = self.window_samples - length
        if gap % 2 and self.odd_gap == "refuse":
            raise RecordError(
                f"{length} samples leave {gap} of {self.window_samples} to pad, an odd number, "
                f"which recipe {self.name} does not take: use recipe dual_attention"
            )
        segments = np.zeros((count, len(values), self.window_samples), np.float32)
        parts = values[:, : count * length].reshape(len(values), count, length)
        segments[:, :, gap // 2 : gap // 2 + length] = parts.transpose(1, 0, 2)
        return segments


DUAL_ATTENTION = DualAttentionRecipe("dual_attention", 2)
DUAL_ATTENTION_REFERENCE = DualAttentionRecipe(
    "dual_attention_reference",
    2,
    content="windows",
    content_samples=608,
    resampling="fourier",
    odd_gap="refuse",
)
DUAL_ATTENTION_PRETRAINING = DualAttentionRecipe(
    "dual_attention_pretraining", 2, highpass_hz=0.5, mains_hz=50.0
)
DUAL_ATTENTION_RHYTHM = DualAttentionRecipe(
    "dual_attention_rhythm",
    2,
    target_fs_hz=100.0,
    window_samples=1024,
    content="windows",
    content_samples=1000,
    highpass_hz=0.5,
    mains_hz=50.0,
)
