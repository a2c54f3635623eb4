"""DICOM ECGs as they are found: codes, groups, beats, skew, empty elements."""

import numpy as np
import pytest
from foreign_files import (
    EIGHT,
    LEAD_NUMBERS,
    TWELVE,
    dicom_channel,
    dicom_group,
    made_steps,
    scp_channels,
    write_dicom_groups,
)

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.readers.folder_search import find_records

pytest.importorskip("pydicom", reason="pydicom is not installed (extra dicom)")
STEPS = made_steps(12, 5000)
TRUTH = STEPS * 0.0025 + 0.01


@pytest.fixture
def written(tmp_path):
    """Return a function that writes groups and reads the file."""

    def write(*groups, has_preamble=True, waveform=""):
        write_dicom_groups(tmp_path / "d.dcm", list(groups), has_preamble)
        return read_record(f"{tmp_path / 'd.dcm'}{waveform}")

    return write


def test_the_code_decides_and_not_the_meaning(written):
    standard = {"aVR": "aVR, augmented voltage, right", "aVL": "aVL, augmented voltage, left"}
    for scheme, form in (("SCPECG", "5.6.3-9-{}"), ("MDC", "2:{}")):
        for meaning in (lambda lead: standard.get(lead, f"Lead {lead}"), lambda lead: "Channel 7"):
            channels = [
                dicom_channel(form.format(LEAD_NUMBERS[lead]), scheme, meaning(lead))
                for lead in TWELVE
            ]
            record = written(dicom_group(STEPS, channels))
            assert record.leads == TWELVE
            np.testing.assert_allclose(record.signal, TRUTH, atol=1e-6)
    channels = scp_channels(TWELVE)
    channels[6].ChannelSourceSequence[0].CodeMeaning = "Lead V2"
    record = written(dicom_group(STEPS, channels))
    np.testing.assert_allclose(record.signal, TRUTH, atol=1e-6)
    assert record.notes == ("code 5.6.3-9-3 is lead V1, its meaning says 'Lead V2'",)


def test_texts_name_a_lead_where_no_code_does(written):
    for meaning, label in (("ECG Lead {}", ""), ("", "{}"), ("Unipolar Lead {} (Wilson)\0", "")):
        channels = [
            dicom_channel("X-1", "99LOCAL", meaning.format(lead), ChannelLabel=label.format(lead))
            for lead in TWELVE
        ]
        assert written(dicom_group(STEPS, channels)).leads == TWELVE
    with pytest.raises(RecordError, match="unknown lead name 'Pressure'"):
        written(dicom_group(STEPS[:1], [dicom_channel("X-1", "99LOCAL", "Pressure")]))


def test_the_inverted_lead_of_the_code_is_turned_back(written):
    leads = tuple("-aVR" if lead == "aVR" else lead for lead in TWELVE)
    record = written(dicom_group(STEPS, scp_channels(leads)))
    wanted = TRUTH.copy()
    wanted[3] *= -1
    np.testing.assert_allclose(record.signal, wanted, atol=1e-6)
    assert record.notes == ("stored inverted and turned back: aVR",)


def test_eight_leads_are_completed_and_marked(written):
    rows = [TWELVE.index(lead) for lead in EIGHT]
    record = written(dicom_group(STEPS[rows], scp_channels(EIGHT)))
    assert (record.leads, record.derived) == (TWELVE, ("III", "aVR", "aVL", "aVF"))
    np.testing.assert_allclose(record.signal[2], TRUTH[1] - TRUTH[0], atol=1e-5)


def test_empty_elements_mean_nothing_and_no_preamble_is_needed(written, tmp_path):
    empty = {"ChannelBaseline": "", "ChannelSensitivityCorrectionFactor": ""}
    record = written(dicom_group(STEPS, scp_channels(TWELVE, **empty)), has_preamble=False)
    np.testing.assert_allclose(record.signal, TRUTH - 0.01, atol=1e-6)
    assert list(find_records(tmp_path).records) == ["d"]
    with pytest.raises(RecordError, match="no sensitivity"):
        written(dicom_group(STEPS, scp_channels(TWELVE, ChannelSensitivity="")))


