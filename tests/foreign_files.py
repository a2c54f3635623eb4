"""Makers of small files in other programs' formats, for the tests of the readers."""

import base64
from pathlib import Path

import numpy as np
import scipy.io

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def made_steps(num_leads: int, num_samples: int = 200, seed: int = 0) -> np.ndarray:
    """Return int16 (L, T) of a random walk."""
    moves = np.random.default_rng(seed).integers(-9, 10, (num_leads, num_samples))
    return moves.cumsum(axis=1).astype(np.int16)


def write_matlab5(path: Path, signal: np.ndarray, compress: bool = False, **more: object) -> None:
    """Write a recording as fairseq-signals does."""
    size = np.array([[signal.shape[1]]])
    content = {"feats": signal, "curr_sample_rate": 400, "curr_sample_size": size, "idx": 3}
    scipy.io.savemat(path, {**content, **more}, do_compression=compress)


def write_matlab4(path: Path, steps: np.ndarray, fs_hz: int = 500) -> None:
    """Write a challenge record: ``.mat`` (MATLAB 4) and ``.hea``, whose name ends in ``.mat``."""
    scipy.io.savemat(path, {"val": steps}, format="4")
    lines = [f"{path.name} {len(steps)} {fs_hz} {steps.shape[1]} 05-May-2020 14:50:55"]
    lines += [
        f"{path.name} 16+24 1000/mV 16 0 {row[0]} 0 0 {lead}"
        for row, lead in zip(steps, TWELVE, strict=True)
    ]
    path.with_suffix(".hea").write_text("\n".join([*lines, "#Age: 83", ""]))


