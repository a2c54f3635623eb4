"""Lead names: spellings, doubles, selection by name."""

import numpy as np
import pytest

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.leads import (
    CANONICAL_LEADS,
    canonical_lead_name,
    canonical_leads,
    leads_of_setting,
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
    ],
)
def test_usual_spellings_are_understood(spelling, name):
    assert canonical_lead_name(spelling) == name


@pytest.mark.parametrize("spelling", ["", "ABP", "V", "V12", "lead", "IV"])
def test_other_names_are_refused(spelling):
    with pytest.raises(RecordError, match="unknown lead name"):
        canonical_lead_name(spelling)


def test_one_lead_under_two_spellings_is_refused():
    with pytest.raises(RecordError, match="aVF occurs more than once"):
        canonical_leads(["I", "aVF", "AVF"])


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
