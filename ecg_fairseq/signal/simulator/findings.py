"""What a recording shows: one record's findings, derived from uniform random numbers.

Co-occurrence follows the clinic: no first-degree block without P waves, no voltage criteria for
hypertrophy and no primary ST or T statement where a bundle branch block explains them.
"""

from dataclasses import dataclass

import numpy as np

RATE_CLASSES = ("slow", "normal", "fast")
CONDUCTIONS = ("normal", "left_bundle_block", "right_bundle_block")
VOLTAGES = ("normal", "hypertrophy", "low")
REPOLARISATIONS = (
    "normal",
    "anterior_st_elevation",
    "inferior_st_elevation",
    "st_depression",
    "t_inversion",
)
NOISES = ("none", "static", "burst", "drift")

# Heart rates in beats per minute; the gaps keep the classes apart for a reader with a ruler.
RATE_RANGES_BPM = {"slow": (40.0, 57.0), "normal": (63.0, 95.0), "fast": (105.0, 150.0)}

# One uniform number decides each of these; the first block is shared by a patient's visits.
CHRONIC = ("healthy", "fibrillation", "conduction", "axis", "voltage")
ACUTE = ("rate_class", "av_block", "repolarisation", "premature", "noise")
CHOICES = CHRONIC + ACUTE

_HEALTHY = 0.12
_FIBRILLATION = 0.26
_CONDUCTION = (0.64, 0.18, 0.18)
_LEFT_AXIS = 0.30
_VOLTAGE = (0.50, 0.32, 0.18)
_RATE = (0.27, 0.43, 0.30)
_AV_BLOCK = 0.42
_REPOLARISATION = (0.22, 0.18, 0.18, 0.21, 0.21)
_PREMATURE = 0.27
_NOISE = (0.70, 0.10, 0.10, 0.10)


@dataclass(frozen=True)
class Findings:
    """Everything abnormal (or not) in one recording; names as in this module's tuples."""

    rate_class: str = "normal"
    atrial_fibrillation: bool = False
    av_block: bool = False
    conduction: str = "normal"
    left_axis: bool = False
    voltage: str = "normal"
    repolarisation: str = "normal"
    premature_beats: bool = False
    noise: str = "none"

    @property
    def is_normal(self) -> bool:
        """True if only the rate may be outside the normal range (noise is not a finding)."""
        return self == Findings(rate_class=self.rate_class, noise=self.noise)

    @property
    def is_normal_ecg(self) -> bool:
        """True if a reader may write "normal ECG": no finding, and a normal rate, too."""
        return self.is_normal and self.rate_class == "normal"


def _pick(names: tuple[str, ...], shares: tuple[float, ...], uniform: float) -> str:
    index = int(np.searchsorted(np.cumsum(shares), uniform, side="right"))
    return names[min(index, len(names) - 1)]


def derive_findings(uniforms: np.ndarray) -> Findings:
    """Turn one uniform number per choice into a medically possible set of findings.

    Args:
        uniforms: (10,) in [0, 1), in the order of ``CHOICES``.
    """
    draw = dict(zip(CHOICES, uniforms.tolist(), strict=True))
    rate_class = _pick(RATE_CLASSES, _RATE, draw["rate_class"])
    noise = _pick(NOISES, _NOISE, draw["noise"])
    if draw["healthy"] < _HEALTHY:
        return Findings(rate_class=rate_class, noise=noise)
    fibrillation = draw["fibrillation"] < _FIBRILLATION
    conduction = _pick(CONDUCTIONS, _CONDUCTION, draw["conduction"])
    voltage = _pick(VOLTAGES, _VOLTAGE, draw["voltage"])
    if voltage == "hypertrophy" and conduction != "normal":
        voltage = "normal"
    repolarisation = _pick(REPOLARISATIONS, _REPOLARISATION, draw["repolarisation"])
    if conduction == "left_bundle_block":
        repolarisation, voltage = "normal", "normal"
    if conduction == "right_bundle_block" and repolarisation in ("st_depression", "t_inversion"):
        repolarisation = "normal"
    return Findings(
        rate_class=rate_class,
        atrial_fibrillation=fibrillation,
        # Above 100 beats a long PR interval puts P into the T wave, where nobody could measure it.
        av_block=draw["av_block"] < _AV_BLOCK and not fibrillation and rate_class != "fast",
        conduction=conduction,
        left_axis=draw["axis"] < _LEFT_AXIS,
        voltage=voltage,
        repolarisation=repolarisation,
        premature_beats=draw["premature"] < _PREMATURE,
        noise=noise,
    )
