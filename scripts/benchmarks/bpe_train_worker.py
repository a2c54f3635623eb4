"""One training run of ``bpe_train`` in a process of its own; prints one JSON object.

usage: python -m benchmarks.bpe_train_worker NAME SYMBOLS.npy NUM_RECORDS NUM_MERGES
"""

import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Words = list[tuple[bytes, bytes]]


def train_ours(symbols: np.ndarray, num_merges: int, num_threads: int) -> Words:
    """Train with the compiled core."""
    import ecg_bpe

    trainer = ecg_bpe.Trainer(num_merges, 1, num_threads)
    trainer.reserve(symbols.size + len(symbols) + 1)
    for record in symbols:
        trainer.add(record)
    while trainer.run(num_merges, 1e9)[1] is None:
        pass
    return _words(trainer.merges())


def train_recount(symbols: np.ndarray, num_merges: int) -> Words:
    """Train with our own full recount, compiled: the reference's method."""
    import ecg_bpe

    return _words(ecg_bpe.train_by_recount([record.tobytes() for record in symbols], num_merges)[0])


def train_hf(symbols: np.ndarray, num_merges: int) -> Words:
    """Train with Hugging Face tokenizers, a record a line, one thread."""
    from tokenizers import Tokenizer, models, trainers

    tokenizer = Tokenizer(models.BPE())
    letters = [chr(97 + i) for i in range(26)]
    trainer = trainers.BpeTrainer(
        vocab_size=len(letters) + num_merges,
        initial_alphabet=letters,
        show_progress=False,
    )
    tokenizer.train_from_iterator((record.tobytes().decode() for record in symbols), trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(left.encode(), right.encode()) for left, right in merges]


def train_sentencepiece(symbols: np.ndarray, num_merges: int) -> Words:
    """Train sentencepiece's BPE; its rules differ, so only its time is compared."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(record.tobytes().decode() for record in symbols),
        model_writer=model,
        model_type="bpe",
        vocab_size=26 + num_merges + 4,
        max_sentence_length=1 << 20,
        character_coverage=1.0,
        max_sentencepiece_length=512,
        num_threads=1,
        hard_vocab_limit=False,
    )
    return []


def _words(merges: np.ndarray) -> Words:
    from ecg_fairseq.tokenizer.merges import expansions

    words = expansions(merges)
    return [(words[left], words[right]) for left, right in merges.tolist()]


def peak_bytes() -> int:
    """Return the largest resident size since it was last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/self/status has no VmHWM")


def measure(train: Callable[[], Words]) -> dict[str, object]:
    """Run ``train`` and return its seconds, added peak memory, and a hash of the merges."""
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to the present size
    before = peak_bytes()
    wall, cpu = time.perf_counter(), time.process_time()
    merges = train()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    digest = hashlib.sha256(repr(merges).encode()).hexdigest()
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "peak_bytes": peak_bytes() - before,
        "merges_sha256": digest,
        "num_merges": len(merges),
    }


def main(arguments: list[str]) -> int:
    """Run one candidate."""
    name, path, num_records, num_merges = arguments
    if name == "hf":
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.environ["RAYON_NUM_THREADS"] = "1"
    symbols = np.load(path, mmap_mode="r")[: int(num_records)]
    symbols = np.array(symbols)
    count = int(num_merges)
    if name.startswith("ours_"):
        result = measure(lambda: train_ours(symbols, count, int(name.split("_")[1])))
    else:
        train = {"hf": train_hf, "recount": train_recount, "sentencepiece": train_sentencepiece}
        result = measure(lambda: train[name](symbols, count))
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
