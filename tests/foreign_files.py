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


def write_dicom(path: Path, steps: np.ndarray, leads: tuple[str, ...]) -> None:
    """Write a DICOM 12-lead ECG with 2.5 uV a step, a baseline of 10 uV and padding of -32768."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence

    def code(value: str, meaning: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "MDC", meaning
        return item

    channels = []
    for lead in leads:
        channel = Dataset()
        channel.ChannelSourceSequence = Sequence([code("5.6.3-9-1", f"Lead {lead} (Einthoven)")])
        channel.ChannelSensitivity = "2.5"
        channel.ChannelSensitivityUnitsSequence = Sequence([code("uV", "microvolt")])
        channel.ChannelSensitivityCorrectionFactor = "1"
        channel.ChannelBaseline = "10"
        channel.WaveformBitsStored = 16
        channels.append(channel)
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = steps.shape
    group.SamplingFrequency = "500"
    group.ChannelDefinitionSequence = Sequence(channels)
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.WaveformPaddingValue = np.int16(-32768).tobytes()
    group.WaveformData = steps.T.astype("<i2").tobytes()
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientID = "P 8"
    dataset.WaveformSequence = Sequence([group])
    dataset.save_as(path, enforce_file_format=True)
