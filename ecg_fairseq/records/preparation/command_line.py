"""The command line that all datasets share, of ``prepare NAME`` and of ``manifests/NAME.py``."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.progress import MODES
from ecg_fairseq.records.manifest.store import DTYPES
from ecg_fairseq.records.preparation.folder import write_command
from ecg_fairseq.records.preparation.options import PrepareOptions
from ecg_fairseq.records.preparation.percentiles import PERCENTILE_RULES
from ecg_fairseq.records.preparation.prepare import estimate, prepare, summary_line
from ecg_fairseq.records.preparation.raw_dataset import (
    DatasetModule,
    RawDataset,
    is_simulated,
    with_label_table,
)
from ecg_fairseq.records.preparation.report_labels import with_report_labels
from ecg_fairseq.records.preparation.report_questions import with_report_questions
from ecg_fairseq.records.questions.sample import parse_limits
from ecg_fairseq.records.reports.labeler import open_labeler
from ecg_fairseq.signal.recipes import RECIPE_NAMES, get_recipe
from ecg_fairseq.terminal import run_explained

_NO_LABELS = "none"  # of --label-set: nothing that could be lost


def preparation_parser(
    dataset: DatasetModule, program: str | None = None
) -> argparse.ArgumentParser:
    """Return the parser of a dataset: the options that all datasets have, then its own.

    Args:
        dataset: its docstring is the text of ``--help``.
        program: how the command is called; default the running script.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=(dataset.__doc__ or "").replace("``", ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    raw_help = dataset.RAW_HELP.replace("%", "%%")  # argparse fills in %(default)s and so on
    parser.add_argument("raw_dir", metavar="RAW_DIR", type=Path, help=raw_help)
    _add_shared_options(parser)
    dataset.add_options(parser)
    label_set = parser.get_default("label_set")
    if label_set is not None:
        parser.set_defaults(label_set=_Unasked(label_set))
    return parser


class _Unasked(str):
    """The default of ``--label-set``, to be told from the same name given by the user."""


def _add_shared_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="manifest folder to write")
    parser.add_argument("--recipe", required=True, help=f"one of {', '.join(RECIPE_NAMES)}")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of splits and questions")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="values in the store")
    parser.add_argument(
        "--shard", type=_shard, metavar="i/n", help="write only part i of n (0/n to (n-1)/n)"
    )
    parser.add_argument(
        "--fraction", type=float, default=1.0, help="share of the patients to use (default 1)"
    )
    parser.add_argument(
        "--max-skip-fraction",
        type=float,
        default=0.1,
        help="stop when more records than this share are unusable (default 0.1)",
    )
    parser.add_argument(
        "--percentile-rule",
        choices=PERCENTILE_RULES,
        default="exact",
        help="first-four-windows is ECG-Byte's published rule",
    )
    _add_content_options(parser)
    parser.add_argument(
        "--accept-amplitude",
        action="store_true",
        help="use recordings whose amplitude, flat leads or gaps no ECG in mV has; default: skip "
        "them, with the likely unit as the reason",
    )
    parser.add_argument("--dry-run", action="store_true", help="estimate time and disk, write none")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another manifest in --out"
    )
    parser.add_argument("--progress", choices=MODES, default="auto", help="how to show progress")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_content_options(parser: argparse.ArgumentParser) -> None:
    """Add what changes labels and questions, whatever the dataset."""
    parser.add_argument(
        "--max-questions",
        metavar="SIDE=N,...",
        default="",
        help="ask at most N questions of a side, a seeded sample: valid=500,test=1500",
    )
    parser.add_argument(
        "--label-table",
        type=Path,
        metavar="CSV",
        help="labels in place of the dataset's own: column record_id (or as the dataset calls it), "
        "and one column of 0 and 1 for each label",
    )
    parser.add_argument(
        "--labels-from-reports",
        action="store_true",
        help="labels in place of the dataset's own: what the labeler reads in the reports",
    )
    parser.add_argument(
        "--labeler-tables",
        type=Path,
        metavar="DIR",
        help="tables of the labeler, in ECG-FM's layout (default: the package's own)",
    )
    parser.add_argument(
        "--report-questions",
        action="store_true",
        help="also ask each recording that has a written report for it (question type report)",
    )


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"{text!r}; expected i/n with 0 <= i < n")
    return int(index), int(count)


