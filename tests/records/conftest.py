"""A small PTB-XL folder with ECG-QA questions, written fresh for each test that asks for it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.records.readers.wfdb_writer import write_wfdb_record

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
FOLDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 10)


def made_ecg(seed: int, samples: int = 5000, fs_hz: int = 500) -> np.ndarray:
    """Return int16 (12, samples) in uV: a train of narrow waves with noise, Einthoven's leads."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / fs_hz
    signal = rng.normal(0, 10, (12, samples))
    for beat in np.arange(0.4, samples / fs_hz, 0.8 + 0.1 * rng.random()):
        wave = np.exp(-(((time - beat) / 0.015) ** 2)) + 0.25 * np.exp(
            -(((time - beat - 0.28) / 0.05) ** 2)
        )
        signal += rng.uniform(400, 900, (12, 1)) * wave
    signal[2] = signal[1] - signal[0]
    return np.rint(signal).astype(np.int16)


class SmallPtbXl:
    """Twelve records of twelve patients in PTB-XL's layout; change rows, then ``write``."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.signals = {number: made_ecg(number) for number in range(1, 13)}
        self.rows = [
            {
                "ecg_id": str(number),
                "patient_id": f"{100 + number}.0",
                "age": "56.0",
                "sex": str(number % 2),
                "report": "sinus\trhythm\nnormal",
                "scp_codes": "{'NORM': 100.0, 'SR': 0.0}" if number % 3 else "{'IMI': 80.0}",
                "strat_fold": str(fold),
                "filename_lr": f"records100/00000/{number:05d}_lr",
                "filename_hr": f"records500/00000/{number:05d}_hr",
            }
            for number, fold in zip(self.signals, FOLDS, strict=True)
        ]

    def row(self, number: int) -> dict[str, str]:
        return self.rows[number - 1]

    def header(self, number: int) -> Path:
        return self.folder / f"records500/00000/{number:05d}_hr.hea"

    def write(self) -> Path:
        (self.folder / "records500/00000").mkdir(parents=True, exist_ok=True)
        for number, signal in self.signals.items():
            write_wfdb_record(self.header(number).with_suffix(""), signal, 500, LEADS)
        self.write_tables()
        return self.folder

    def write_tables(self) -> None:
        with open(self.folder / "ptbxl_database.csv", "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        (self.folder / "scp_statements.csv").write_text(
            ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
            "NORM,normal ECG,1.0,,,NORM,NORM\nIMI,inferior infarction,1.0,,,MI,IMI\n"
            "SR,sinus rhythm,,,1.0,,\n"
        )


@pytest.fixture
def ptb_xl(tmp_path: Path) -> SmallPtbXl:
    """A PTB-XL folder that is not written yet."""
    return SmallPtbXl(tmp_path / "ptb-xl")


@pytest.fixture
def write_ecg_qa(tmp_path: Path) -> Callable[[dict[str, list[dict]]], Path]:
    """Return a function that writes questions, split -> entries, in ECG-QA's layout."""

    def write(questions: dict[str, list[dict]]) -> Path:
        root = tmp_path / "ecg-qa" / "ecgqa" / "ptbxl"
        for split in ("train", "valid", "test"):
            folder = root / "template" / split
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "00000.json").write_text(json.dumps(questions.get(split, [])))
            ids = sorted({i for entry in questions.get(split, []) for i in entry["ecg_id"]})
            lines = [f"{row}\t{ecg_id}\n" for row, ecg_id in enumerate(ids)]
            (root / f"{split}_ecgs.tsv").write_text("".join(lines))
        (root / "answers_for_each_template.csv").write_text(
            "template_id,classes\n1,\"['no', 'not sure', 'yes']\"\n"
            "2,\"['no', 'yes']\"\n5,\"['none', 'lbbb', 'rbbb']\"\n"
        )
        return tmp_path / "ecg-qa"

    return write


def ecg_qa_entry(sample_id: int, ecg_ids: list[int], **changes: object) -> dict:
    """Return one question as ECG-QA writes it."""
    entry = {
        "template_id": 1,
        "question_id": 7,
        "sample_id": sample_id,
        "question_type": "single-verify",
        "attribute_type": "scp_code",
        "question": "Does this ECG show signs of infarction?",
        "answer": ["yes"],
        "ecg_id": ecg_ids,
        "attribute": ["infarction"],
    }
    return {**entry, **changes}


@pytest.fixture
def entry() -> Callable[..., dict]:
    """The maker of ECG-QA entries."""
    return ecg_qa_entry
