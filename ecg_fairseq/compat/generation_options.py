"""Options of fairseq-generate that answers do not heed are refused, not passed over.

fairseq's generators search with beams and write behind given prefixes; ours write one answer,
greedy or sampled. Every option that would ask for more is compared with fairseq's default.
"""

import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from fairseq.dataclass.configs import GenerationConfig

from ecg_fairseq.errors import EcgError

# What answers heed, and what changes nothing that is written.
_HEEDED = ("sampling", "temperature", "nbest", "beam", "print_step", "no_early_stop", "sacrebleu")
_HEEDED += ("no_beamable_mm", "no_seed_provided")


def refuse_unheeded(options: Any, models: Sequence[Any]) -> None:
    """Refuse generation options and ensembles.

    Args:
        options: fairseq's generation settings.
        models: those that ``--path`` names.

    Raises:
        EcgError: names what answers do not heed, and what to leave out.
    """
    if len(models) > 1:
        raise EcgError(
            f"--path names {len(models)} checkpoints, but answers come from one model, never from "
            "an ensemble; give one checkpoint"
        )
    beam = getattr(options, "beam", 1)
    # fairseq's default is a beam of 5, so only the command line tells whether one was asked for.
    is_asked_for = _is_on_command_line("--beam") or beam != _default("beam")
    if is_asked_for and beam != 1:
        raise EcgError(
            f"--beam {beam} was given, but answers are greedy, or sampled with --sampling; leave "
            "it out or give --beam 1"
        )
    for field in fields(GenerationConfig):
        value = getattr(options, field.name, field.default)
        if field.name in _HEEDED or field.name.startswith("_") or value == _default(field.name):
            continue
        raise EcgError(
            f"--{field.name.replace('_', '-')} {value} was given, but answers do not heed it: they "
            "are greedy, or sampled with --sampling, --temperature and --seed; leave it out "
            "(--max-new-tokens bounds their length)"
        )


def _default(name: str) -> Any:
    """Return fairseq's default of a generation option."""
    field = GenerationConfig.__dataclass_fields__[name]
    return field.default if field.default is not MISSING else None


def _is_on_command_line(option: str) -> bool:
    """Tell whether an option was typed, as ``--beam 5`` or ``--beam=5``."""
    return any(word.partition("=")[0] == option for word in sys.argv[1:])
