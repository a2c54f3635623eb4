"""Lead names: spellings, doubles, selection by name."""

import numpy as np
import pytest

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.leads import (
    CANONICAL_LEADS,
    INDEPENDENT_LEADS,
    canonical_lead_name,
    canonical_leads,
    completed_leads,
    lead_and_sign,
    leads_of_setting,
    named_leads,
    select_leads,
)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("AVR", "aVR"),
        ("avr", "aVR"),
        ("MDC_ECG_LEAD_AVR", "aVR"),
        ("Lead aVR", "aVR"),
        ("lead_II", "II"),
        (" v1 ", "V1"),
        ("iii", "III"),
        ("MLII", "II"),
        ("MDC_ECG_LEAD_V6", "V6"),
        ("LEAD-I", "I"),
        ("Lead I", "I"),
        ("LeadII", "II"),
        ("Lead: V2", "V2"),
        ("ECG lead III", "III"),
        ("D-II", "II"),
        ("D II", "II"),
        ("dIII", "III"),
        ("V_1", "V1"),
        ("\u2161", "II"),
        ("I.", "I"),
        ("C4", "V4"),
        ("v3r", "V3R"),
    ],
)
def test_usual_spellings_are_understood(spelling, name):
    assert canonical_lead_name(spelling) == name
    assert lead_and_sign(spelling) == (name, 1)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("-aVR", "aVR"),
        ("-AVR", "aVR"),
        ("- aVR", "aVR"),
        ("\u2212aVR", "aVR"),
        ("\u2013aVF", "aVF"),
        ("MDC_ECG_LEAD_AVRneg", "aVR"),
        ("aVRneg", "aVR"),
        ("aVR neg", "aVR"),
        ("aVR_inverted", "aVR"),
        ("inverted aVR", "aVR"),
        ("Lead inverted II", "II"),
        ("minus III", "III"),
        ("-Lead V1", "V1"),
        ("-I", "I"),
    ],
)
def test_a_minus_is_never_dropped(spelling, name):
    assert lead_and_sign(spelling) == (name, -1)
    with pytest.raises(RecordError, match=f"is lead {name} inverted"):
        canonical_lead_name(spelling)
    with pytest.raises(RecordError, match="inverted"):
        canonical_leads(["V1" if name != "V1" else "V2", spelling])


@pytest.mark.parametrize("spelling", ["aVR-", "I-", "V1-", "--aVR", "Lead -I", "V1-V2", "-aVR-"])
def test_a_minus_of_several_meanings_is_refused(spelling):
    with pytest.raises(RecordError, match="a minus is read only before a name"):
        lead_and_sign(spelling)


@pytest.mark.parametrize(
    "spelling", ["", "ABP", "V", "V12", "lead", "IV", "V1R", "R", "1", "CH1", "leads", "inv"]
)
def test_other_names_are_refused(spelling):
    with pytest.raises(RecordError, match="unknown lead name"):
        canonical_lead_name(spelling)


def test_one_lead_under_two_spellings_is_refused():
    with pytest.raises(RecordError, match="aVF occurs more than once"):
        canonical_leads(["I", "aVF", "AVF"])


def recording(num_samples: int = 40) -> np.ndarray:
    """Twelve leads in canonical order, float32, whose limb leads fit each other."""
    signal = np.random.default_rng(2).normal(size=(12, num_samples))
    one, two = signal[:2]
    signal[2:6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    return signal.astype(np.float32)


def test_inverted_leads_are_turned_back_and_said():
    cabrera = ("aVL", "I", "-aVR", "II", "aVF", "III", "V1", "V2", "V3", "V4", "V5", "V6")
    signal = recording()
    leads = [name.removeprefix("-") for name in cabrera]
    rows = select_leads(signal, CANONICAL_LEADS, leads)
    rows[2] = -rows[2]
    before = rows.copy()
    named = named_leads(rows, cabrera)
    assert named.leads == tuple(leads)
    np.testing.assert_array_equal(select_leads(named.signal, named.leads, CANONICAL_LEADS), signal)
    np.testing.assert_array_equal(rows, before)
    assert (named.inverted, named.derived) == (("aVR",), ())
    assert named.notes() == ("stored inverted and turned back: aVR",)
    with pytest.raises(RecordError, match="aVR occurs more than once"):
        named_leads(signal[:2], ["-aVR", "aVR"])
    with pytest.raises(RecordError, match="2 lead names"):
        named_leads(signal[:3], ["I", "II"])


@pytest.mark.parametrize("absent", [("III", "aVR", "aVL", "aVF"), ("I", "aVF"), ("II",), ("aVL",)])
def test_limb_leads_are_completed_and_marked(absent):
    signal = recording()
    signal[6, 3] = np.nan
    kept = tuple(lead for lead in reversed(CANONICAL_LEADS) if lead not in absent)
    rows = select_leads(signal, CANONICAL_LEADS, kept)
    named = named_leads(np.vstack((rows, rows[:1])), (*kept, "V7"))
    assert named.leads == (*CANONICAL_LEADS, "V7")
    assert named.signal.dtype == np.float32
    np.testing.assert_allclose(named.signal[:12], signal, atol=2e-7)
    is_there = [lead in kept for lead in CANONICAL_LEADS]
    np.testing.assert_array_equal(named.signal[:12][is_there], signal[is_there])
    assert named.derived == tuple(lead for lead in CANONICAL_LEADS if lead in absent)
    assert named.notes() == (f"derived from the other limb leads: {', '.join(named.derived)}",)


@pytest.mark.parametrize("leads", [CANONICAL_LEADS, ("I", "II"), INDEPENDENT_LEADS[1:], ("V1",)])
def test_leads_that_determine_no_twelve_come_back_untouched(leads):
    signal = select_leads(recording(), CANONICAL_LEADS, leads)
    completed = completed_leads(signal, leads)
    assert completed.signal is signal
    assert (completed.leads, completed.notes()) == (leads, ())


def test_selection_goes_by_name_not_by_position():
    mimic_order = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
    signal = np.arange(12.0)[:, None].repeat(3, axis=1)
    chosen = select_leads(signal, mimic_order, CANONICAL_LEADS)
    assert chosen[:, 0].tolist() == [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]


def test_missing_leads_are_named():
    with pytest.raises(RecordError, match="lead V5, V6 is missing"):
        select_leads(np.zeros((2, 9)), ("I", "II"), ("I", "V5", "V6"))


@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        ("[I, 'II', v2]", ("I", "II", "V2")),
        ("0,1,7", ("I", "II", "V2")),
        ("(11)", ("V6",)),
        ([3], ("aVR",)),
        (("V1", 0), ("V1", "I")),
    ],
)
def test_leads_of_a_setting(asked, leads):
    assert leads_of_setting(asked) == leads


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("", "no lead"),
        ("[]", "no lead"),
        ("I,0", "each once"),
        ("12", "lead number 12"),
        ([-1], "lead number -1"),
        ("X9", "unknown lead name"),
        ("__import__('os')", "unknown lead name"),
        ([True], "unknown lead name"),
    ],
)
def test_settings_that_name_no_leads(asked, sentence):
    with pytest.raises(RecordError, match=sentence):
        leads_of_setting(asked)
