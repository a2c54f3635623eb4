"""PTB Diagnostic ECG Database: 549 records of 290 patients, 15 leads at 1000 Hz.

    ecg-fairseq prepare ptb RAW_DIR --out DIR --recipe ecg_fm

In the database's own layout (patient001/s0010_re.hea) patients are known and labels are reasons for
admission. The challenge's copy (training/ptb) has SNOMED CT codes (--label-set) and no patient ids.
The twelve usual leads lie in .dat, Frank's three in .xyz; recipes choose leads by name.
Bousseljot et al. 1995, doi 10.13026/C28C71.
"""

import argparse
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


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return dataset_of_either_layout(arguments, OWN_LAYOUT, "ptb")


def _source(path: Path) -> SourceRecord:
    comments = header_comments(path)
    more = comment_value(comments, "Additional diagnoses")
    labels = {
        "diagnosis": comment_value(comments, "Reason for admission"),
        "infarction": comment_value(comments, "Acute infarction (localization)"),
        "former_infarction": comment_value(comments, "Former infarction (localization)"),
        "additional": [part.strip() for part in more.split(",") if part.strip()],
    }
    return SourceRecord(
        record_id=path.stem,
        patient_id=path.parent.name,
        path=str(path.resolve().with_suffix("")),
        source=f"{path.parent.name}/{path.stem}",
        age=parse_age(comment_value(comments, "age")),
        sex=parse_sex(comment_value(comments, "sex")),
        labels_json=labels_text(labels),
    )


OWN_LAYOUT = HeaderLayout("ptb", "patient*/*.hea", "diagnosis", "the folders patientNNN", _source)
