"""CardioSoft XML: waveforms, units, quirks of devices, and files that lie."""

import numpy as np
import pytest
from foreign_files import EIGHT, TWELVE, cardiosoft_block, cardiosoft_text, made_steps, muse_text

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.any_format import read_record, split_waveform
from ecg_fairseq.signal.leads import CANONICAL_LEADS


def written(tmp_path, text, encoding="latin-1"):
    (tmp_path / "1000001_20205_2_0.xml").write_text(text, encoding=encoding)
    return tmp_path / "1000001_20205_2_0.xml"


def refused(path, message):
    with pytest.raises(RecordError, match=message) as caught:
        read_record(path)
    assert path.name.partition(":")[0] in str(caught.value)


def test_both_waveforms_in_millivolts(tmp_path):
    steps = made_steps(12)
    path = written(tmp_path, cardiosoft_text(steps))
    record = read_record(path)
    assert (record.leads, record.fs_hz, record.patient_id) == (CANONICAL_LEADS, 500.0, "P 9")
    assert record.record_id == "1000001_20205_2_0"
    np.testing.assert_allclose(record.signal, steps * 0.005, rtol=1e-6)
    median = read_record(f"{path}:median", "r", "p")
    assert (median.record_id, median.patient_id) == ("r", "p")
    np.testing.assert_array_equal(median.signal, record.signal[:, :60])
    np.testing.assert_array_equal(read_record(f"{path}:rhythm").signal, record.signal)


def test_muse_files_have_addresses_of_waveforms_too(tmp_path):
    path = written(tmp_path, muse_text(made_steps(8)))
    assert read_record(f"{path}:median").num_samples == 60
    assert split_waveform(tmp_path / "nix.xml:median")[1] is None


def test_absent_limb_leads_follow_from_the_others(tmp_path):
    steps = made_steps(8)
    record = read_record(written(tmp_path, cardiosoft_text(steps, EIGHT)))
    assert record.leads == CANONICAL_LEADS
    whole = dict(zip(EIGHT, steps * 0.005, strict=True))
    np.testing.assert_allclose(record.signal[2], whole["II"] - whole["I"], atol=1e-6)
    np.testing.assert_allclose(record.signal[3], -(whole["I"] + whole["II"]) / 2, atol=1e-6)


def test_forms_that_devices_write(tmp_path):
    steps = made_steps(12)
    text = cardiosoft_text(steps)
    wanted = read_record(written(tmp_path, text)).signal
    inner = text.replace("<StripData>", "<Strip><StripData>")
    inner = inner.replace("</StripData>", "</StripData></Strip>")
    upper = text.replace('lead="aV', 'lead="AV').replace("uVperLsb", "uVperLSB")
    commas = text.replace("\n</WaveformData>", ",\n</WaveformData>")
    remark = text.replace("<CardiologyXML>", "<!-- no <RestingECG> -->\n<CardiologyXML>")
    outer = text.replace("<RestingECGMeasurements>", "").replace("</RestingECGMeasurements>", "")
    outer = outer.replace("<SampleRate>1</SampleRate>", "")
    for form in (inner, upper, commas, remark, outer):
        assert form != text
        path = written(tmp_path, form)
        np.testing.assert_array_equal(read_record(path).signal, wanted)
        np.testing.assert_array_equal(read_record(f"{path}:median").signal, wanted[:, :60])
    for encoding in ("utf-8", "utf-16"):
        other = text.replace("ISO-8859-1", encoding)
        np.testing.assert_array_equal(
            read_record(written(tmp_path, other, encoding)).signal, wanted
        )


def test_blocks_that_are_absent_are_named(tmp_path):
    text = cardiosoft_text(made_steps(12))
    start, end = text.index("<StripData>"), text.index("</CardiologyXML>")
    path = written(tmp_path, text[:start] + text[end:])
    refused(path, r"0 blocks StripData, expected one \(the file has MedianSamples\)")
    assert read_record(f"{path}:median").num_samples == 60


STRIP = cardiosoft_block("StripData", made_steps(12), TWELVE)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('lead="II"', 'lead="I"', "more than once"),
        ('lead="V6"', 'lead="V66"', "unknown lead"),
        ('lead="V6"', 'name="V6"', "unknown lead"),
        ('"Hz">500<', '"Hz">0<', "sampling rate"),
        ('"Hz">500<', '"Hz">many<', "expected one number"),
        ('uVperLsb">5<', 'uVperLsb">0<', "gain"),
        ('uVperLsb">5<', 'uVperLsb">inf<', "expected one number"),
        ('units="uVperLsb"', 'units="mVperLsb"', "expected uVperLsb"),
        (' units="uVperLsb"', "", "expected uVperLsb"),
        ("<NumberOfLeads>12", "<NumberOfLeads>11", "NumberOfLeads is 11"),
        ("Total>200<", "Total>199<", "ChannelSampleCountTotal is 199"),
        ("</StripData>", "</StripData>" + STRIP, "more than one block"),
        ("<StripData>", "<StripData><SampleRate>5</SampleRate>", "SampleRate occurs twice"),
        ("</WaveformData>", ",7</WaveformData>", "is 200, but 12 leads of .201"),
        ("</WaveformData>", ",x</WaveformData>", "not all integers"),
        ("</WaveformData>", ",,1</WaveformData>", "not all integers"),
        ("</WaveformData>", ",1.5</WaveformData>", "not all integers"),
        ("</WaveformData>", f",{2**40}</WaveformData>", "not all integers"),
        ("</WaveformData>", f",{-(2**63)}</WaveformData>", "not all integers"),
        ("</StripData>", '<WaveformData lead="V1"/>' * 99 + "</StripData>", "not all integers"),
        ("<PatientInfo>", '<!DOCTYPE a [<!ENTITY b "c">]>', "not well-formed|declares entities"),
        ("<PatientInfo>", "<a>" * 99, "nested more than"),
        ("</CardiologyXML>", "", "not well-formed"),
        ("CardiologyXML>", "AnnotatedECG>", "unknown format"),
    ],
)
def test_damaged_files(tmp_path, old, new, message):
    text = cardiosoft_text(made_steps(12))
    assert old in text
    refused(written(tmp_path, text.replace(old, new)), message)


def test_entities_are_refused(tmp_path):
    text = cardiosoft_text(made_steps(12))
    doctype = '?>\n<!DOCTYPE CardiologyXML [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    refused(written(tmp_path, text.replace("?>", doctype).replace("P 9", "&a;")), "entities")
