"""Mutated headers as whole datasets: the scripts' scans meet 2,000 of them at once."""

import time
from pathlib import Path

import numpy as np
import pytest
from mutation import NUM_FILES, mutated

from ecg_fairseq.records.datasets.incart import OWN_LAYOUT as INCART_LAYOUT
from ecg_fairseq.records.datasets.ludb import ludb_dataset
from ecg_fairseq.records.datasets.physionet_2021 import ChallengeChoice, challenge_dataset
from ecg_fairseq.records.datasets.ptb import OWN_LAYOUT as PTB_LAYOUT
from ecg_fairseq.records.preparation.raw_dataset import RawDataset

TOKENS = (
    b"#Dx: ",
    b"#<age>: ",
    b"<sex>",
    b"164889003,",
    b"NaN",
    b"\xff\xfe",
    b"# patient 99999999",
    b"\n",
)
CHALLENGE = (
    b"E1 12 500 5000 05-May-2020 14:50:55\nE1.mat 16+24 1000/mV 16 0 0 15270 0 I\n"
    b"#Age: 83\n#Sex: Female\n#Dx: 59118001,164889003\n#Rx: Unknown\n"
)
LUDB = b"1 12 500 5000\n#<age>: 51\n#<sex>: F\n#<diagnoses>:\n#Rhythm: Sinus rhythm.\n#Ischemia.\n"
INCART = b"I01 12 257 462600\n#<age>: 65 <sex>: F <diagnoses> A, B\n# patient 1\n# PVCs, noise\n"
PTB = b"s1 15 1000 38400\n# age: 81\n# sex: female\n# Reason for admission: Myocarditis\n"


def challenge(folder: Path) -> RawDataset:
    return challenge_dataset(folder, ChallengeChoice(sources=("georgia",), label_set="all"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sound", "pattern", "make"),
    [
        (CHALLENGE, "g1/E{:05d}.hea", challenge),
        (LUDB, "data/{}.hea", ludb_dataset),
        (INCART, "I{:02d}.hea", INCART_LAYOUT.dataset),
        (PTB, "patient{0:04d}/s{0}.hea", PTB_LAYOUT.dataset),
    ],
    ids=["challenge", "ludb", "incart", "ptb"],
)
def test_mutated_headers_never_end_a_scan(tmp_path, sound, pattern, make):
    generator = np.random.default_rng(11)
    per_round = (
        100 if make == INCART_LAYOUT.dataset else NUM_FILES
    )  # INCART's names have two digits
    for _ in range(NUM_FILES // per_round):
        for number in range(per_round):
            path = tmp_path / pattern.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mutated(sound, generator, TOKENS))
        start = time.monotonic()
        cohort = make(tmp_path)
        cohort.check()
        assert len(cohort.sources) == per_round
        assert time.monotonic() - start < 2 * per_round / 100
        assert all(source.age is None or 0 <= source.age < 1e300 for source in cohort.sources)
        assert all(source.sex in ("", "male", "female") for source in cohort.sources)