def write_hdf5(path: Path, signals: np.ndarray, **options: object) -> None:
    """Write a CODE-15% part: ``signals`` (N, T, 12) and running exam ids from 1000."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("tracings", data=signals.astype(np.float32), **options)
        file["exam_id"] = np.arange(1000, 1000 + len(signals))


def muse_waveform(steps: np.ndarray, kind: str, per_bit: str = "4.88", units: str = "MICROVOLTS"):
    """Return one Waveform element with the eight measured leads."""
    leads = "".join(
        f"<LeadData><LeadByteCountTotal>{2 * row.size}</LeadByteCountTotal>"
        f"<LeadTimeOffset>0</LeadTimeOffset><LeadSampleCountTotal>{row.size}"
        f"</LeadSampleCountTotal><LeadAmplitudeUnitsPerBit>{per_bit}</LeadAmplitudeUnitsPerBit>"
        f"<LeadAmplitudeUnits>{units}</LeadAmplitudeUnits><LeadID>{lead}</LeadID>"
        "<LeadSampleSize>2</LeadSampleSize><WaveFormData>\n"
        f"{base64.encodebytes(row.astype('<i2').tobytes()).decode()}</WaveFormData></LeadData>\n"
        for row, lead in zip(steps, EIGHT, strict=True)
    )
    return (
        f"<Waveform><WaveformType>{kind}</WaveformType><SampleBase>500</SampleBase>"
        f"<SampleExponent>0</SampleExponent>{leads}</Waveform>"
    )


def muse_text(steps: np.ndarray, **options: str) -> str:
    """Return a MUSE 8 file: a median and a rhythm waveform, a bare ``&`` in a text."""
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n'
        "<RestingECG><MuseInfo><MuseVersion>8.0.2</MuseVersion></MuseInfo>"
        "<PatientDemographics><PatientID>P 7</PatientID><PatientLastName>M\xfcller & Co"
        "</PatientLastName></PatientDemographics>\n"
        f"{muse_waveform(steps[:, :60], 'Median', **options)}\n"
        f"{muse_waveform(steps, 'Rhythm', **options)}</RestingECG>\n"
    )


def write_muse(path: Path, steps: np.ndarray, **options: str) -> None:
    """Write a MUSE file in Latin-1."""
    path.write_text(muse_text(steps, **options), encoding="latin-1")


def cardiosoft_block(name: str, steps: np.ndarray, leads: tuple[str, ...], resolution: str = "5"):
    """Return one block of leads with its numbers broken over lines."""
    broken = ",\n\t"
    rows = "".join(
        f'<WaveformData lead="{lead}">\n\t{broken.join(map(str, row))}\n</WaveformData>\n'
        for lead, row in zip(leads, steps.tolist(), strict=True)
    )
    return (
        f"<{name}><NumberOfLeads>{len(leads)}</NumberOfLeads>"
        f'<SampleRate units="Hz">500</SampleRate>'
        f"<ChannelSampleCountTotal>{steps.shape[1]}</ChannelSampleCountTotal>"
        f'<Resolution units="uVperLsb">{resolution}</Resolution>\n{rows}</{name}>\n'
    )


def cardiosoft_text(steps: np.ndarray, leads: tuple[str, ...] = TWELVE) -> str:
    """Return a CardioSoft file: a median of 60 samples and the recording, a bare ``&``."""
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<CardiologyXML>'
        "<PatientInfo><PID>P 9</PID></PatientInfo><Site>Gr\xf6\xdfe & Lage</Site>\n"
        "<RestingECGMeasurements><SampleRate>1</SampleRate>"
        f"{cardiosoft_block('MedianSamples', steps[:, :60], leads)}</RestingECGMeasurements>\n"
        f"{cardiosoft_block('StripData', steps, leads)}</CardiologyXML>\n"
    )


def write_csv(path: Path, signal: np.ndarray, leads: tuple[str, ...], fs_hz: float | None) -> None:
    """Write a CSV of lead names and values; with a rate, a column of times comes first."""
    columns = signal.T
    names = list(leads)
    if fs_hz:
        columns = np.column_stack([np.arange(len(columns)) / fs_hz, columns])
        names = ["time", *names]
    lines = [",".join(f"{value:.9g}" for value in row) for row in columns]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")


# Numbers of the leads in SCP-ECG (5.6.3-9-N) and IEEE 11073 (2:N).
LEAD_NUMBERS = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64, "-aVR": 65}
LEAD_NUMBERS |= {f"V{number}": number + 2 for number in range(1, 7)}


def dicom_channel(code_value: str, scheme: str, meaning: str, **elements: object):
    """Return a channel of 2.5 uV a step and a baseline of 10 uV; None leaves an element empty."""
    from pydicom.dataset import Dataset

    def code(value: str, name: str, of: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodeMeaning, item.CodingSchemeDesignator = value, name, of
        return item

    channel = Dataset()
    channel.ChannelSourceSequence = [code(code_value, meaning, scheme)]
    channel.ChannelSensitivity = "2.5"
    channel.ChannelSensitivityUnitsSequence = [code("uV", "microvolt", "UCUM")]
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = "10"
    channel.WaveformBitsStored = 16
    for name, value in elements.items():
        setattr(channel, name, value)
    return channel


def dicom_group(steps: np.ndarray, channels: list, **elements: object):
    """Return a multiplex group at 500 Hz with padding of -32768."""
    from pydicom.dataset import Dataset

    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = steps.shape
    group.SamplingFrequency = "500"
    group.ChannelDefinitionSequence = channels
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.WaveformPaddingValue = np.int16(-32768).tobytes()
    group.WaveformData = steps.T.astype("<i2").tobytes()
    for name, value in elements.items():
        setattr(group, name, value)
    return group


def scp_channels(leads: tuple[str, ...], **elements: object) -> list:
    """Return channels with SCP-ECG codes."""
    return [
        dicom_channel(f"5.6.3-9-{LEAD_NUMBERS[lead]}", "SCPECG", f"Lead {lead}", **elements)
        for lead in leads
    ]


def write_dicom_groups(path: Path, groups: list, has_preamble: bool = True) -> None:
    """Write a DICOM 12-lead ECG of these multiplex groups."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset

    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientID = "P 8"
    dataset.WaveformSequence = groups
    if has_preamble:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.save_as(path, enforce_file_format=True)
    else:
        dataset.save_as(path, implicit_vr=True, little_endian=True)


def write_dicom(path: Path, steps: np.ndarray, leads: tuple[str, ...]) -> None:
    """Write a DICOM 12-lead ECG with 2.5 uV a step, a baseline of 10 uV and padding of -32768."""
    write_dicom_groups(path, [dicom_group(steps, scp_channels(leads))])


def made_beats(seconds: float = 10.0, fs_hz: float = 500.0, num_leads: int = 12) -> np.ndarray:
    """Return float32 (L, T) in mV: beats of 1 to 1.55 mV at 72 a minute, and a little noise."""
    times = np.arange(round(seconds * fs_hz)) / fs_hz
    peaks = np.arange(0.4, seconds, 60 / 72)
    shape = np.exp(-0.5 * ((times[:, None] - peaks) / 0.012) ** 2).sum(axis=1)
    noise = np.random.default_rng(0).normal(0, 0.005, (num_leads, len(times)))
    heights = 1.0 + 0.05 * np.arange(num_leads)
    return (heights[:, None] * shape + noise).astype(np.float32)
