"""The command line that the scripts of the challenge's sources share."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.physionet_2021 import ChallengeChoice, challenge_dataset
from ecg_fairseq.records.labels.snomed_codes import LABEL_SETS
from ecg_fairseq.records.preparation.command_line import manifest_parser
from ecg_fairseq.records.preparation.raw_dataset import RawDataset

_LABEL_SET = "challenge_2021"
# Called with the folder, the share of the patients to keep, and the seed.
OwnDataset = Callable[[Path, float, int], RawDataset]


def challenge_parser(
    description: str | None, raw_help: str, label_set: str = _LABEL_SET
) -> argparse.ArgumentParser:
    """Return a parser with the options of every source; ``label_set`` is the default."""
    parser = manifest_parser(description, raw_help)
    parser.add_argument("--split", choices=("patient",), default="patient", help="split rule")
    parser.add_argument(
        "--label-set",
        choices=LABEL_SETS,
        default=label_set,
        help="columns of labels/y.npy: the 26 scored classes, their 30 codes, CPSC's nine classes, "
        f"or every code that occurs (default {label_set})",
    )
    parser.add_argument(
        "--drop-flat-leads",
        action="store_true",
        help="leave out records with a constant lead, as fairseq-signals recommends (reads every "
        "signal once more)",
    )
    return parser


def add_ptb_xl_option(parser: argparse.ArgumentParser) -> None:
    """Declare ``--ptb-xl`` for scripts whose records may be PTB-XL's."""
    parser.add_argument(
        "--ptb-xl",
        type=Path,
        help="PTB-XL's own folder: HR records get its patients and published folds, so that "
        "nothing is trained on that PTB-XL tests on",
    )


def refuse_challenge_options(arguments: argparse.Namespace) -> None:
    """Refuse options that only the challenge's copy of a database knows; ManifestError."""
    if arguments.drop_flat_leads or arguments.label_set != _LABEL_SET:
        raise ManifestError(
            f"{arguments.raw_dir} is the database in its own layout; --label-set and "
            "--drop-flat-leads are for the challenge's copy of it: leave them out"
        )


def choice_from(
    arguments: argparse.Namespace, dataset: str, sources: tuple[str, ...]
) -> ChallengeChoice:
    """Return what the arguments ask for."""
    return ChallengeChoice(
        dataset=dataset,
        sources=sources,
        label_set=arguments.label_set,
        ptb_xl=getattr(arguments, "ptb_xl", None),
        drops_flat_leads=arguments.drop_flat_leads,
        fraction=arguments.fraction,
        seed=arguments.seed,
    )


def dataset_of_either_layout(
    arguments: argparse.Namespace,
    dataset: str,
    source: str,
    is_own_layout: Callable[[Path], bool],
    own_dataset: OwnDataset,
) -> RawDataset:
    """Return a database's records, in its own layout or as the challenge's copy of it.

    Args:
        arguments: of :func:`challenge_parser`.
        dataset: name for the manifest.
        source: the challenge's name of the database.
        is_own_layout: whether a folder is the database's own.
        own_dataset: reads the database's own layout.

    Raises:
        ManifestError: the folder is neither, or options are given that only the copy knows.
    """
    if is_own_layout(arguments.raw_dir):
        refuse_challenge_options(arguments)
        return own_dataset(arguments.raw_dir, arguments.fraction, arguments.seed)
    return challenge_dataset(arguments.raw_dir, choice_from(arguments, dataset, (source,)))
