"""PhysioNet-challenge records: ``.hea`` beside a MATLAB 4 ``.mat`` whose 24-byte head WFDB skips.

The samples are read by the WFDB path; here the head is compared with the WFDB header, and one
known fault of an early release is put right. Format: MathWorks, "MAT-File Level 4".
"""

import re
import struct
import warnings
from dataclasses import replace
from pathlib import Path

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.wfdb_header import Header

HEAD_BYTES = 24
_INT16_TYPE = 30  # little-endian, numeric, int16, full matrix
_HEAD = struct.Struct("<5I4s")
_NAME = b"val\0"
_EARLY_NAME = re.compile(r"HR\d{5}\.mat", re.ASCII)
_EARLY_GAIN, _TRUE_GAIN = 200.0, 1000.0
_EARLY_WARNING = (
    "PTB-XL records of the PhysioNet challenge (HRnnnnn) with 200 steps per mV: an early release "
    "had this wrong, they are read with 1000; download the corrected headers"
)


def is_matlab4(start: bytes) -> bool:
    """Say whether a file begins like a challenge ``.mat``: matrix ``val`` of a MATLAB 4 file."""
    return (
        len(start) >= HEAD_BYTES
        and start[20:HEAD_BYTES] == _NAME
        and start[16:20]
        in (
            b"\4\0\0\0",
            b"\0\0\0\4",
        )
    )


def check_head(start: bytes, header: Header, target: str) -> None:
    """Compare a MATLAB 4 head with the WFDB header; a head of another kind is none of it.

    Args:
        start: the first 24 bytes of the signal file.
        target: the signal file's path, for the message.

    Raises:
        RecordError: type or sizes differ.
    """
    if not is_matlab4(start):
        return
    kind, rows, columns, is_complex, _, _ = _HEAD.unpack(start[:HEAD_BYTES])
    wanted = (_INT16_TYPE, len(header.signals), header.num_samples, 0)
    if (kind, rows, columns, is_complex) != wanted:
        raise RecordError(
            f"{target}: its MATLAB head says type {kind}, {rows} leads of {columns} samples, its "
            f"WFDB header type {wanted[0]}, {wanted[1]} leads of {wanted[2]}; copy both again"
        )


def correct_gain(header: Header) -> Header:
    """Return the header with the true gain where it is one of the early PTB-XL headers.

    All twelve leads at exactly 200 steps per mV in a file ``HRnnnnn.mat`` with a 24-byte head: that
    combination occurs in no correct release. A warning is given once.
    """
    if len(header.signals) != 12 or not all(
        line.gain == _EARLY_GAIN
        and line.unit.lower() == "mv"
        and line.offset == HEAD_BYTES
        and _EARLY_NAME.fullmatch(line.file)
        for line in header.signals
    ):
        return header
    warnings.warn(_EARLY_WARNING, UserWarning, stacklevel=2)
    signals = tuple(line._replace(gain=_TRUE_GAIN) for line in header.signals)
    return replace(header, signals=signals)


def no_header_error(path: Path) -> RecordError:
    """Return the error for a challenge ``.mat`` that stands alone."""
    return RecordError(
        f"{path} is a MATLAB 4 matrix without leads, rate and gain; put its WFDB header "
        f"{path.stem}.hea beside it"
    )