def _check_fraction(fraction: float) -> None:
    """Refuse a share of patients that is none, or no number; ManifestError."""
    if not 0 < fraction <= 1:
        raise ManifestError(
            f"--fraction {fraction:g}; expected a share above 0 and at most 1, as 0.1 for a tenth "
            "of the patients"
        )


def options_from(arguments: argparse.Namespace) -> PrepareOptions:
    """Return the preparation's options from parsed arguments."""
    return PrepareOptions(
        out=arguments.out,
        recipe=get_recipe(arguments.recipe),
        workers=arguments.workers,
        seed=arguments.seed,
        dtype=arguments.dtype,
        shard=arguments.shard,
        max_skip_fraction=arguments.max_skip_fraction,
        percentile_rule=arguments.percentile_rule,
        progress=arguments.progress,
        overwrite=arguments.overwrite,
        accept_amplitude=arguments.accept_amplitude,
        max_questions=parse_limits(arguments.max_questions),
    )


def dataset_from(arguments: argparse.Namespace, dataset: DatasetModule) -> RawDataset:
    """Return the dataset that arguments ask for, with the options that all datasets share applied.

    Raises:
        ManifestError: the raw data or the label table are missing or damaged, or options clash.
        LabelerError: the labeler's tables are missing or damaged.
    """
    _check_fraction(arguments.fraction)
    raw_dataset = dataset.make_dataset(arguments)
    if is_simulated(arguments.raw_dir):
        raw_dataset = replace(raw_dataset, notes={**raw_dataset.notes, "simulated": True})
    if arguments.label_table:
        raw_dataset = with_label_table(raw_dataset, arguments.label_table)
    if arguments.labels_from_reports:
        if arguments.label_table:
            raise ManifestError(
                "--label-table and --labels-from-reports are two sources of the same labels; "
                "choose one"
            )
        _refuse_label_set(arguments)
        raw_dataset = with_report_labels(raw_dataset, open_labeler(arguments.labeler_tables))
    elif arguments.labeler_tables:
        raise ManifestError("--labeler-tables is for --labels-from-reports; give both, or none")
    if arguments.report_questions:
        raw_dataset = with_report_questions(raw_dataset)
    return raw_dataset


def _refuse_label_set(arguments: argparse.Namespace) -> None:
    """Refuse labels of the dataset that were asked for and would be replaced; ManifestError."""
    label_set = getattr(arguments, "label_set", None)
    if label_set not in (None, _NO_LABELS) and not isinstance(label_set, _Unasked):
        raise ManifestError(
            f"--label-set {label_set} and --labels-from-reports are two sources of the same "
            "labels; choose one"
        )


def run_preparation(
    name: str, dataset: DatasetModule, argv: Sequence[str], program: str | None = None
) -> int:
    """Parse, prepare, and print the summary as JSON on the last line of stdout.

    Args:
        name: of the dataset; ``ecg-fairseq merge`` finds it again by this name.
        dataset: its options and what makes it.
        argv: words behind the name.
        program: how the command is called, for messages; default the running script.

    Returns:
        0 on success, 1 on a failure that is explained on stderr, 130 after Ctrl-C; bad usage exits
        with 2.
    """
    parser = preparation_parser(dataset, program)

    def run() -> int:
        arguments = parser.parse_args(argv)
        options = options_from(arguments)
        options.check()
        raw_dataset = dataset_from(arguments, dataset)
        if arguments.dry_run:
            print(json.dumps(estimate(raw_dataset, options)))
            return 0
        summary = prepare(raw_dataset, options)
        if options.shard:
            write_command(options.out, name, argv)
        print(summary_line(summary))
        return 0

    return run_explained(parser.prog, run, is_debug="--debug" in argv)
