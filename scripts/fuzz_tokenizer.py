"""Random texts, merge lists and damaged files against the tokenizer; the twin is the oracle.

usage: python scripts/fuzz_tokenizer.py [--cases 1000000] [--seed 0]

Prints the number of cases by kind; the first difference stops the run with its input.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.signal.compiled import compiled_core
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer, twin
from ecg_fairseq.tokenizer.merges import checked_merges
from ecg_fairseq.tokenizer.pickles import read_plain_pickle
from ecg_fairseq.tokenizer.training import TrainingOptions, train_tokenizer
from ecg_fairseq.tokenizer.training_text import text_of


class Difference(AssertionError):
    """The two cores disagree."""


def random_text(generator: random.Random, num_letters: int) -> bytes:
    """Return runs of few letters: many ties and overlapping pairs."""
    wanted = generator.choice((0, 1, 2, 3, 5, 10, 30, 100, 200))
    text = b""
    while len(text) < wanted:
        letter = 97 + generator.randrange(num_letters)
        text += bytes([letter]) * generator.choice((1, 1, 1, 2, 3, generator.randrange(1, 20)))
    return text[:wanted]


def random_merges(generator: random.Random, num_letters: int) -> list[list[int]]:
    """Return merges that name earlier ids, mostly ones that no training gives."""
    merges: list[list[int]] = []
    for _ in range(generator.randrange(25)):
        known = [*range(97, 97 + num_letters), *range(256, 256 + len(merges))]
        pair = [generator.choice(known), generator.choice(known)]
        if pair not in merges:
            merges.append(pair)
    return merges


def fuzz_training(generator: random.Random) -> Iterator[str]:
    """Train with both cores, and resume from a random prefix."""
    num_letters = generator.choice((1, 2, 2, 3, 4, 8))
    texts = [random_text(generator, num_letters) for _ in range(generator.choice((1, 1, 2, 4)))]
    if not any(texts):
        return
    num_merges, min_count = generator.choice((0, 1, 5, 40)), generator.choice((1, 1, 2, 3))
    expected = twin.train(texts, num_merges, min_count)[0]
    options = TrainingOptions(num_merges, min_count, num_threads=1)
    trained = train_tokenizer(text_of(texts), options)
    _check([tuple(pair) for pair in trained.merges.tolist()], expected, (texts, options))
    yield "training"
    part = trained.first(generator.randrange(trained.num_merges + 1))
    resumed = train_tokenizer(text_of(texts), options, previous=part)
    _check(resumed.to_bytes(), trained.to_bytes(), (texts, options, part.num_merges))
    yield "resumed training"


def fuzz_encoding(generator: random.Random) -> Iterator[str]:
    """Encode and decode in both modes with trained and with made-up merges."""
    num_letters = generator.choice((1, 2, 3, 5))
    texts = [random_text(generator, num_letters) for _ in range(6)]
    merges = random_merges(generator, num_letters)
    if generator.random() < 0.4:
        merges = [list(pair) for pair in twin.train(texts[:2], 30)[0]]
    checked = checked_merges(merges)
    for mode in ("greedy", "bpe"):
        tokenizer = EcgTokenizer(checked, mode)
        slow = twin.Encoder(checked, mode)
        batch = tokenizer.encode_batch(texts, 1)
        for text, ids in zip(texts, batch, strict=True):
            _check(ids.tolist(), slow.encode(text).tolist(), (merges, mode, text))
            _check(tokenizer.decode_bytes(ids), text, (merges, mode, text))
            yield f"encoding, {mode}"


def fuzz_signals(generator: random.Random) -> Iterator[str]:
    """Quantise hostile floats with both cores."""
    numbers = np.random.default_rng(generator.randrange(1 << 30))
    quantizer = Quantizer(-1.0, float(numbers.uniform(-0.9, 3)), int(numbers.integers(2, 159)))
    values = numbers.normal(0, 10.0 ** numbers.integers(-3, 4), (5, 40))
    values.flat[numbers.integers(0, values.size, 6)] = (
        np.nan,
        np.inf,
        -np.inf,
        1e308,
        -1e308,
        -0.0,
    )
    with np.errstate(over="ignore"):
        rows = values.astype(generator.choice((np.float32, np.float64)))
    tokenizer = EcgTokenizer(checked_merges([[97, 97], [256, 97]]), "greedy", quantizer)
    for ids, row in zip(tokenizer.encode_signals(rows, 1), rows, strict=True):
        expected = tokenizer.encode_bytes(quantizer.symbols(row).tobytes())
        _check(ids.tolist(), expected.tolist(), (quantizer, row))
        yield "signals"


def fuzz_files(generator: random.Random, folder: Path) -> Iterator[str]:
    """Damage tokenizer files and pickles: either they load, or a TokenizerError says why not."""
    good = EcgTokenizer(
        checked_merges([[97, 98], [256, 97]]), "bpe", Quantizer(0.0, 1.0)
    ).to_bytes()
    data = bytearray(good)
    for _ in range(generator.randrange(1, 4)):
        at = generator.randrange(len(data))
        junk = generator.choice(
            (b"", b"[" * 5000, b"9" * 400, b"null", b'"', b"-1", b"1e400", b"\0")
        )
        data[at : at + generator.randrange(8)] = junk
    path = folder / "tokenizer.json"
    path.write_bytes(data)
    try:
        EcgTokenizer.load(path)
    except TokenizerError:
        yield "damaged file refused"
    else:
        yield "damaged file loaded"
    value = json.dumps([[1, 2], "ab"]).encode()
    try:
        read_plain_pickle(bytes(generator.choices(range(256), k=generator.randrange(60))) + value)
    except TokenizerError:
        yield "damaged pickle refused"


def fuzz_ids(generator: random.Random) -> Iterator[str]:
    """Decode ids of which some do not exist."""
    tokenizer = EcgTokenizer(checked_merges([[97, 98]]))
    ids = [generator.choice((0, 97, 256, 257, -1, 1 << 40)) for _ in range(generator.randrange(5))]
    try:
        tokenizer.decode_bytes(ids)
    except TokenizerError:
        _check(any(not 0 <= i <= 256 for i in ids), True, ids)
    else:
        _check(all(0 <= i <= 256 for i in ids), True, ids)
    yield "ids"


def _check(ours: object, expected: object, given: object) -> None:
    if ours != expected:
        raise Difference(f"{ours!r} instead of {expected!r} for {given!r}")


def run(cases: int, seed: int) -> Counter[str]:
    """Run at least ``cases`` cases and return how many of each kind."""
    generator = random.Random(seed)
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        while done.total() < cases:
            done.update(fuzz_training(generator))
            for _ in range(8):
                done.update(fuzz_encoding(generator))
            done.update(fuzz_signals(generator))
            done.update(fuzz_files(generator, Path(folder)))
            done.update(fuzz_ids(generator))
    return done


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if compiled_core() is None:
        print("fuzz: the compiled core is missing; nothing to compare with", file=sys.stderr)
        return 2
    for kind, count in sorted(run(arguments.cases, arguments.seed).items()):
        print(f"{kind}: {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
