"""Damage to files, and the measure of a reader that meets it."""

import json
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.record import EcgRecord

NUM_FILES = 2000
_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def mutated(content: bytes, generator: np.random.Generator, tokens: Sequence[bytes] = ()) -> bytes:
    """Return ``content`` with one to three faults: bytes, numbers, tokens, holes, a cut, a copy.

    Half of the faults fall into the first 400 bytes, where most formats state their sizes.
    """
    data = bytearray(content)
    for _ in range(generator.integers(1, 4)):
        reach = min(len(data), 400) if generator.random() < 0.5 else len(data)
        place = int(generator.integers(reach + 1))
        kind = generator.integers(6 if tokens else 5)
        if kind == 0:
            data[place : place + 1] = bytes([generator.integers(256)])
        elif kind == 1:
            number = _NUMBERS[generator.integers(len(_NUMBERS))]
            data[place : place + 4] = number.to_bytes(4, "little")
        elif kind == 2:
            del data[place : place + int(generator.integers(1, 40))]
        elif kind == 3:
            data = data[:place]
        elif kind == 4:
            start = int(generator.integers(len(data) + 1))
            data[place:place] = data[start : start + int(generator.integers(1, 200))]
        else:
            data[place : place + int(generator.integers(9))] = tokens[
                generator.integers(len(tokens))
            ]
    return bytes(data)


def check_reader(
    path: Path,
    generator: np.random.Generator,
    tokens: Sequence[bytes] = (),
    address: Callable[[Path], str] = str,
    num_files: int = NUM_FILES,
) -> None:
    """Read mutated copies of the sound file ``path``: our error or a record, quickly and small."""
    sound = path.read_bytes()
    read_record(address(path))
    num_read, slowest = 0, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(num_files):
        path.write_bytes(mutated(sound, generator, tokens))
        start = time.monotonic()
        num_read += is_read(address(path))
        slowest = max(slowest, time.monotonic() - start)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"read": num_read, "slowest_s": round(slowest, 3), "grown_mb": grown_mb}))
    assert slowest < 2.0
    assert grown_mb < 64 + 10 * len(sound) / 2**20
    assert 0 < num_read < num_files


def is_read(address: str) -> bool:
    """Return whether a record came back; any error but ours fails the test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = read_record(address)
    except RecordError:
        return False
    assert isinstance(record, EcgRecord)
    assert record.signal.dtype == np.float32
    assert record.signal.shape[0] == len(record.leads) == len(set(record.leads))
    return True
