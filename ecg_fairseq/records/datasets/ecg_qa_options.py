"""Options of manifests/ecg_qa.py that say which questions to take."""

import argparse

from ecg_fairseq.records.datasets.ecg_qa_files import (
    SINGLE_TYPES,
    SPLIT_RULES,
    STYLE_CHOICES,
    EcgQaChoice,
    parse_question_types,
)


def add_question_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that :func:`choice_from` reads."""
    parser.add_argument("--style", choices=STYLE_CHOICES, default="template", help="wording")
    parser.add_argument(
        "--question-types", default=",".join(SINGLE_TYPES), help="comma-separated, or all"
    )
    parser.add_argument(
        "--split",
        choices=SPLIT_RULES,
        default="ecg-qa",
        help="whose sides count; ptb-xl keeps only questions whose ECGs are on their own side",
    )
    parser.add_argument("--label-questions", action="store_true", help="add label-built questions")
    parser.add_argument(
        "--label-questions-for", default="train,valid,test", help="sides that get them"
    )


def choice_from(arguments: argparse.Namespace) -> EcgQaChoice:
    """Return the questions that parsed arguments ask for."""
    wanted = arguments.label_questions_for if arguments.label_questions else ""
    return EcgQaChoice(
        arguments.style,
        parse_question_types(arguments.question_types),
        arguments.split,
        tuple(filter(None, wanted.split(","))),
        arguments.fraction,
        arguments.seed,
    )
