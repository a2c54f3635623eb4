"""Lead names: one canonical order, and the many spellings found in files.

Leads are always addressed by name. Datasets disagree on order (MIMIC-IV-ECG writes aVF before aVL)
and on spelling (PTB-XL writes AVR, aECG files write MDC_ECG_LEAD_AVR).
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ecg_fairseq.errors import RecordError

CANONICAL_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
EXTRA_LEADS = ("V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9", "VX", "VY", "VZ")

_PREFIX = re.compile(r"^(mdc[_ ]ecg[_ ]lead[_ ]|ecg[_ ]lead[_ ]|ecg[_ ]|lead[_ ]|channel[_ ])+")
_SPELLINGS = {name.lower(): name for name in (*CANONICAL_LEADS, *EXTRA_LEADS)}
_SPELLINGS |= {
    "d1": "I",
    "d2": "II",
    "d3": "III",
    "di": "I",
    "dii": "II",
    "diii": "III",
    "l1": "I",
    "l2": "II",
    "l3": "III",
    "mli": "I",
    "mlii": "II",
    "mliii": "III",
    "vr": "aVR",
    "vl": "aVL",
    "vf": "aVF",
    "c1": "V1",
    "c2": "V2",
    "c3": "V3",
    "c4": "V4",
    "c5": "V5",
    "c6": "V6",
}


def canonical_lead_name(name: str) -> str:
    """Return the canonical spelling of one lead name.

    Args:
        name: as found in a file: ``AVR``, ``avr``, ``MDC_ECG_LEAD_AVR``, ``Lead aVR``, ``v1``.

    Raises:
        RecordError: the name is not that of a known ECG lead.

    >>> canonical_lead_name("MDC_ECG_LEAD_AVR")
    'aVR'
    """
    text = _PREFIX.sub("", name.strip().lower()).strip(" _-.")
    try:
        return _SPELLINGS[text]
    except KeyError:
        raise RecordError(
            f"unknown lead name {name!r}; expected one of {' '.join(CANONICAL_LEADS)} in any usual "
            "spelling; rename the channel in the header or leave it out"
        ) from None


def canonical_leads(names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical spelling of all ``names``; RecordError if two name the same lead."""
    return _canonical_leads(tuple(names))


@lru_cache(maxsize=256)
def _canonical_leads(names: tuple[str, ...]) -> tuple[str, ...]:
    leads = tuple(canonical_lead_name(name) for name in names)
    doubled = sorted({lead for lead in leads if leads.count(lead) > 1})
    if doubled:
        raise RecordError(
            f"lead {', '.join(doubled)} occurs more than once in {', '.join(names)}; "
            "every lead must occur once: rename or remove the other channel"
        )
    return leads


def leads_of_setting(asked: str | Sequence[str | int]) -> tuple[str, ...]:
    """Return the leads that a setting such as fairseq-signals' ``leads_to_load`` means.

    Args:
        asked: names or numbers (0 is I, 11 is V6), as a list or as the text of one:
            ``"[I, II, V2]"``, ``"0,1,7"``; nothing in it is evaluated.

    Raises:
        RecordError: a name or number is unknown, there is no lead, or one is named twice.

    >>> leads_of_setting("[0, 'II', v2]")
    ('I', 'II', 'V2')
    """
    items: list[str | int] = list(asked)
    if isinstance(asked, str):
        parts = (part.strip().strip("'\"") for part in asked.strip().strip("[]()").split(","))
        items = [int(part) if part.isdecimal() else part for part in parts if part]
    names = tuple(_lead_of_item(item) for item in items)
    if not names or len(set(names)) < len(names):
        raise RecordError(
            f"{asked!r} names {', '.join(names) or 'no lead'}; name at least one lead and each once"
        )
    return names


def _lead_of_item(item: str | int) -> str:
    if isinstance(item, str | bool):
        return canonical_lead_name(str(item))
    if not 0 <= item < len(CANONICAL_LEADS):
        raise RecordError(f"lead number {item}; expected 0 (I) to {len(CANONICAL_LEADS) - 1} (V6)")
    return CANONICAL_LEADS[item]


def select_leads(signal: np.ndarray, leads: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Return the rows of ``signal`` (L, T) that hold the ``wanted`` leads, in that order.

    The result is a view when the leads stand there already.

    Raises:
        RecordError: a wanted lead is absent; the message names the missing and the present leads.
    """
    if tuple(leads) == tuple(wanted):
        return signal
    position = {lead: row for row, lead in enumerate(leads)}
    missing = [lead for lead in wanted if lead not in position]
    if missing:
        raise RecordError(
            f"lead {', '.join(missing)} is missing: the record has {', '.join(leads) or 'no leads'}"
            f", wanted are {', '.join(wanted)}; choose a recipe that needs fewer leads or add them"
        )
    return signal[[position[lead] for lead in wanted]]
