"""All datasets by name: what ``ecg-fairseq prepare NAME`` and ``manifests/NAME.py`` know.

A dataset is a module of this folder with ``add_options``, ``make_dataset``, ``RAW_HELP`` and a
docstring for ``--help``, or an object with the same in one. It is imported when it is asked for.
"""

import difflib
import importlib
from collections.abc import Mapping
from typing import NamedTuple, cast

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.preparation.raw_dataset import DatasetModule


class DatasetEntry(NamedTuple):
    """Where a dataset is.

    Attributes:
        module: of this folder.
        summary: one line for lists.
        member: of the module, where that is not the dataset itself.
    """

    module: str
    summary: str
    member: str = ""


DATASETS: Mapping[str, DatasetEntry] = {
    "code_15": DatasetEntry("code_15", "CODE-15%: six diagnoses"),
    "cpsc_2018": DatasetEntry(
        "physionet_2021_sources", "CPSC 2018 as the PhysioNet challenge has it", "CPSC_2018"
    ),
    "cpsc_2018_extra": DatasetEntry(
        "physionet_2021_sources", "what CPSC 2018 did not publish", "CPSC_2018_EXTRA"
    ),
    "csn": DatasetEntry("physionet_2021_sources", "Chapman-Shaoxing and Ningbo", "CSN_HOSPITALS"),
    "ecg_chat": DatasetEntry("ecg_chat", "ECG-Chat's conversations, on MIMIC-IV-ECG"),
    "ecg_qa": DatasetEntry("ecg_qa", "ECG-QA's questions, on PTB-XL or MIMIC-IV-ECG"),
    "georgia": DatasetEntry(
        "physionet_2021_sources", "Georgia 12-lead ECG challenge database", "GEORGIA"
    ),
    "heartllm": DatasetEntry("heartllm", "HeartLLM's questions and reports, on the same two"),
    "incart": DatasetEntry("incart", "St Petersburg INCART database: half-hour records"),
    "ludb": DatasetEntry("ludb", "LUDB: rhythm, axis and diagnoses"),
    "mimic_iv_ecg": DatasetEntry("mimic_iv_ecg", "MIMIC-IV-ECG: machine reports, measurements"),
    "own_data": DatasetEntry("own_data", "your own array or folder of records, and CSV tables"),
    "physionet_2021": DatasetEntry("physionet_2021", "PhysioNet/CinC Challenge 2021, all sources"),
    "ptb": DatasetEntry("ptb", "PTB Diagnostic ECG Database"),
    "ptb_xl": DatasetEntry("ptb_xl", "PTB-XL: published folds, SCP labels, reports"),
    "ptb_xl_plus": DatasetEntry("ptb_xl_plus", "PTB-XL+: median beats and features of PTB-XL"),
    "uk_biobank": DatasetEntry("uk_biobank", "UK Biobank's resting ECGs (CardioSoft XML)"),
}


def dataset_module(name: str) -> DatasetModule:
    """Return a dataset by name.

    Raises:
        ManifestError: there is none of that name; the nearest are named.
    """
    entry = DATASETS.get(name)
    if entry is None:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), DATASETS, 3)
        known = f"there are {', '.join(DATASETS)}"
        advice = f"did you mean {' or '.join(near)}?" if near else known
        raise ManifestError(f"no dataset {name[:60]!r}; {advice}")
    module = importlib.import_module(f"ecg_fairseq.records.datasets.{entry.module}")
    return cast(DatasetModule, getattr(module, entry.member) if entry.member else module)
