"""Stage ``train-step``: one training update of the language model, ours against plain transformers.

Ours is the model behind ``ecg_llm`` with its criterion, which computes logits only where an answer
stands; plain is the same weights in the same transformers class with ``labels=``. The losses must
agree. A profile says what share of our update is spent outside matrix products and attention.
``--system ecg-fm`` times a pretraining update of ECG-FM instead: see encoder_step.py.
"""

import argparse
from typing import Any

import numpy as np

from benchmarks import encoder_step
from benchmarks.profiling import share_outside_products
from benchmarks.timing import interleave, versions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument(
        "--system", choices=("ecg-byte", "ecg-fm"), default="ecg-byte", help="whose update"
    )
    encoder_step.add_arguments(parser)
    parser.add_argument("--llm", default="tiny", help="preset with random weights")
    parser.add_argument("--batch", type=int, default=8, help="sequences")
    parser.add_argument("--length", type=int, default=256, help="tokens of a sequence")
    parser.add_argument("--answer", type=int, default=8, help="answer tokens of a sequence")
    parser.add_argument("--merges", type=int, default=1000, help="ECG merges, each with a row")
    parser.add_argument("--repeats", type=int, default=5, help="updates that are timed")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time both and check that they compute the same loss."""
    import torch

    if arguments.system == "ecg-fm":
        return encoder_step.run(arguments)
    ours, plain, tokens = _make_updates(arguments)
    first = {"ours": ours(), "plain": plain()}
    difference = abs(first["ours"] - first["plain"]) / first["plain"]
    if difference > 1e-4:
        raise ValueError(f"the losses differ by {difference:.1e}: {first}")
    timings = interleave({"ours": ours, "plain transformers": plain}, arguments.repeats)
    return {
        "shape": {"batch": arguments.batch, "length": arguments.length, "llm": arguments.llm},
        "tokens_per_second": tokens / timings.median_wall("ours"),
        "plain_tokens_per_second": tokens / timings.median_wall("plain transformers"),
        "share_outside_matrix_products": share_outside_products(ours),
        "relative_loss_difference": difference,
        "threads": torch.get_num_threads(),
        **timings.to_dict("plain transformers"),
        "versions": versions(("torch", "transformers", "fairseq-fixed")),
    }


def _make_updates(arguments: argparse.Namespace) -> tuple[Any, Any, int]:
    """Return our update, the plain one, and the number of tokens of either."""
    import copy

    import torch

    from ecg_fairseq.criterions.ecg_answer_cross_entropy import EcgAnswerCrossEntropy

    model, rng = random_model(arguments.llm, arguments.merges), np.random.default_rng(0)
    shape = (arguments.batch, arguments.length)
    ids = torch.from_numpy(rng.integers(3, model.vocabulary.num_text_rows, shape))
    labels = torch.full(shape, -100)
    labels[:, -arguments.answer :] = ids[:, -arguments.answer :]
    positions = torch.arange(arguments.length).repeat(arguments.batch, 1)
    sample = {
        "net_input": {"input_ids": ids, "position_ids": positions},
        "labels": labels,
        "ntokens": int((labels != -100).sum()),
        "nsentences": arguments.batch,
    }
    criterion = EcgAnswerCrossEntropy(None)
    llm = copy.deepcopy(model.llm).train()
    model.train()
    optimizers = [torch.optim.AdamW(part.parameters(), lr=1e-4) for part in (model, llm)]

    def ours() -> float:
        loss, count, _ = criterion(model, sample)
        return _update(loss / count, optimizers[0])

    def plain() -> float:
        return _update(llm(input_ids=ids, labels=labels, use_cache=False).loss, optimizers[1])

    return ours, plain, ids.numel()


def _update(loss: Any, optimizer: Any) -> float:
    """Backward pass and optimizer step; return the loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def random_model(llm: str, num_merges: int, num_text_rows: int = 1024) -> Any:
    """Build a preset with random weights over text rows, letters and merges."""
    from ecg_fairseq.networks.language_model.config import LanguageModelConfig
    from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel
    from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

    ecg_ids = (*range(97, 123), *range(256, 256 + num_merges))
    vocabulary = EcgVocabulary(num_text_rows, ecg_ids, bos_id=1, eos_id=2)
    config = LanguageModelConfig(llm=llm)
    return EcgLanguageModel(config, vocabulary, vocabulary.fingerprint("", ""), 0)
