"""Entry point of ``ecg-fairseq VERB``.

A verb is a module with ``add_arguments(parser)`` and ``run(arguments) -> int``. Modules are
imported when their verb is typed, so ``doctor`` works where torch or fairseq are missing.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from ecg_fairseq import __version__
from ecg_fairseq.terminal import run_explained

# verb -> (module, one line of help)
VERBS = {
    "doctor": ("doctor", "versions, what is missing, and what to type"),
    "user-dir": ("user_dir", "print the folder to give to fairseq's --user-dir"),
    "simulate": ("simulate", "write a simulated cohort in PTB-XL's and ECG-QA's layout"),
    "prepare": ("prepare", "write a manifest of a public dataset or of your own recordings"),
    "tokenizer": ("tokenizer", "train, import, export, register and use ECG tokenizers"),
    "describe": ("describe", "list every field of a registered task, model or criterion"),
    "recipe": ("recipe", "explain a preprocessing recipe, on a record if given"),
    "inspect": ("inspect", "counts, splits and leakage check of a manifest"),
    "merge": ("merge", "parts written with --shard i/n to one manifest"),
    "convert": ("convert", "read or write checkpoints of other projects"),
    "export": ("export", "write a checkpoint in Hugging Face layout with a model card"),
    "predict": ("predict", "answer a question about one recording, or score its labels"),
    "embed": ("embed", "write embeddings of a manifest's recordings or segments"),
    "probe": ("probe", "fit linear classifiers on embeddings, beside a random encoder"),
    "score": ("score", "score fairseq-generate's answers, with floors and intervals"),
    "label": ("label", "labels from written reports, by rules"),
    "plot": ("plot", "draw a recording on ECG paper"),
}


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """Return the parser; only the module of ``verb`` is imported."""
    parser = argparse.ArgumentParser(prog="ecg-fairseq", description="ECG language modelling.")
    parser.add_argument("--version", action="version", version=f"ecg-fairseq {__version__}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (module, summary) in VERBS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        subparser.add_argument("--debug", action="store_true", help="show tracebacks")
        if name == verb:
            importlib.import_module(f"ecg_fairseq.cli.{module}").add_arguments(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 on success, 1 on a failure that is explained, 2 on bad usage, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in words if not word.startswith("-")), None)
    program = f"ecg-fairseq {verb}" if verb in VERBS else "ecg-fairseq"

    def run() -> int:
        arguments = build_parser(verb).parse_args(words)
        module = importlib.import_module(f"ecg_fairseq.cli.{VERBS[arguments.verb][0]}")
        return int(module.run(arguments) or 0)

    return run_explained(program, run, is_debug="--debug" in words)


if __name__ == "__main__":
    sys.exit(main())
