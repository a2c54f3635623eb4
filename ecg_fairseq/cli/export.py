"""``ecg-fairseq export``: a checkpoint in Hugging Face layout."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--checkpoint", required=True, help="checkpoint file of a trained system")
    parser.add_argument("--out", required=True, help="new folder")
    parser.add_argument(
        "--merge", action="store_true", help="one full model instead of an adapter over its base"
    )
    parser.add_argument("--results", help="results.json of a scored run, for the model card")


def run(arguments: argparse.Namespace) -> int:
    """Export and print the folder."""
    from ecg_fairseq.errors import EcgError
    from ecg_fairseq.files import read_json
    from ecg_fairseq.networks.language_model.export import check_is_free, export_system
    from ecg_fairseq.networks.trained import open_trained

    results = None
    if arguments.results:
        results = read_json(arguments.results, EcgError, "results file")
        if not isinstance(results, dict):
            raise EcgError(f"{arguments.results} holds no figures by name; give a results.json")
    check_is_free(arguments.out)
    system = open_trained(arguments.checkpoint).require("answer")
    print(export_system(system, arguments.out, arguments.merge, results))
    return 0
