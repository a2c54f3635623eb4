"""What an augmentation is: random parameters drawn apart from their application.

``draw`` takes a generator and returns plain numbers; ``apply`` is a pure function of signal and
parameters. A loader draws with a generator keyed by (seed, epoch, index), so that a run resumes
exactly; a test draws with ``numpy.random.RandomState`` in the order of fairseq-signals and meets
its recorded results (fact sheet ecg-fm 2.3).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecipeError
from ecg_fairseq.signal.leads import CANONICAL_LEADS

Rng = np.random.Generator | np.random.RandomState
Shape = tuple[int, int]
DEPENDENCIES = ("limb", "published", "none")
_NUM_LIMB_LEADS = 6
_UNEXPLAINED_SHARE = 0.01  # of a lead's variance; more, and it is no function of I and II


def draw_integers(rng: Rng, high: int, size: int) -> np.ndarray:
    """Return ``size`` whole numbers of 0..high-1; the two kinds of generators name it apart."""
    if isinstance(rng, np.random.RandomState):
        return rng.randint(0, high, size=size)
    return rng.integers(0, high, size=size)


@dataclass(frozen=True)
class Augmentation(ABC):
    """Base of all augmentations: subclasses add their ranges as fields.

    Attributes:
        probability: how often it is applied.
    """

    probability: float = 1.0

    @abstractmethod
    def draw(self, rng: Rng, shape: Shape) -> Any:
        """Return the parameters for one signal, or None where it is left as it is.

        Args:
            rng: advanced by the same draws whatever the signal holds.
            shape: (L, T) of the signal.
        """

    @abstractmethod
    def apply(self, signal: np.ndarray, parameters: Any) -> np.ndarray:
        """Return the changed signal, float32 (L, T); the input is never changed.

        Args:
            signal: (L, T).
            parameters: what ``draw`` returned for this shape; None leaves the signal as it is.
        """

    def apply_in_place(self, signal: np.ndarray, parameters: Any) -> None:
        """Change a float32 signal (L, T) itself; to the last bit what ``apply`` returns.

        A loader that has put a segment into its batch saves a copy so.
        """
        if parameters is not None:
            signal[...] = self.apply(signal, parameters)

    def __call__(self, signal: np.ndarray, rng: Rng) -> np.ndarray:
        """Draw and apply at once."""
        return self.apply(signal, self.draw(rng, (signal.shape[0], signal.shape[1])))

    def _is_left_out(self, rng: Rng) -> bool:
        """Decide with one uniform draw, always the first."""
        return bool(rng.uniform(0, 1) >= self.probability)


@dataclass(frozen=True)
class ChainParameters:
    """The parameters of every link; None where a link is left out."""

    links: tuple[Any, ...]


@dataclass(frozen=True)
class Chain(Augmentation):
    """Several augmentations one after the other, each with its own probability.

    Attributes:
        links: in the order of application and of drawing.
    """

    links: tuple[Augmentation, ...] = ()

    def draw(self, rng: Rng, shape: Shape) -> ChainParameters:
        """Return the parameters of all links; the chain itself draws nothing."""
        return ChainParameters(tuple(link.draw(rng, shape) for link in self.links))

    def apply(self, signal: np.ndarray, parameters: ChainParameters) -> np.ndarray:
        """Return the signal after all links."""
        for link, drawn in self._drawn_links(parameters):
            signal = link.apply(signal, drawn)
        return signal.astype(np.float32, copy=False)

    def apply_in_place(self, signal: np.ndarray, parameters: ChainParameters) -> None:
        """Change a float32 signal itself; see the base class."""
        for link, drawn in self._drawn_links(parameters):
            link.apply_in_place(signal, drawn)

    def _drawn_links(self, parameters: ChainParameters) -> list[tuple[Augmentation, Any]]:
        if len(parameters.links) != len(self.links):
            raise RecipeError(
                f"parameters for {len(parameters.links)} augmentations, the chain has "
                f"{len(self.links)}; apply it with what its own draw returned"
            )
        return list(zip(self.links, parameters.links, strict=True))


@dataclass(frozen=True)
class TwoViewParameters:
    """The parameters of both views."""

    first: Any
    second: Any


@dataclass(frozen=True)
class TwoViews:
    """SimCLR's pair: the same augmentation drawn twice for one signal."""

    augmentation: Augmentation

    def draw(self, rng: Rng, shape: Shape) -> TwoViewParameters:
        """Return the parameters of the first, then of the second view."""
        first = self.augmentation.draw(rng, shape)
        return TwoViewParameters(first, self.augmentation.draw(rng, shape))

    def apply(self, signal: np.ndarray, parameters: TwoViewParameters) -> np.ndarray:
        """Return both views, float32 (2, L, T)."""
        views = [
            self.augmentation.apply(signal, drawn)
            for drawn in (parameters.first, parameters.second)
        ]
        return np.stack(views)


def check_dependency(dependency: str) -> None:
    """Refuse what is none of ``DEPENDENCIES``; RecipeError names them."""
    if dependency not in DEPENDENCIES:
        raise RecipeError(f"dependency {dependency!r}; expected one of {', '.join(DEPENDENCIES)}")


def follow_limb_leads(changed: np.ndarray, signal: np.ndarray, fits_only: bool = True) -> None:
    """Let III, aVR, aVL and aVF follow what happened to I and II, in place.

    In mV, III = II - I and so on. Leads that were standardised one by one have lost these factors,
    and deriving them as in mV replaces them by other curves. The factors are still in the signal:
    each lead is a linear function of I and II whose coefficients a least-squares fit finds, -1 and
    1 in mV. A lead changes by these coefficients times the changes of I and II, so that nothing
    happens where I and II stay.

    Args:
        changed: float64 (12, T), canonical order; rows 2 to 5 are overwritten.
        signal: (12, T) before the change.
        fits_only: leave a lead as it is in ``changed`` where I and II do not explain it.

    Raises:
        RecipeError: other than 12 leads.
    """
    _check_twelve_leads(signal)
    limb = signal[:_NUM_LIMB_LEADS].astype(np.float64)
    centred = limb - limb.mean(axis=1, keepdims=True)
    products = centred @ centred.T
    weights = products[2:, :2] @ np.linalg.pinv(products[:2, :2], rcond=1e-12, hermitian=True)
    followed = limb[2:] + weights @ (changed[:2] - limb[:2])
    left = np.diag(products)[2:] - (weights * products[2:, :2]).sum(axis=1)
    is_fitted = left <= _UNEXPLAINED_SHARE * np.diag(products)[2:]
    chosen = is_fitted if fits_only else np.ones_like(is_fitted)
    changed[2:_NUM_LIMB_LEADS][chosen] = followed[chosen]


def _check_twelve_leads(signal: np.ndarray) -> None:
    if len(signal) != len(CANONICAL_LEADS):
        raise RecipeError(
            f"{len(signal)} leads; the limb leads can be derived anew only in a 12-lead signal in "
            'canonical order: set dependency="none" or use all 12 leads'
        )


def rederive_limb_leads(signal: np.ndarray) -> None:
    """Set III, aVR, aVL and aVF of a 12-lead signal from I and II as in mV, in place.

    The published form, which does so with standardised leads, too.

    Args:
        signal: (12, T) in canonical order.

    Raises:
        RecipeError: it has other than 12 leads.
    """
    _check_twelve_leads(signal)
    first, second = signal[0], signal[1]
    np.subtract(second, first, out=signal[2])
    signal[3] = -(first + second) / 2
    np.subtract(first, second / 2, out=signal[4])
    np.subtract(second, first / 2, out=signal[5])
