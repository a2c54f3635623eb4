"""Encode with one merge list: ours in both modes, Hugging Face tokenizers in both forms, the twin.

All candidates of a mode must give the same ids; repeats are interleaved. MB/s are megabytes of
symbols per second of CPU; one record is one 30,000-symbol sequence.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.bpe_corpus import benchmark_quantizer, simulate_segments
from benchmarks.timing import interleave, versions
from ecg_fairseq.tokenizer import EcgTokenizer, twin
from ecg_fairseq.tokenizer.training import TrainingOptions, train_tokenizer
from ecg_fairseq.tokenizer.training_text import text_of

MODES = ("greedy", "bpe")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the stage."""
    add = parser.add_argument
    add("--records", type=int, default=50, help="records to encode")
    add("--train-records", type=int, default=50, help="other records to train the merges on")
    add("--num-merges", type=int, default=3500)
    add("--repeats", type=int, default=5)
    add("--threads", type=int, nargs="+", default=[1, 2])


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a table per mode, the fused path per record, and the time to build an encoder."""
    # before the peer is imported: it must not use more threads than it is credited for
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    values = simulate_segments(arguments.train_records + arguments.records)
    quantizer = benchmark_quantizer(values)
    symbols = [row.tobytes() for row in quantizer.symbols(values)]
    text = text_of(symbols[: arguments.train_records])
    trained = train_tokenizer(text, TrainingOptions(arguments.num_merges, num_threads=1))
    tokenizer = EcgTokenizer(trained.merges, "greedy", quantizer)
    held_out = symbols[arguments.train_records :]
    floats = values[arguments.train_records :]
    result: dict[str, Any] = {"stage": "bpe-encode", "num_merges": tokenizer.num_merges}
    for mode in MODES:
        result[mode] = _one_mode(tokenizer.with_mode(mode), held_out, floats, arguments)
    result["versions"] = versions(["tokenizers", "numpy", "ecg-bpe"])
    return result


def _one_mode(
    tokenizer: EcgTokenizer,
    symbols: list[bytes],
    values: np.ndarray,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    candidates = {
        f"ours_{threads}_threads": lambda threads=threads: tokenizer.encode_batch(symbols, threads)
        for threads in arguments.threads
    }
    first = next(iter(candidates))
    candidates["ours_fused_1_thread"] = lambda: tokenizer.encode_signals(values, 1)
    candidates |= _peers(tokenizer, symbols)
    expected = [ids.tolist() for ids in candidates[first]()]
    same = {
        name: [list(map(int, x)) for x in call()] == expected for name, call in candidates.items()
    }
    timings = interleave(candidates, arguments.repeats, warm_up=0)
    num_symbols = sum(map(len, symbols))
    base = statistics.median(timings.cpu_s[first])
    rows = []
    for name in candidates:
        cpu = statistics.median(timings.cpu_s[name])
        wall = statistics.median(timings.wall_s[name])
        rows.append(
            {
                "name": name,
                "cpu_s": cpu,
                "wall_s": wall,
                "mb_per_wall_s": num_symbols / wall / 1e6,
                "ms_per_record": 1e3 * wall / len(symbols),
                "times_our_wall": wall / statistics.median(timings.wall_s[first]),
                "times_our_cpu": cpu / max(base, 1e-9),
                "same_ids": same[name],
            }
        )
    return {
        "rows": rows,
        "tokens": sum(map(len, expected)),
        "symbols": num_symbols,
        "one_window_ms": _one_window_ms(tokenizer, values[:1], arguments.repeats),
        "load_before": timings.load_before,
        "load_after": timings.load_after,
    }


def _peers(tokenizer: EcgTokenizer, symbols: list[bytes]) -> dict[str, Callable[[], list[Any]]]:
    """Return the twin, and Hugging Face's form of the mode if that library is installed."""
    slow = twin.Encoder(tokenizer.merges, tokenizer.mode)
    found: dict[str, Callable[[], list[Any]]] = {"twin": lambda: slow.encode_batch(symbols)}
    try:
        import tokenizers
    except ImportError:
        return found
    from ecg_fairseq.tokenizer.huggingface import export_huggingface

    with tempfile.TemporaryDirectory() as folder:
        path = export_huggingface(tokenizer, tokenizer.mode, folder)
        loaded = tokenizers.Tokenizer.from_file(str(path))
    texts = [data.decode("ascii") for data in symbols]
    found["hf"] = lambda: [x.ids for x in loaded.encode_batch(texts, add_special_tokens=False)]
    return found


def _one_window_ms(tokenizer: EcgTokenizer, window: np.ndarray, repeats: int) -> float:
    """Return the shortest wall time of quantising and encoding one float (1, 30000) window."""
    calls = {"window": lambda: tokenizer.encode_signals(window, 1)}
    return 1e3 * min(interleave(calls, max(20, repeats)).wall_s["window"])
