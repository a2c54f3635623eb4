"""Reads one recording of any supported format; the format is told by content, not by extension."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers import code_15_hdf5 as hdf5_reader
from ecg_fairseq.records.readers import dicom as dicom_reader
from ecg_fairseq.records.readers import fairseq_signals_mat as matlab5
from ecg_fairseq.records.readers.array_checks import (
    read_sidecar,
    signed_leads,
    to_float32,
)
from ecg_fairseq.records.readers.cardiosoft_xml import ROOT as CARDIOSOFT_ROOT
from ecg_fairseq.records.readers.cardiosoft_xml import WAVEFORMS, read_cardiosoft
from ecg_fairseq.records.readers.challenge_mat import is_matlab4, no_header_error
from ecg_fairseq.records.readers.csv_signal import SNIFF_BYTES, is_csv, read_csv
from ecg_fairseq.records.readers.device_xml import root_name
from ecg_fairseq.records.readers.muse_xml import read_muse
from ecg_fairseq.records.readers.wfdb_record import read_wfdb
from ecg_fairseq.records.record import EcgRecord, Origin, named_record
from ecg_fairseq.signal.leads import CANONICAL_LEADS

_NPY_MAGIC = b"\x93NUMPY"
_MATLAB73_MAGIC = b"MATLAB 7.3 MAT-file"
_XML_STARTS = (b"<", b"\xff\xfe<\0", b"\xfe\xff\0<")
_WFDB_SUFFIXES = (".hea", ".dat", ".mat")
FORMATS = (
    "a WFDB record (.hea with its signal file, PhysioNet-challenge .mat included), a "
    "fairseq-signals .mat, a CODE-15% .hdf5 (FILE:ROW), MUSE or CardioSoft XML, DICOM, or a .npy "
    "or .csv array with a .json sidecar"
)
Reader = Callable[[Path, str | None, str | None], EcgRecord]


def read_record(
    path: Path | str, record_id: str | None = None, patient_id: str | None = None
) -> EcgRecord:
    """Read a recording.

    Formats: a WFDB record (header path with or without ``.hea``, or its signal file; so also the
    PhysioNet challenge's ``.mat``), a ``.mat`` of fairseq-signals, a row of a CODE-15% part
    (``exams_part0.hdf5:ROW``), MUSE XML, CardioSoft XML and DICOM ECG (needs pydicom), each with
    its median beat as ``FILE:median``, and arrays in mV: ``.npy`` (L, T) or CSV (a column a lead)
    with a sidecar ``NAME.json`` {"leads": [...], "fs_hz": 500}.

    Raises:
        RecordError: no such file, an unknown format, or damaged content.
        MissingDependencyError: a DICOM file, and pydicom is not installed.
    """
    path = Path(path)
    if path.suffix != ".hea" and path.is_file():
        return _reader_of(path)(path, record_id, patient_id)
    if path.is_dir():
        raise RecordError(f"{path} is a folder; give one record, for instance its .hea file")
    file, row = hdf5_reader.split_address(path)
    if row is not None:
        return hdf5_reader.read_code15(file, row, record_id, patient_id)
    file, waveform = split_waveform(path)
    if waveform is not None:
        return _waveform_reader_of(file)(file, record_id, patient_id, waveform)
    return read_wfdb(path, record_id, patient_id)


def split_waveform(path: Path) -> tuple[Path, str | None]:
    """Return (file, waveform) of ``FILE:median``; the waveform is None when the name has none."""
    name, _, waveform = str(path).rpartition(":")
    if waveform in WAVEFORMS and os.path.isfile(name):
        return Path(name), waveform
    return path, None


def _reader_of(path: Path) -> Reader:
    """Return the reader for a file's content; RecordError when there is none."""
    start = _start_of(path)
    if start.startswith(_NPY_MAGIC):
        return read_npy
    if start.startswith(hdf5_reader.MAGIC):
        return _read_whole_hdf5
    if start.startswith(matlab5.MAGIC):
        return matlab5.read_fairseq_signals
    if dicom_reader.is_dicom(start):
        return dicom_reader.read_dicom
    if start.startswith(_MATLAB73_MAGIC):
        raise RecordError(f"{path} is a MATLAB 7.3 file; save it with -v7 (scipy.io.savemat does)")
    if _has_header(path):
        return read_wfdb
    if is_matlab4(start):
        raise no_header_error(path)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_XML_STARTS):
        return read_cardiosoft if root_name(start) == CARDIOSOFT_ROOT else read_muse
    if is_csv(start):
        return read_csv
    if path.suffix in _WFDB_SUFFIXES:
        return read_wfdb
    raise RecordError(f"{path} is of an unknown format; expected {FORMATS}")


def _waveform_reader_of(path: Path) -> Callable[[Path, str | None, str | None, str], EcgRecord]:
    """Return the reader of a format that keeps median beats beside recordings."""
    start = _start_of(path)
    if dicom_reader.is_dicom(start):
        return dicom_reader.read_dicom
    return read_cardiosoft if root_name(start) == CARDIOSOFT_ROOT else read_muse


def _has_header(path: Path) -> bool:
    """Say whether a WFDB header of this signal file stands beside it."""
    name = os.fspath(path)
    is_signal = path.suffix in _WFDB_SUFFIXES
    return os.path.isfile(f"{name}.hea") or (is_signal and os.path.isfile(f"{name[:-4]}.hea"))


def _start_of(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(SNIFF_BYTES)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_whole_hdf5(path: Path, record_id: str | None, patient_id: str | None) -> EcgRecord:
    return hdf5_reader.read_code15(path, None, record_id, patient_id)


def read_npy(path: Path, record_id: str | None = None, patient_id: str | None = None) -> EcgRecord:
    """Read a ``.npy`` array (L, T) in mV; leads and rate come from ``NAME.json`` beside it.

    Raises:
        RecordError: the sidecar or the array is missing, damaged or contradictory.
    """
    sidecar = read_sidecar(path)
    if sidecar.leads is None or sidecar.fs_hz is None:
        raise RecordError(
            f'{sidecar.path}: the sidecar must say {{"leads": ["I", "II", ...], "fs_hz": 500}}, '
            "the names of the array's rows and their rate"
        )
    signal = to_float32(open_array(path))
    if sidecar.unit_mv != 1.0:
        signal = signal * np.float32(sidecar.unit_mv)
    name = record_id or path.stem
    origin = Origin(name, patient_id or name, str(path))
    return named_record(signal, sidecar.leads, sidecar.fs_hz, origin)


def open_array(path: Path | str) -> np.ndarray:
    """Map a numeric ``.npy`` file; never unpickles.

    Raises:
        RecordError: it is missing, damaged or not numeric.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        # numpy raises almost every built-in exception on damaged headers.
        raise RecordError(f"{path} cannot be read as a numeric .npy array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise RecordError(f"{path}: expected an array of numbers in mV")
    return array


def parse_leads(text: str | None) -> tuple[str, ...]:
    """Return the leads named in a comma-separated list; the canonical twelve when none is given.

    Spelled canonically; an inverted lead is ``-aVR``.
    """
    return signed_leads(text.split(",")) if text else CANONICAL_LEADS
