"""Augmentations of fairseq-signals, each split into ``draw`` and ``apply``.

``augmentation_of`` builds them by the names that fairseq-signals' ``perturbation_mode`` uses. The
defaults are its task's (amplitudes up to 0.1). Views for 3KG and SimCLR: ``ThreeKg``, ``TwoViews``.
"""

from collections.abc import Sequence
from typing import Any

from ecg_fairseq.errors import RecipeError
from ecg_fairseq.signal.augmentations.augmentation import Augmentation, Chain, TwoViews
from ecg_fairseq.signal.augmentations.lead_masking import RandomLeadMasking
from ecg_fairseq.signal.augmentations.noise import (
    BaselineShift,
    BaselineWander,
    EmgNoise,
    PowerlineNoise,
)
from ecg_fairseq.signal.augmentations.vectorcardiogram import ThreeKg

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "BaselineShift",
    "BaselineWander",
    "Chain",
    "EmgNoise",
    "PowerlineNoise",
    "RandomLeadMasking",
    "ThreeKg",
    "TwoViews",
    "augmentation_of",
    "chain_of",
]

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "powerline_noise": PowerlineNoise,
    "emg_noise": EmgNoise,
    "baseline_shift": BaselineShift,
    "baseline_wander": BaselineWander,
    "random_leads_masking": RandomLeadMasking,
}


def augmentation_of(name: str, **options: Any) -> Augmentation:
    """Return an augmentation by its fairseq-signals name.

    Args:
        name: a key of ``AUGMENTATIONS``.
        options: its fields, such as ``probability=0.5``.

    Raises:
        RecipeError: unknown name or option.
    """
    if name not in AUGMENTATIONS:
        raise RecipeError(
            f"unknown augmentation {name!r}; expected one of {', '.join(AUGMENTATIONS)}"
        )
    try:
        return AUGMENTATIONS[name](**options)
    except TypeError as error:
        raise RecipeError(f"augmentation {name}: {error}") from None


def chain_of(names: Sequence[str], probabilities: Sequence[float], **options: Any) -> Chain:
    """Return augmentations in order, with fairseq-signals' rule for probabilities.

    Args:
        names: keys of ``AUGMENTATIONS``.
        probabilities: one for all, or one for each.
        options: fields that are set in every link that has them (``fs_hz``, ``max_amplitude``).

    Raises:
        RecipeError: an unknown name, an option that no link has, or a wrong number of
            probabilities.
    """
    if len(probabilities) == 1:
        probabilities = list(probabilities) * len(names)
    if len(probabilities) != len(names):
        raise RecipeError(
            f"{len(probabilities)} probabilities for {len(names)} augmentations; give one for all "
            "or one for each"
        )
    known = {name: AUGMENTATIONS[name].__dataclass_fields__ for name in names if _known(name)}
    unused = [option for option in options if not any(option in own for own in known.values())]
    if unused:
        raise RecipeError(f"no augmentation of {', '.join(names)} has {', '.join(unused)}")
    links = [
        augmentation_of(
            name,
            probability=probability,
            **{option: value for option, value in options.items() if option in known[name]},
        )
        for name, probability in zip(names, probabilities, strict=True)
    ]
    return Chain(links=tuple(links))


def _known(name: str) -> bool:
    augmentation_of(name)
    return True
