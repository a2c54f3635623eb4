"""Parts of WFDB headers as the datasets write them, and files that appear whole or not at all."""

import os
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import EcgError


def signal_line(
    file: str, form: str, gain: str, steps: np.ndarray, lead: str, resolution: int = 16
) -> str:
    """Return the line of one signal: ``A0001.mat 16+24 1000/mV 16 0 -1 -1 0 I``.

    Args:
        form: format with byte offset, such as ``16+24``.
        gain: gain with baseline and unit, such as ``1716(6)/mV``.
        steps: (T,) int16.
    """
    total = int(steps.sum(dtype=np.int64)) & 0xFFFF
    checksum = total - 0x10000 if total > 0x7FFF else total  # signed, as the datasets have it
    return f"{file} {form} {gain} {resolution} 0 {int(steps[0])} {checksum} 0 {lead}"


def scaled_steps(signal: np.ndarray, gains: np.ndarray, baselines: np.ndarray) -> np.ndarray:
    """Return int16 (L, T) of a signal (L, T) in mV; gains and baselines are (L,)."""
    steps = np.rint(signal * gains[:, None] + baselines[:, None])
    return np.clip(steps, -32767, 32767).astype(np.int16)


def interleaved(steps: np.ndarray) -> bytes:
    """Return WFDB format 16: little-endian int16, sample by sample over the leads."""
    return np.ascontiguousarray(steps.T, dtype="<i2").tobytes()


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file through a temporary name; a text gets Unix line ends.

    No fsync: thousands of files, which a second run writes again.

    Raises:
        EcgError: the disk is full or the folder cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EcgError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "folder, then run the same command again"
        ) from error