@pytest.mark.parametrize("originality", ["DERIVED", "ORIGINAL"])
@pytest.mark.parametrize("label", ["MEDIAN BEAT", ""])
def test_median_beats_are_kept_apart(written, originality, label):
    more = {"WaveformOriginality": originality, "MultiplexGroupLabel": label}
    beat = dicom_group(STEPS[:, :600], scp_channels(TWELVE), **more)
    rhythm = dicom_group(STEPS, scp_channels(TWELVE))
    np.testing.assert_allclose(written(beat, rhythm).signal, TRUTH, atol=1e-6)
    median = written(beat, rhythm, waveform=":median")
    np.testing.assert_allclose(median.signal, TRUTH[:, :600], atol=1e-6)
    with pytest.raises(RecordError, match="no median beat"):
        written(rhythm, waveform=":median")


def strips(**offsets):
    return [
        dicom_group(
            STEPS[row : row + 3, part * 1250 : (part + 1) * 1250],
            scp_channels(TWELVE[row : row + 3]),
            **{name: value(part) for name, value in offsets.items()},
        )
        for part, row in enumerate(range(0, 12, 3))
    ]


@pytest.mark.parametrize(
    "offsets", [{}, {"MultiplexGroupTimeOffset": lambda part: 7 + 2500 * part}]
)
def test_strips_of_a_page_are_joined_by_time_and_lead(written, offsets):
    rhythm = dicom_group(STEPS[1:2], scp_channels(("II",)), **{k: v(0) for k, v in offsets.items()})
    for groups in (strips(**offsets), [*strips(**offsets), rhythm]):
        record = written(*groups)
        assert (record.leads, record.num_samples) == (TWELVE, 5000)
        here = ~np.isnan(record.signal)
        assert here.sum() == 15000 + 3750 * (len(groups) - 4)
        np.testing.assert_allclose(record.signal[here], TRUTH[here], atol=1e-6)
        assert bool(record.notes) == (not offsets)


def test_groups_that_follow_one_another_and_groups_at_once(written):
    halves = [dicom_group(half, scp_channels(TWELVE)) for half in np.split(STEPS, 2, axis=1)]
    np.testing.assert_allclose(written(*halves).signal, TRUTH, atol=1e-6)
    parts = [
        dicom_group(STEPS[rows], scp_channels(TWELVE[rows])) for rows in (slice(6), slice(6, 12))
    ]
    np.testing.assert_allclose(written(*parts).signal, TRUTH, atol=1e-6)
    twice = [
        dicom_group(part, scp_channels(TWELVE), MultiplexGroupTimeOffset=0)
        for part in np.split(STEPS, 2, axis=1)
    ]
    with pytest.raises(RecordError, match="stands twice for the same time"):
        written(*twice)
    slow = dicom_group(STEPS, scp_channels(TWELVE), SamplingFrequency="250")
    with pytest.raises(RecordError, match="groups of 250, 500 Hz"):
        written(dicom_group(STEPS, scp_channels(TWELVE)), slow)


@pytest.mark.parametrize("element", ["ChannelSampleSkew", "ChannelTimeSkew"])
@pytest.mark.parametrize("samples", [10, -10])
def test_skew_moves_a_channel(written, element, samples):
    channels = scp_channels(TWELVE)
    setattr(channels[6], element, samples / (1 if element == "ChannelSampleSkew" else 500))
    record = written(dicom_group(STEPS, channels))
    wanted = TRUTH.copy()
    moved = np.roll(TRUTH[6], samples)
    moved[:samples] = np.nan if samples > 0 else moved[:samples]
    moved[samples:] = np.nan if samples < 0 else moved[samples:]
    wanted[6] = moved
    np.testing.assert_allclose(record.signal, wanted, atol=1e-6)
    setattr(channels[6], element, 5000)
    with pytest.raises(RecordError, match="skew"):
        written(dicom_group(STEPS, channels))


@pytest.mark.parametrize("rate", ["0.5", "1", "0", "nan"])
def test_rates_of_no_ecg_are_refused(written, rate):
    with pytest.raises(RecordError, match=r"rate|SamplingFrequency"):
        written(dicom_group(STEPS, scp_channels(TWELVE), SamplingFrequency=rate))
