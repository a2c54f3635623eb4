"""``ecg-fairseq predict``: one recording in, one answer out."""

import argparse
import json
import math


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("record", nargs="+", help="recording, or two to compare, of any format")
    parser.add_argument("--checkpoint", required=True, help="checkpoint file of a trained system")
    parser.add_argument("--question", default="What is the rhythm of this ECG?", help="in words")
    parser.add_argument("--options", nargs="*", default=[], help="closed set of answers to score")
    parser.add_argument("--max-new-tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the answer, and the probabilities of the options if any were given."""
    from ecg_fairseq.networks.ecg_byte.answering import DecodingOptions
    from ecg_fairseq.networks.ecg_byte.trained_system import load_trained_system
    from ecg_fairseq.records.read import read_record

    records = [read_record(path) for path in arguments.record]
    system = load_trained_system(arguments.checkpoint)
    decoding = DecodingOptions(max_new_tokens=arguments.max_new_tokens)
    answer = system.answer(records, arguments.question, arguments.options, decoding)
    probability = math.exp(answer.log_probability)
    if arguments.json:
        value = {
            "records": arguments.record,
            "question": arguments.question,
            "answer": answer.text,
            "probability": probability,
            "options": {option: math.exp(score) for option, score in answer.options},
        }
        print(json.dumps(value, ensure_ascii=False))
        return 0
    print(f"{answer.text}  (probability {probability:.3f})")
    for option, score in answer.options:
        print(f"  {option}: {math.exp(score):.3f}")
    return 0
