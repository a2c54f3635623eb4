"""How far apart findings lie: with gaps (standard), or overlapping at their borders as in life.

With ``hard`` a finding is what somebody said of the recording, and its sizes lie on both sides of
the textbook's limit: rates near 60 and 100, PR intervals near 0.2 s, Sokolow near 3.5 mV, limb
leads near 0.5 mV, QRS near 0.12 s, ST near 0.1 mV, axes near -30 degrees. No reader of the signal
can be always right there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.simulator.findings import RATE_RANGES_BPM

Range = tuple[float, float]  # lowest and largest
Span = tuple[float, float]  # lowest, and what a uniform number is multiplied by
_ST_LEVELS_MV = {
    "anterior_st_elevation": (0.26, 0.42),
    "inferior_st_elevation": (0.26, 0.42),
    "st_depression": (0.15, 0.27),
}


def _constant(values: Mapping[str, Range]) -> Mapping[str, Range]:
    return MappingProxyType(dict(values))


@dataclass(frozen=True, eq=False)
class Difficulty:
    """The sizes of findings and of their absence.

    Attributes:
        rate_bpm: heart rates of each rate class.
        fibrillation_spread: deviation of the logarithm of RR intervals in fibrillation.
        fibrillation_wave_mv: size of f waves in V1.
        sinus_depth: share by which breathing changes RR intervals in sinus rhythm.
        pr_blocked_s, pr_normal_s: PR intervals; the second grows with RR by 0.025 s besides.
        qrs_stretch: of a normal QRS; ``qrs_blocked_stretch`` of one with bundle branch block.
        sokolow_mv: with hypertrophy; ``largest_sokolow_mv`` without.
        low_limb_mv, low_chest_mv: peak-to-peak QRS at low voltage.
        limb_range_mv: of the limb leads at normal voltage.
        normal_voltage: factor of the patient's own voltage in one recording.
        deviated_axis_deg: with left axis deviation.
        axis: of other recordings, a factor of the patient's axis and degrees added to it.
        st_level_mv: ST levels in the leads that define a finding.
        st_normal: size of the ST dipole without one.
        t_inverted: an inverted T wave as a share of the patient's, and its smallest size in mV.
    """

    rate_bpm: Mapping[str, Range] = field(default_factory=lambda: _constant(RATE_RANGES_BPM))
    fibrillation_spread: Range = (0.18, 0.27)
    fibrillation_wave_mv: Range = (0.05, 0.10)
    sinus_depth: Range = (0.005, 0.03)
    pr_blocked_s: Span = (0.225, 0.095)
    pr_normal_s: Span = (0.122, 0.035)
    qrs_stretch: Range = (0.94, 1.08)
    qrs_blocked_stretch: Range = (0.94, 1.08)
    sokolow_mv: Span = (3.9, 1.1)
    largest_sokolow_mv: float = 3.1
    low_limb_mv: Span = (0.30, 0.14)
    low_chest_mv: Span = (0.62, 0.30)
    limb_range_mv: Range = (0.75, 1.75)
    normal_voltage: Span = (1.0, 0.0)
    deviated_axis_deg: Range = (-68.0, -40.0)
    axis: tuple[float, float] = (1.0, 0.0)
    st_level_mv: Mapping[str, Range] = field(default_factory=lambda: _constant(_ST_LEVELS_MV))
    st_normal: float = 0.02
    t_inverted: tuple[float, float] = (0.85, 0.28)


STANDARD = Difficulty()
HARD = Difficulty(
    rate_bpm=_constant({"slow": (40.0, 63.0), "normal": (57.0, 104.0), "fast": (96.0, 150.0)}),
    fibrillation_spread=(0.06, 0.22),
    fibrillation_wave_mv=(0.01, 0.06),
    sinus_depth=(0.005, 0.12),
    pr_blocked_s=(0.190, 0.110),
    pr_normal_s=(0.122, 0.070),
    qrs_stretch=(0.94, 1.30),
    qrs_blocked_stretch=(0.78, 1.04),
    sokolow_mv=(3.1, 1.7),
    largest_sokolow_mv=3.8,
    low_limb_mv=(0.34, 0.26),
    low_chest_mv=(0.70, 0.55),
    limb_range_mv=(0.42, 2.0),
    normal_voltage=(0.55, 1.15),
    deviated_axis_deg=(-68.0, -22.0),
    axis=(1.7, -56.0),
    st_level_mv=_constant(
        {
            "anterior_st_elevation": (0.08, 0.30),
            "inferior_st_elevation": (0.08, 0.30),
            "st_depression": (0.05, 0.20),
        }
    ),
    st_normal=0.16,
    t_inverted=(0.30, 0.05),
)
DIFFICULTIES: dict[str, Difficulty] = {"standard": STANDARD, "hard": HARD}


def difficulty_of(name: str) -> Difficulty:
    """Return a difficulty by name; RecordError lists the known ones."""
    if name not in DIFFICULTIES:
        raise RecordError(f"difficulty {name!r}; expected one of {', '.join(DIFFICULTIES)}")
    return DIFFICULTIES[name]
