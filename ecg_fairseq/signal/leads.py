"""Lead names: one canonical order, and the many spellings found in files.

Leads are always addressed by name. Datasets disagree on order (MIMIC-IV-ECG writes aVF before aVL)
and on spelling (PTB-XL writes AVR, aECG files write MDC_ECG_LEAD_AVR).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ecg_fairseq.errors import RecordError

CANONICAL_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
EXTRA_LEADS = ("V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9", "VX", "VY", "VZ")

_LIMB_LEADS = CANONICAL_LEADS[:6]
_SPELLINGS = {name.lower(): name for name in (*CANONICAL_LEADS, *EXTRA_LEADS)}
_SPELLINGS |= {
    spelling: name
    for number, name in enumerate(("I", "II", "III"), start=1)
    for spelling in (f"d{number}", f"d{name}".lower(), f"l{number}", f"ml{name}".lower())
}
_SPELLINGS |= {"vr": "aVR", "vl": "aVL", "vf": "aVF"} | {f"c{n}": f"V{n}" for n in range(1, 7)}

# A hyphen or a blank directly after one of these joins the words: "LEAD-I" is lead I, not minus I.
_PREFIX = re.compile(r"^(mdc[ _]ecg[ _]lead|ecg[ _]lead|ecg|lead|channel)(?:[ _.:]+|-)(?=[a-z0-9])")
_LEAD_PREFIX = re.compile(r"^lead(?=[a-z0-9])")
_JOINED = re.compile(r"^(av|d|ml|v(?=.[1-9xyz]))[ _-](?=[a-z0-9])")
_MINUS_SIGNS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_INVERTED = (
    re.compile(r"^(?:-[ ]?|(?:minus|neg|negative|inv|inverted)[ _])(?P<lead>.+)$"),
    re.compile(r"^(?P<lead>.+?)(?:[ _](?:minus|neg|negative|inv|inverted)|(?<=av[rlf])neg)$"),
)


def lead_and_sign(name: str) -> tuple[str, int]:
    """Return the lead that a name of a file means, and the sign its values have there.

    This is the one parser of lead names: a minus is never dropped. Cabrera layouts hold ``-aVR``
    (IEEE 11073 ``MDC_ECG_LEAD_AVRneg``), whose values times the sign are lead aVR.

    Args:
        name: ``AVR``, ``MDC_ECG_LEAD_AVR``, ``Lead aVR``, ``LeadII``, ``D-II``, ``v1``, ``-aVR``.

    Returns:
        canonical name, and 1, or -1 where the name is that of the inverted lead.

    Raises:
        RecordError: not the name of one known ECG lead, or a minus that may mean several things.

    >>> lead_and_sign("MDC_ECG_LEAD_AVR"), lead_and_sign("-aVR")
    (('aVR', 1), ('aVR', -1))
    """
    text = unicodedata.normalize("NFKC", name).translate(_MINUS_SIGNS).strip().lower()
    lead = _spelled(_without_prefix(text))
    if lead is not None:
        return lead, 1
    for form in _INVERTED:
        found = form.match(_without_prefix(text))
        lead = _spelled(_without_prefix(found["lead"])) if found else None
        if lead is not None:
            return lead, -1
    hint = ""
    if "-" in text:
        hint = "; a minus is read only before a name (-aVR), as the inverted lead"
    raise RecordError(
        f"unknown lead name {name!r}; expected one of {' '.join(CANONICAL_LEADS)} in any usual "
        f"spelling{hint}; rename the channel in the header or leave it out"
    )


def _without_prefix(text: str) -> str:
    """Return a name without ``Lead``, ``ECG`` and the like before it."""
    while (shorter := _PREFIX.sub("", text)) != text:
        text = shorter
    return _LEAD_PREFIX.sub("", text)


def _spelled(text: str) -> str | None:
    """Return the lead of a spelling without sign and prefix; blanks and dots round it are noise."""
    text = _JOINED.sub(r"\1", text.strip(" _."))
    return _SPELLINGS.get(text)


def canonical_lead_name(name: str) -> str:
    """Return the canonical spelling of one lead name whose values are to be taken as they are.

    Raises:
        RecordError: see :func:`lead_and_sign`; also for the name of an inverted lead.

    >>> canonical_lead_name("MDC_ECG_LEAD_AVR")
    'aVR'
    """
    lead, sign = lead_and_sign(name)
    if sign < 0:
        raise RecordError(
            f"{name!r} is lead {lead} inverted, and its values cannot be turned here; turn the "
            f"sign of the values and name the channel {lead}"
        )
    return lead


def canonical_leads(names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical spelling of all ``names``, none of them of an inverted lead.

    Raises:
        RecordError: see :func:`canonical_lead_name`; two name the same lead.
    """
    return _canonical_leads(tuple(names))


