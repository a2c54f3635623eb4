"""Random lead masking (RLM): whole leads set to zero, so a model learns from any set of leads.

From fairseq-signals (fact sheet ecg-fm 2.3; paper 2203.06889); ECG-FM was pretrained with it.
"""

from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import RecipeError
from ecg_fairseq.signal.augmentations.augmentation import Augmentation, Rng, Shape
from ecg_fairseq.signal.leads import CANONICAL_LEADS

_NUM_LIMB_LEADS = 6


@dataclass(frozen=True, eq=False)
class LeadMaskParameters:
    """Which leads survive, bool (L,)."""

    is_kept: np.ndarray


@dataclass(frozen=True)
class RandomLeadMasking(Augmentation):
    """Set leads to zero.

    Attributes:
        selection: "random" masks each lead on its own, even all of them; "conditional" masks
            ``condition`` of the limb leads and of the chest leads.
        mask_probability: of one lead, with "random".
        condition: how many of I..aVF and of V1..V6, with "conditional". The published code stops
            there on an error; this is what it meant to do.
    """

    selection: str = "random"
    mask_probability: float = 0.5
    condition: tuple[int, int] = (4, 5)

    def draw(self, rng: Rng, shape: Shape) -> LeadMaskParameters | None:
        """Draw the leads that survive."""
        if self.selection not in ("random", "conditional"):
            raise RecipeError(
                f'lead selection {self.selection!r}; expected "random" or "conditional"'
            )
        # The published masks are applied where p >= u, its noises where p > u.
        if rng.uniform(0, 1) > self.probability:
            return None
        if self.selection == "random":
            return LeadMaskParameters(rng.uniform(0, 1, size=shape[0]) >= self.mask_probability)
        return LeadMaskParameters(self._conditional(rng, shape[0]))

    def apply(self, signal: np.ndarray, parameters: LeadMaskParameters | None) -> np.ndarray:
        """Return the masked signal, float32 (L, T)."""
        masked = signal.astype(np.float32, copy=parameters is not None)
        if parameters is not None:
            masked[~parameters.is_kept] = 0.0
        return masked

    def apply_in_place(self, signal: np.ndarray, parameters: LeadMaskParameters | None) -> None:
        """Mask a float32 signal itself; see the base class."""
        if parameters is not None:
            signal[~parameters.is_kept] = 0.0

    def _conditional(self, rng: Rng, num_leads: int) -> np.ndarray:
        if num_leads != len(CANONICAL_LEADS) or not all(0 <= n <= 6 for n in self.condition):
            raise RecipeError(
                f"{num_leads} leads, condition {self.condition}; conditional lead masking needs "
                "the 12 canonical leads and two numbers of 0 to 6"
            )
        is_kept = np.ones(num_leads, dtype=bool)
        for start, count in zip((0, _NUM_LIMB_LEADS), self.condition, strict=True):
            chosen = rng.choice(_NUM_LIMB_LEADS, size=count, replace=False)
            is_kept[start + chosen] = False
        return is_kept
