"""Single sources of the PhysioNet/CinC Challenge 2021 as datasets of their own."""

import argparse

from ecg_fairseq.records.datasets.physionet_2021 import (
    add_challenge_options,
    challenge_choice,
    challenge_dataset,
)
from ecg_fairseq.records.datasets.physionet_2021_files import CSN
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


class ChallengeSource:
    """A dataset (see ``DatasetModule``) of one source, or of two that are published as one.

    Args:
        description: text of ``--help``.
        name: of the dataset; the source has it, too, unless ``sources`` are given.
        raw_help: what RAW_DIR is.
        label_set: default of ``--label-set``.
        sources: the challenge's names.
    """

    def __init__(
        self,
        description: str,
        name: str,
        raw_help: str = "the challenge's training/, or the source's own folder",
        label_set: str = "challenge_2021",
        sources: tuple[str, ...] = (),
    ):
        self.__doc__ = description
        self.RAW_HELP = raw_help
        self._name = name
        self._label_set = label_set
        self._sources = sources or (name,)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options of every source."""
        add_challenge_options(parser, self._label_set)

    def make_dataset(self, arguments: argparse.Namespace) -> RawDataset:
        """Return the dataset the arguments ask for."""
        choice = challenge_choice(arguments, self._name, self._sources)
        return challenge_dataset(arguments.raw_dir, choice)


CPSC_2018 = ChallengeSource(
    """CPSC 2018 as the challenge has it: 6,877 records of 6 to 60 s.

    ecg-fairseq prepare cpsc_2018 RAW_DIR --out DIR --recipe ecg_fm

Labels are SNOMED CT codes; the default label set is CPSC's own nine classes, and
--label-set challenge_2021 gives the 26 of the challenge.
""",
    "cpsc_2018",
    label_set="cpsc_2018",
)
CPSC_2018_EXTRA = ChallengeSource(
    """The 3,453 records that CPSC 2018 did not publish; labels are SNOMED CT codes.

    ecg-fairseq prepare cpsc_2018_extra RAW_DIR --out DIR --recipe ecg_fm
""",
    "cpsc_2018_extra",
)
CSN_HOSPITALS = ChallengeSource(
    """CSN, Chapman-Shaoxing and Ningbo: 45,152 records; labels are SNOMED CT codes.

    ecg-fairseq prepare csn RAW_DIR --out DIR --recipe ecg_fm

RAW_DIR may also be PhysioNet's ecg-arrhythmia (WFDBRecords/), where a record's number tells which
hospital it is from.
""",
    "csn",
    raw_help="the challenge's training/, or ecg-arrhythmia's folder",
    sources=CSN,
)
GEORGIA = ChallengeSource(
    """Georgia 12-lead ECG challenge database: 10,344 records; labels are SNOMED CT codes.

    ecg-fairseq prepare georgia RAW_DIR --out DIR --recipe ecg_fm
""",
    "georgia",
)
