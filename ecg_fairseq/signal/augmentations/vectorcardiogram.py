"""3KG: turning and stretching the heart's vector in space, seen again from twelve leads.

From fairseq-signals (fact sheet ecg-fm 2.3; Gopal et al. 2021). The inverse Dower matrix makes a
vectorcardiogram of the eight independent leads, its pseudo-inverse leads it back.
"""

from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import RecipeError
from ecg_fairseq.signal.augmentations.augmentation import (
    Rng,
    Shape,
    draw_integers,
    follow_limb_leads,
    rederive_limb_leads,
)
from ecg_fairseq.signal.leads import CANONICAL_LEADS, INDEPENDENT_LEADS

INVERSE_DOWER = np.array(
    [
        [0.156, -0.009, -0.172, -0.073, 0.122, 0.231, 0.239, 0.193],
        [-0.227, 0.886, 0.057, -0.019, -0.106, -0.022, 0.040, 0.048],
        [0.021, 0.102, -0.228, -0.310, -0.245, -0.063, 0.054, 0.108],
    ]
)
_DOWER = np.linalg.pinv(INVERSE_DOWER)
_ROWS = [CANONICAL_LEADS.index(lead) for lead in INDEPENDENT_LEADS]
_NUM_VIEWS = 2
THREE_KG_DEPENDENCIES = ("limb", "published")


@dataclass(frozen=True, eq=False)
class ThreeKgParameters:
    """Two views: Euler angles (2, 3) in degrees, scales (2, 3), first masked samples (2, L).

    ``mask_starts`` is None where nothing is masked.
    """

    angles_deg: np.ndarray
    scales: np.ndarray
    mask_starts: np.ndarray | None


@dataclass(frozen=True)
class ThreeKg:
    """Two random views of one 12-lead signal.

    Attributes:
        max_angle_deg: turns are uniform in +- this.
        max_scale: stretches are uniform in 1..this.
        mask_ratio: share of every lead that is set to zero, cyclically from a random sample.
        dependency: how III, aVR, aVL and aVF come of the turned I and II: "limb" in whatever unit,
            "published" as in mV, which is wrong for z-scored leads.
    """

    max_angle_deg: float = 45.0
    max_scale: float = 1.5
    mask_ratio: float = 0.5
    dependency: str = "limb"

    def draw(self, rng: Rng, shape: Shape) -> ThreeKgParameters:
        """Draw six angles, six scales, then the starts of the masks of both views."""
        angles = rng.uniform(-self.max_angle_deg, self.max_angle_deg, size=(_NUM_VIEWS, 3))
        scales = rng.uniform(1.0, self.max_scale, size=(_NUM_VIEWS, 3))
        starts = None
        if self.mask_ratio > 0:
            drawn = draw_integers(rng, shape[1], _NUM_VIEWS * shape[0])
            starts = drawn.reshape(_NUM_VIEWS, shape[0])
        return ThreeKgParameters(angles, scales, starts)

    def apply(self, signal: np.ndarray, parameters: ThreeKgParameters) -> np.ndarray:
        """Return both views, float64 (2, 12, T).

        Args:
            signal: (12, T) in canonical order.

        Raises:
            RecipeError: other than 12 leads, or an unknown ``dependency``.
        """
        if len(signal) != len(CANONICAL_LEADS):
            raise RecipeError(f"{len(signal)} leads; 3KG needs the 12 leads in canonical order")
        if self.dependency not in THREE_KG_DEPENDENCIES:
            raise RecipeError(
                f"3KG with dependency {self.dependency!r}; expected one of "
                f"{', '.join(THREE_KG_DEPENDENCIES)}: it knows no leads of their own"
            )
        vector = INVERSE_DOWER @ signal[_ROWS]
        views = np.empty((_NUM_VIEWS, *signal.shape))
        for view, angles, scales in zip(
            views, parameters.angles_deg, parameters.scales, strict=True
        ):
            turned = _DOWER @ (scales[:, None] * rotation(angles))
            view[_ROWS] = turned @ vector
            if self.dependency == "published":
                rederive_limb_leads(view)
            else:
                follow_limb_leads(view, signal, fits_only=False)
        if parameters.mask_starts is not None:
            self._mask(views, parameters.mask_starts)
        return views

    def _mask(self, views: np.ndarray, starts: np.ndarray) -> None:
        """Set the stretch of every lead to zero, in place; it goes on at the front."""
        num_samples = views.shape[-1]
        length = int(num_samples * self.mask_ratio)
        lag = (np.arange(num_samples) - starts[..., None]) % num_samples
        views[lag < length] = 0.0


def rotation(angles_deg: np.ndarray) -> np.ndarray:
    """Return the matrix (3, 3) of turns about the fixed axes z, then y, then x.

    Args:
        angles_deg: (3,), in that order; scipy calls it ``from_euler("zyx", degrees=True)``.
    """
    (z_cos, y_cos, x_cos), (z_sin, y_sin, x_sin) = _cos_sin(angles_deg)
    about_z = np.array([[z_cos, -z_sin, 0.0], [z_sin, z_cos, 0.0], [0.0, 0.0, 1.0]])
    about_y = np.array([[y_cos, 0.0, y_sin], [0.0, 1.0, 0.0], [-y_sin, 0.0, y_cos]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, x_cos, -x_sin], [0.0, x_sin, x_cos]])
    return about_x @ about_y @ about_z


def _cos_sin(angles_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    radians = np.deg2rad(angles_deg)
    return np.cos(radians), np.sin(radians)
