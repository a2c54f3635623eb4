"""Old module names that the guides of release 0.1 used: they work for one more release.

Importing one warns and names its new place; ``from OLD import NAME`` then takes NAME from there.
Nothing is loaded before an old name is asked for, so installing this costs the package nothing.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_EVALUATION = "ecg_fairseq.evaluation"
_NETWORKS = "ecg_fairseq.networks"
_RECORDS = "ecg_fairseq.records"
_ECG_BYTE = f"{_NETWORKS}.ecg_byte"
_LANGUAGE_MODEL = f"{_NETWORKS}.language_model"
_KEPT_NAMES = (
    "answering",
    "config",
    "export",
    "language_model",
    "model_card",
    "presets",
    "prompt",
    "text_tokenizer",
    "trained_system",
    "vocabulary",
)
# Old module -> the module that holds its names now.
MOVED = {
    **{f"{_ECG_BYTE}.{name}": f"{_LANGUAGE_MODEL}.{name}" for name in _KEPT_NAMES},
    f"{_ECG_BYTE}.candidates": f"{_RECORDS}.questions.question",
    f"{_RECORDS}.manifest": f"{_RECORDS}.manifest.folder",
    f"{_RECORDS}.read": f"{_RECORDS}.readers.any_format",
    f"{_NETWORKS}.ecg_fm.aggregation": f"{_NETWORKS}.encoders.by_recording",
    f"{_NETWORKS}.ecg_fm.record_saliency": f"{_NETWORKS}.encoders.record_saliency",
    f"{_NETWORKS}.ecg_fm.trained_encoder": f"{_NETWORKS}.encoders.trained_encoder",
    f"{_EVALUATION}.blind": f"{_EVALUATION}.answers.blind",
    f"{_EVALUATION}.cinc_score": f"{_EVALUATION}.labels.cinc_score",
    f"{_EVALUATION}.floors": f"{_EVALUATION}.answers.majority_floor",
    f"{_EVALUATION}.generate_log": f"{_EVALUATION}.answers.generate_log",
    f"{_EVALUATION}.label_scores": f"{_EVALUATION}.labels.auroc",
    f"{_EVALUATION}.label_table": f"{_EVALUATION}.labels.auroc_table",
    f"{_EVALUATION}.linear_probe": f"{_EVALUATION}.labels.linear_probe",
    f"{_EVALUATION}.normalise": f"{_EVALUATION}.answers.exact_match",
    f"{_EVALUATION}.predictions": f"{_EVALUATION}.answers.predictions",
    f"{_EVALUATION}.probe_table": f"{_EVALUATION}.labels.probe_table",
    f"{_EVALUATION}.recordings": f"{_EVALUATION}.labels.by_recording",
    f"{_EVALUATION}.scores": f"{_EVALUATION}.answers.scores",
    f"{_EVALUATION}.text_metrics": f"{_EVALUATION}.answers.text_metrics",
}
# Old names that are spelled otherwise or stand elsewhere now: (module, name).
RENAMED = {
    f"{_ECG_BYTE}.prompt.build_prefix": (f"{_LANGUAGE_MODEL}.prompt_builder", "build_prefix"),
    f"{_ECG_BYTE}.language_model.set_attention_dropout": (
        f"{_LANGUAGE_MODEL}.base.loading",
        "set_attention_dropout",
    ),
    f"{_NETWORKS}.ecg_fm.trained_encoder.load_trained_encoder": (
        f"{_NETWORKS}.trained",
        "load_trained_encoder",
    ),
    f"{_RECORDS}.manifest.SPLITS": (f"{_RECORDS}.record_row", "SPLITS"),
    f"{_EVALUATION}.normalise.normalise_text": (
        MOVED[f"{_EVALUATION}.normalise"],
        "normalize_text",
    ),
    f"{_EVALUATION}.cinc_score.normalised_score": (
        MOVED[f"{_EVALUATION}.cinc_score"],
        "normalized_score",
    ),
}
# Old modules whose name is a package now: only the names that the module had lead on from there.
PACKAGES = {f"{_RECORDS}.manifest": ("FORMAT", "SPLITS", "VERSION", "Manifest", "read_meta")}


def forward_from(old: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that looks names up in their new place.

    Args:
        old: the old module; where it is a package now, each name warns by itself.
    """

    def look_up(name: str) -> Any:
        known = PACKAGES.get(old)
        if name.startswith("__") or (known is not None and name not in known):
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        module, new_name = RENAMED.get(f"{old}.{name}", (MOVED[old], name))
        value = getattr(importlib.import_module(module), new_name)
        # Only now: loading a library may make Python forget which warnings it has shown.
        if known is not None:
            _warn(f"{old}.{name} is now {module}.{new_name}", stacklevel=2)
        return value

    return look_up


def _warn(moved: str, stacklevel: int) -> None:
    sentence = f"{moved}; the old name goes with the next release"
    warnings.warn(sentence, DeprecationWarning, stacklevel=stacklevel + 1)


class MovedModules:
    """Finds and loads old modules; asked after Python's own finders."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load an old module or the package it was in, None for other names."""
        if name in MOVED:
            return ModuleSpec(name, MovedModules)  # type: ignore[arg-type]
        if any(old.startswith(f"{name}.") for old in MOVED):
            return ModuleSpec(name, MovedModules, is_package=True)  # type: ignore[arg-type]
        return None

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Leave it to Python to make an empty module."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Warn the importer, and let the module's names lead to their new place."""
        old = module.__name__
        if old not in MOVED:
            return  # a package that is gone: its modules warn
        _warn(f"{old} is now {MOVED[old]}", stacklevel=2)
        vars(module)["__getattr__"] = forward_from(old)


def install() -> None:
    """Make the old names importable; a second call changes nothing."""
    if MovedModules not in sys.meta_path:
        sys.meta_path.append(MovedModules)  # type: ignore[arg-type]
