"""Stage ``generate``: our answers against plain Hugging Face ``generate``, batch by batch.

Both run the same weights, greedily, on the same left-padded prompts, and must write the same
tokens. The ECG rows of the output table are zero here, so that plain ``generate``, which does not
know that answers are text, never picks one.
"""

import argparse
from statistics import median
from typing import Any

import numpy as np

from benchmarks.timing import interleave, versions
from benchmarks.train_step import random_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument("--llm", default="tiny", help="preset with random weights")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="batch sizes")
    parser.add_argument("--prompt", type=int, default=256, help="longest prompt in tokens")
    parser.add_argument("--new-tokens", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--merges", type=int, default=1000, help="ECG merges, each with a row")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that are timed")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time each batch size; a ratio of 1 means as fast as plain generate."""
    import torch

    model = random_model(arguments.llm, arguments.merges).eval()
    with torch.no_grad():
        model.llm.get_output_embeddings().weight[model.vocabulary.num_text_rows :] = 0.0
    rows, details = [], {}
    for size in arguments.batches:
        ours, plain = _make_candidates(model, size, arguments)
        ours_written, plain_written = ours(), plain()
        if ours_written != plain_written:
            raise ValueError(f"batch {size}: the answers differ")
        timings = interleave({"ours": ours, "plain generate": plain}, arguments.repeats)
        rows.append(
            {
                "batch": size,
                "ours_s": timings.median_wall("ours"),
                "plain_s": timings.median_wall("plain generate"),
                "ratio": timings.ratio("ours", "plain generate"),
                "cpu_ratio": median(timings.cpu_s["plain generate"])
                / median(timings.cpu_s["ours"]),
                "tokens_written": sum(map(len, ours_written)),
            }
        )
        details[f"batch {size}"] = timings.to_dict("plain generate")
    return {
        "answers_equal": True,
        "threads": torch.get_num_threads(),
        "batches": rows,
        **details,
        "versions": versions(("torch", "transformers")),
    }


def _make_candidates(model: Any, size: int, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Return two calls that write the same answers as lists of rows."""
    import torch

    from ecg_fairseq.networks.language_model.answering import (
        DecodingOptions,
        answer_lengths,
        generate_answers,
    )
    from ecg_fairseq.networks.language_model.prompt import pad_left

    vocabulary, rng = model.vocabulary, np.random.default_rng(size)
    prompts = [
        rng.integers(3, vocabulary.size - 3, arguments.prompt - 8 * (k % 4)) for k in range(size)
    ]
    ids, mask = (torch.from_numpy(array) for array in pad_left(prompts, vocabulary.pad_id))
    options = DecodingOptions(max_new_tokens=arguments.new_tokens)

    def ours() -> list[list[int]]:
        return [rows.tolist() for rows, _ in generate_answers(model, ids, mask, options)]

    def plain() -> list[list[int]]:
        written = model.llm.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=arguments.new_tokens,
            do_sample=False,
        )[:, ids.shape[1] :]
        lengths = answer_lengths(written, vocabulary.eos_id)
        return [rows[:length].tolist() for rows, length in zip(written, lengths, strict=True)]

    return ours, plain