@lru_cache(maxsize=256)
def _canonical_leads(names: tuple[str, ...]) -> tuple[str, ...]:
    leads = tuple(canonical_lead_name(name) for name in names)
    _check_each_once(leads, names)
    return leads


def _check_each_once(leads: Sequence[str], names: Sequence[str]) -> None:
    doubled = sorted({lead for lead in leads if leads.count(lead) > 1})
    if doubled:
        raise RecordError(
            f"lead {', '.join(doubled)} occurs more than once in {', '.join(names)}; "
            "every lead must occur once: rename or remove the other channel"
        )


@dataclass(frozen=True, eq=False)
class NamedLeads:
    """The rows of a recording under canonical names.

    Attributes:
        signal: (L, T), inverted leads turned back.
        leads: canonical names of the rows.
        inverted: leads that the file held inverted.
        derived: leads that the file did not hold and that were computed from its limb leads.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    inverted: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Return what was done to the file's leads, a sentence each; nothing done, no sentence."""
        notes = []
        if self.inverted:
            notes.append(f"stored inverted and turned back: {', '.join(self.inverted)}")
        if self.derived:
            notes.append(f"derived from the other limb leads: {', '.join(self.derived)}")
        return tuple(notes)


def named_leads(signal: np.ndarray, names: Sequence[str]) -> NamedLeads:
    """Return a file's rows as all readers give them: by canonical name, upright, completed.

    Args:
        signal: (L, T) in mV, floating point; never changed. NaN samples stay NaN.
        names: as found in the file, one a row.

    Raises:
        RecordError: a name is unknown, a lead occurs twice (``aVR`` beside ``-aVR``, too), or the
            numbers of names and rows differ.
    """
    if len(names) != len(signal):
        raise RecordError(
            f"{len(names)} lead names ({', '.join(names)}) for {len(signal)} rows of signal; "
            "expected one name a row"
        )
    leads, signs = _leads_and_signs(tuple(names))
    if min(signs, default=1) < 0:
        signal = signal * np.array(signs, dtype=signal.dtype)[:, None]
    inverted = tuple(lead for lead, sign in zip(leads, signs, strict=True) if sign < 0)
    completed = completed_leads(signal, leads)
    return NamedLeads(completed.signal, completed.leads, inverted, completed.derived)


@lru_cache(maxsize=256)
def _leads_and_signs(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    pairs = [lead_and_sign(name) for name in names]
    leads = tuple(lead for lead, _ in pairs)
    _check_each_once(leads, names)
    return leads, tuple(sign for _, sign in pairs)


def completed_leads(signal: np.ndarray, leads: Sequence[str]) -> NamedLeads:
    """Return twelve leads where the chest leads and two of I, II and III are there.

    III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2 (Einthoven, Goldberger),
    computed in float64. Leads that are there stay as they are; other sets of leads, and all twelve,
    come back untouched and in their order, a completed one in canonical order.

    Args:
        signal: (L, T), floating point.
        leads: canonical names.
    """
    missing = tuple(lead for lead in _LIMB_LEADS if lead not in leads)
    is_determined = len({"I", "II", "III"}.intersection(leads)) >= 2
    if not missing or not is_determined or not set(CANONICAL_LEADS[6:]) <= set(leads):
        return NamedLeads(signal, tuple(leads))
    rows = {lead: signal[row].astype(np.float64) for row, lead in enumerate(leads)}
    one = rows["I"] if "I" in rows else rows["II"] - rows["III"]
    two = rows["II"] if "II" in rows else one + rows["III"]
    limb = (one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2)
    for lead, values in zip(_LIMB_LEADS, limb, strict=True):
        rows.setdefault(lead, values)
    order = (*CANONICAL_LEADS, *(lead for lead in leads if lead not in CANONICAL_LEADS))
    completed = np.stack([rows[lead] for lead in order]).astype(signal.dtype)
    return NamedLeads(completed, order, derived=missing)


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
