"""St Petersburg INCART database: 75 half-hour records of 32 patients at 257 Hz.

    ecg-fairseq prepare incart RAW_DIR --out DIR --recipe ecg_fm

In the database's own layout (I01.hea to I75.hea) patients are known and labels are the findings of
the comments. The challenge's copy (training/st_petersburg_incart) has SNOMED CT codes (--label-set)
and no patient ids. A record becomes many segments. Beat marks are not read. Tihonenko et al., doi
10.13026/C2V88N.
"""

import argparse
import re
from pathlib import Path

from ecg_fairseq.records.datasets.header_layout import HeaderLayout, header_comments
from ecg_fairseq.records.datasets.physionet_2021 import add_challenge_options as add_options
from ecg_fairseq.records.datasets.physionet_2021 import dataset_of_either_layout
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.readers.wfdb_comments import (
    comment_value,
    parse_age,
    parse_sex,
)
from ecg_fairseq.records.source_record import SourceRecord, labels_text

__all__ = ["OWN_LAYOUT", "RAW_HELP", "add_options", "make_dataset"]

RAW_HELP = "the database's own folder, or the challenge's training/"
_PATIENT = re.compile(r"patient\s+(\d{1,6})", re.IGNORECASE)


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return dataset_of_either_layout(arguments, OWN_LAYOUT, "st_petersburg_incart")


def _source(path: Path) -> SourceRecord:
    comments = header_comments(path)
    patients = [match[1] for match in map(_PATIENT.fullmatch, comments) if match]
    free = [line for line in comments if line and "<" not in line and not _PATIENT.fullmatch(line)]
    labels = {
        "diagnoses": _parts(comment_value(comments, "diagnoses")),
        "findings": _parts(",".join(free)),
    }
    return SourceRecord(
        record_id=path.stem,
        patient_id=f"patient{int(patients[0]):02d}" if patients else path.stem,
        path=str(path.resolve().with_suffix("")),
        source=path.stem,
        age=parse_age(comment_value(comments, "age")),
        sex=parse_sex(comment_value(comments, "sex")),
        labels_json=labels_text(labels),
    )


def _parts(text: str) -> list[str]:
    parts = (part.strip() for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


OWN_LAYOUT = HeaderLayout(
    "incart", "I[0-9][0-9].hea", "findings", "the comments `patient N`", _source
)
