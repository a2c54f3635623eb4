"""All recipes by name. A recipe object is a constant; its fields are part of its hash.

A name means the newest version; ``NAME@VERSION`` means an earlier one, to prepare further data for
a tokenizer or checkpoint that was made with it.
"""

from dataclasses import replace
from typing import Any

from ecg_fairseq.errors import RecipeError
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.signal.recipes.beat import ECG_BYTE_BEAT
from ecg_fairseq.signal.recipes.dual_attention import (
    DUAL_ATTENTION,
    DUAL_ATTENTION_PRETRAINING,
    DUAL_ATTENTION_REFERENCE,
    DUAL_ATTENTION_RHYTHM,
)
from ecg_fairseq.signal.recipes.ecg_byte import (
    ECG_BYTE,
    ECG_BYTE_10S,
    ECG_BYTE_10S_VERSION_1,
    ECG_BYTE_REFERENCE,
    ECG_BYTE_VERSION_1,
)
from ecg_fairseq.signal.recipes.ecg_encoder import ECG_ENCODER, ECG_ENCODER_REFERENCE
from ecg_fairseq.signal.recipes.ecg_fm import ECG_FM, ECG_FM_REFERENCE
from ecg_fairseq.signal.recipes.heartllm import HEARTLLM, HEARTLLM_REFERENCE
from ecg_fairseq.signal.recipes.windows import ResampledWindowRecipe

_ALL: tuple[Recipe, ...] = (
    ECG_BYTE,
    ECG_BYTE_10S,
    ECG_BYTE_REFERENCE,
    ECG_BYTE_BEAT,
    ECG_FM,
    ECG_FM_REFERENCE,
    HEARTLLM,
    HEARTLLM_REFERENCE,
    DUAL_ATTENTION,
    DUAL_ATTENTION_REFERENCE,
    DUAL_ATTENTION_PRETRAINING,
    DUAL_ATTENTION_RHYTHM,
    ECG_ENCODER,
    ECG_ENCODER_REFERENCE,
)
# Of recipes that resample, version 1 differs in the rule for lengths: see ResampledWindowRecipe.
_RESAMPLED = [
    recipe for recipe in _ALL if isinstance(recipe, ResampledWindowRecipe) and recipe.version == 2
]
_EARLIER: tuple[Recipe, ...] = (
    ECG_BYTE_VERSION_1,
    ECG_BYTE_10S_VERSION_1,
    *(replace(recipe, version=1) for recipe in _RESAMPLED),
)
_RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
_VERSIONS = {f"{recipe.name}@{recipe.version}": recipe for recipe in (*_ALL, *_EARLIER)}
_BY_HASH = {recipe.hash(): recipe for recipe in _VERSIONS.values()}
RECIPE_NAMES = tuple(_RECIPES)


def get_recipe(name: str) -> Recipe:
    """Return a recipe by name, of its newest version or (``ecg_byte@1``) of the one named.

    Raises:
        RecipeError: lists the known names.
    """
    try:
        return _RECIPES.get(name) or _VERSIONS[name]
    except KeyError:
        earlier = ", ".join(f"{recipe.name}@{recipe.version}" for recipe in _EARLIER)
        raise RecipeError(
            f"unknown recipe {name!r}; expected one of {', '.join(RECIPE_NAMES)}, or an earlier "
            f"version: {earlier} (`ecg-fairseq recipe NAME` explains one)"
        ) from None


def recipe_from_description(description: dict[str, Any], where: str) -> Recipe:
    """Return the recipe, of whatever version, that a manifest, tokenizer or checkpoint names.

    Args:
        description: an object with ``name`` and ``hash``.
        where: what carries it, for the message.

    Raises:
        RecipeError: it is unknown here, or its constants differ.
    """
    newest = get_recipe(str(description.get("name")))
    recipe = _BY_HASH.get(str(description.get("hash")))
    if recipe is None or recipe.name != newest.name:
        raise RecipeError(
            f"{where} was prepared with recipe {newest.name} of hash "
            f"{str(description.get('hash'))[:12]}, this program's has {newest.hash()[:12]}; "
            "prepare the data anew or use the program version that made it"
        )
    return recipe


def input_hash(recipe_hash: str) -> str:
    """Return :meth:`Recipe.input_hash` of a recipe that is known here; an unknown hash as it is."""
    recipe = _BY_HASH.get(recipe_hash)
    return recipe.input_hash() if recipe else recipe_hash


def named_version(recipe_hash: str) -> str:
    """Return ``NAME@VERSION`` of a recipe by its hash; empty where it is unknown here."""
    recipe = _BY_HASH.get(recipe_hash)
    return f"{recipe.name}@{recipe.version}" if recipe else ""
