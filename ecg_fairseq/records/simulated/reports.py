"""Written reports of simulated recordings: several wordings a finding, in PTB-XL's manner.

What a report says follows from the findings alone: rhythm first, the other statements, the axis,
and whether the ECG is normal. How it says it is drawn from a random generator of its own, keyed by
(seed, patient, visit), so that signals and questions are the same whatever the reports are.
"""

from collections.abc import Sequence

import numpy as np

from ecg_fairseq.records.questions.ptb_xl_statements import ALL_NAMES, RHYTHM_NAMES
from ecg_fairseq.records.simulated.plan import SimulatedCase
from ecg_fairseq.records.simulated.report_wordings import (
    JOINERS,
    LANGUAGES,
    LEFT_AXIS,
    NORMAL_ECG,
    WORDINGS,
    Wordings,
)

# `plain` names each statement once, in one wording: the reports of earlier versions.
REPORT_STYLES = ("english", "german", "mixed", "plain")
DEFAULT_REPORTS = "english"
_STREAM_REPORTS = 141  # apart from the streams of plan.py and of the layouts
_GERMAN_SHARE = 0.7  # of PTB-XL's reports, about
_ENDS = (". ", ", ", ". ")
_JOINED_SHARE = 0.4


def report_statements(codes: Sequence[str], left_axis: bool) -> list[str]:
    """Return what the report of a recording says, in its order.

    Args:
        codes: SCP codes of the recording.
        left_axis: whether the heart's axis points to the left.
    """
    names = [ALL_NAMES[code] for code in codes if code in ALL_NAMES]
    rhythm = [name for name in names if name in RHYTHM_NAMES.values()]
    others = [name for name in names if name not in rhythm]
    axis = [LEFT_AXIS] if left_axis else []
    closing = [NORMAL_ECG] if "NORM" in codes else []
    return rhythm + others + axis + closing


def write_report(case: SimulatedCase, said: Sequence[str], seed: int, style: str) -> str:
    """Return the text of one report.

    Args:
        case: whose report it is; with the seed it decides the wording.
        said: its statements, rhythm first.
        seed: of the cohort.
        style: of ``REPORT_STYLES``.
    """
    if style == "plain":
        return ". ".join(said)
    random = np.random.default_rng(
        [seed, _STREAM_REPORTS, case.planned.patient, case.planned.visit]
    )
    is_german, draws = random.random() < _GERMAN_SHARE, random.random(4)
    language = style if style in LANGUAGES else LANGUAGES[int(is_german)]
    words = [_pick(item.of(language), random) for item in _worded(said, draws[0] < 0.5)]
    end = _ENDS[int(draws[1] * len(_ENDS))]
    text = words[0]
    for number, word in enumerate(words[1:]):
        is_joined = number == 0 and draws[2] < _JOINED_SHARE
        text += f" {JOINERS[language][0]} {word}" if is_joined else f"{end}{word}"
    return f"{text}." if draws[3] < 0.5 else text


def _worded(said: Sequence[str], at_once: bool) -> list[Wordings]:
    """Return wordings that say all of ``said`` and nothing else, in its order.

    Args:
        at_once: prefer wordings that say several statements.
    """
    left, chosen = list(said), []
    by_size = sorted(WORDINGS, key=lambda item: -len(item.statements) if at_once else 0)
    while left:
        item = next(
            item
            for item in by_size
            if left[0] in item.statements
            and set(item.statements) <= set(left)
            and (at_once or len(item.statements) == 1)
        )
        chosen.append(item)
        left = [name for name in left if name not in item.statements]
    return chosen


def _pick(texts: Sequence[str], random: np.random.Generator) -> str:
    return texts[int(random.integers(len(texts)))]
