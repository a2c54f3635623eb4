"""Mutated WFDB records: one of our errors or a finite-shaped record, never a crash or a hang."""

import resource
import time
import warnings

import numpy as np
import pytest
import wfdb

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.wfdb_record import read_wfdb
from ecg_fairseq.records.record import EcgRecord

NUM_FILES = 2000
TOKENS = [
    *(b"-1", b"0", b"99999999999999999999", b"1e999", b"nan", b"../../x", b"/", b"~", b"#"),
    *(b" ", b"\t", b"\n", b"\r", b"\x00", b"\xff\xfe", b"x2", b":7", b"+24", b"(5)", b"/V", b"212"),
    *(b"16", b"80", b"516", b"8", b"61", b"310", b"1/2", b"a.hea", b"a.dat", b"II", b"%s" * 50),
]


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    data = bytearray(content)
    for _ in range(generator.integers(1, 4)):
        kind = generator.integers(5)
        place = int(generator.integers(len(data) + 1))
        if kind == 0:
            data[place : place + 1] = bytes([generator.integers(256)])
        elif kind == 1:
            token = TOKENS[generator.integers(len(TOKENS))]
            data[place : place + int(generator.integers(3))] = token
        elif kind == 2:
            del data[place : place + int(generator.integers(1, 40))]
        elif kind == 3:
            data = data[:place]
        else:
            words = bytes(data).split(b" ")
            words[generator.integers(len(words))] = TOKENS[generator.integers(len(TOKENS))]
            data = bytearray(b" ".join(words))
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["16", "212", "80"])
def test_mutated_records_give_an_error_or_a_record(tmp_path, kind):
    generator = np.random.default_rng(int(kind))
    wfdb.wrsamp(
        "a",
        fs=360,
        units=["mV"] * 3,
        sig_name=["I", "II", "V1"],
        d_signal=generator.integers(-100, 100, (400, 3)),
        fmt=[kind] * 3,
        adc_gain=[200.0] * 3,
        baseline=[0] * 3,
        write_dir=str(tmp_path),
    )
    header, data = (tmp_path / "a.hea").read_bytes(), (tmp_path / "a.dat").read_bytes()
    num_read = slowest = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(NUM_FILES):
        (tmp_path / "a.hea").write_bytes(mutated(header, generator))
        (tmp_path / "a.dat").write_bytes(mutated(data, generator) if number % 4 == 0 else data)
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                record = read_wfdb(tmp_path / "a")
            assert isinstance(record, EcgRecord)
            assert record.signal.dtype == np.float32
            assert record.signal.shape[0] == len(record.leads)
            num_read += 1
        except RecordError:
            pass
        slowest = max(slowest, time.monotonic() - start)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert slowest < 2.0
    assert grown_mb < 64
    assert 0 < num_read < NUM_FILES
