"""Training runs: boundaries, samples, resuming, interruption, memory, determinism."""

import ast
import hashlib
import json
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer, core, training, twin
from ecg_fairseq.tokenizer.reporting import Reporter
from ecg_fairseq.tokenizer.training import TrainingOptions, train_tokenizer
from ecg_fairseq.tokenizer.training_text import TrainingText, file_text, open_text, text_of


def tie_rich(num_symbols: int, seed: int = 0) -> bytes:
    generator = random.Random(seed)
    return bytes(generator.choices(b"abcd", k=num_symbols))


@pytest.fixture(params=["compiled", "twin"])
def either_core(request, monkeypatch):
    if request.param == "compiled":
        pytest.importorskip("ecg_bpe", reason="the compiled core is not built")
    else:
        monkeypatch.setattr(training, "compiled_core", lambda: None)
    return request.param


def test_same_bytes_for_any_number_of_threads():
    pytest.importorskip("ecg_bpe", reason="the compiled core is not built")
    text = text_of([tie_rich(1_500_000, seed) for seed in range(2)])
    made = {
        hashlib.sha256(
            train_tokenizer(text, TrainingOptions(300, num_threads=threads)).to_bytes()
        ).hexdigest()
        for threads in (1, 2, 8)
        for _ in range(3)
    }
    assert len(made) == 1


def test_resumed_equals_uninterrupted(either_core):
    text = text_of([tie_rich(3000), tie_rich(500, 1)])
    whole = train_tokenizer(text, TrainingOptions(80))
    for done in (0, 1, 37, 80):
        part = train_tokenizer(text, TrainingOptions(done))
        resumed = train_tokenizer(text, TrainingOptions(80), previous=part)
        assert resumed.to_bytes() == whole.to_bytes()


def test_resuming_something_else_is_refused():
    part = train_tokenizer(text_of([b"abab" * 10]), TrainingOptions(1))
    for text, options in (
        (text_of([b"abab" * 11]), TrainingOptions(2)),
        (text_of([b"abab" * 10], "none"), TrainingOptions(2)),
        (text_of([b"abab" * 10]), TrainingOptions(2, min_count=2)),
    ):
        with pytest.raises(TokenizerError, match="cannot resume"):
            train_tokenizer(text, options, previous=part)


def test_interruption_keeps_a_prefix_that_training_resumes_from(either_core, monkeypatch):
    text = text_of([tie_rich(4000)])
    whole = train_tokenizer(text, TrainingOptions(60))
    calls = []

    def interrupt(self, done):
        calls.append(done)
        if done >= 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Reporter, "update", interrupt)
    monkeypatch.setattr(training, "_SLICE_SECONDS", 1e-9)
    part = train_tokenizer(text, TrainingOptions(60))
    assert 5 <= part.num_merges < 60
    assert part.training["stop"] == training.INTERRUPTED
    assert part.merges.tolist() == whole.merges[: part.num_merges].tolist()
    monkeypatch.undo()
    if either_core == "twin":
        monkeypatch.setattr(training, "compiled_core", lambda: None)
    resumed = train_tokenizer(text, TrainingOptions(60), previous=part)
    assert resumed.to_bytes() == whole.to_bytes()


def test_stops(either_core):
    tokenizer = train_tokenizer(text_of([b"abababab"]), TrainingOptions(100))
    assert tokenizer.training["stop"] == "min_count"
    assert tokenizer.num_merges == 3
    frequent = train_tokenizer(text_of([b"abababab"]), TrainingOptions(100, min_count=4))
    assert frequent.num_merges == 1
    assert train_tokenizer(text_of([b"a"]), TrainingOptions(5)).num_merges == 0
    assert train_tokenizer(text_of([b"ab"]), TrainingOptions(0)).training["stop"] == "num_merges"


@pytest.mark.parametrize("size", [3 << 20])
def test_tokens_never_exceed_the_limit(size):
    pytest.importorskip("ecg_bpe", reason="the compiled core is not built")
    tokenizer = train_tokenizer(text_of([b"a" * size]), TrainingOptions(100))
    assert tokenizer.training["stop"] == "token_length"
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(b"a" * 5000)) == b"a" * 5000


def test_the_twin_says_too_that_tokens_grew_too_long(monkeypatch):
    monkeypatch.setattr(training, "compiled_core", lambda: None)
    monkeypatch.setattr(twin, "MAX_TOKEN_SYMBOLS", 4)
    tokenizer = train_tokenizer(text_of([b"a" * 64]), TrainingOptions(100))
    assert tokenizer.training["stop"] == "token_length"
    assert tokenizer.expansion_lengths(np.arange(256, tokenizer.num_ids)).max() == 4
    monkeypatch.setattr(twin, "MAX_TOKEN_SYMBOLS", 1 << 20)
    monkeypatch.setattr(twin, "MAX_TOTAL_SYMBOLS", 6)
    tokenizer = train_tokenizer(text_of([b"a" * 64]), TrainingOptions(100))
    assert (tokenizer.training["stop"], tokenizer.num_merges) == ("token_length", 2)


def test_other_threads_run_while_a_resumed_run_encodes_its_text():
    """The interpreter lock is free in ``add``: this thread counts on while another one encodes."""
    compiled = pytest.importorskip("ecg_bpe", reason="the compiled core is not built")
    symbols = np.random.default_rng(0).integers(97, 123, 20_000_000, dtype=np.uint8)
    prefix = np.array(twin.train([symbols[:3000].tobytes()], 200)[0], dtype=np.int64)
    run = compiled.Trainer(300, 1, 1, prefix)
    done = threading.Event()

    def add():
        run.add(symbols, True)
        done.set()

    thread = threading.Thread(target=add)
    thread.start()
    turns = 0
    while not done.is_set():
        time.sleep(0.001)
        turns += 1
    thread.join()
    assert turns > 20, "this thread slept through the encoding"


def test_the_stub_lists_everything_that_the_core_offers():
    compiled = pytest.importorskip("ecg_bpe", reason="the compiled core is not built")
    stub = ast.parse((Path(__file__).parents[2] / "rust_bpe" / "ecg_bpe.pyi").read_text())
    names = {node.name for node in stub.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    offered = {name for name in dir(compiled) if not name.startswith("_") and name != "ecg_bpe"}
    assert names - {"_Quantiser"} == offered


def test_boundaries(tmp_path, either_core):
    path = tmp_path / "text.txt"
    path.write_bytes(b"ab\r\nab\n\nab")
    assert train_tokenizer(open_text(path, None, None, 0), TrainingOptions(9)).num_merges == 1
    joined = train_tokenizer(open_text(path, "none", None, 0), TrainingOptions(9))
    expected = twin.train([b"ababab"], 9)[0]
    assert [tuple(pair) for pair in joined.merges.tolist()] == expected
    with pytest.raises(TokenizerError, match="no leads"):
        open_text(path, "lead", None, 0)


def test_text_sample_is_seeded_and_reported(tmp_path):
    path = tmp_path / "text.txt"
    lines = [f"{i:04d}" for i in range(500)]
    path.write_text("\n".join(lines))
    samples = [file_text(path, "record", 50, seed) for seed in (1, 1, 2)]
    drawn = [[bytes(piece).decode() for piece, _ in sample.pieces()] for sample in samples]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(
        len(set(one)) == 50 and sorted(one) == one and set(one) <= set(lines) for one in drawn
    )
    assert samples[0].origin["sample"] == {
        "wanted": 50,
        "used": 50,
        "of": 500,
        "fraction": 0.1,
        "seed": 1,
    }
    # uniform: over many seeds each half of the file gives about half of the sample
    share = [
        sum(piece[0] == ord("0") and int(bytes(piece)) < 250 for piece, _ in text.pieces()) / 50
        for text in (file_text(path, "record", 50, seed) for seed in range(40))
    ]
    assert abs(np.mean(share) - 0.5) < 0.05


@pytest.mark.parametrize("content", [b"", b"\n\n\r\n"])
def test_empty_input_is_refused(tmp_path, content):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match="empty"):
        open_text(path, None, None, 0)
    with pytest.raises(TokenizerError, match="no such file"):
        open_text(tmp_path / "absent", None, None, 0)


@pytest.mark.parametrize(
    "options",
    [
        TrainingOptions(-1),
        TrainingOptions(1 << 30),
        TrainingOptions(1, min_count=0),
        TrainingOptions(1, num_threads=-1),
        TrainingOptions(1, mode="x"),
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(TokenizerError, match="--"):
        train_tokenizer(text_of([b"abab"]), options)


def test_memory_is_stated_and_checked(monkeypatch):
    huge = TrainingText(lambda: iter(()), 10**13, 1, {})
    with pytest.raises(TokenizerError, match=r"only .* free; train on a part with --sample"):
        training.check_memory(huge)
    assert "needs up to" in training.check_memory(text_of([b"abab"]))
    monkeypatch.setattr(training, "free_memory", lambda: None)
    assert "needs up to" in training.check_memory(huge)


def test_more_than_65535_ids_use_wide_cells():
    pytest.importorskip("ecg_bpe", reason="the compiled core is not built")
    text = tie_rich(20_000)
    narrow = train_tokenizer(text_of([text]), TrainingOptions(300))
    wide = train_tokenizer(text_of([text]), TrainingOptions(70_000))
    assert wide.merges[:300].tolist() == narrow.merges.tolist()
    assert wide.decode_bytes(wide.encode_bytes(text)) == text


def test_progress_tells_time_left(capsys, monkeypatch):
    monkeypatch.setattr("ecg_fairseq.tokenizer.reporting._SECONDS_BETWEEN_LINES", 0.0)
    reporter = Reporter(1000, 0, "json")
    reporter.update(0)
    reporter.update(100)
    reporter.close()
    start, line = map(json.loads, capsys.readouterr().err.splitlines())
    assert start["seconds_left"] is None
    assert line["done"] == 100
    assert line["seconds_left"] >= 0
    with pytest.raises(ValueError, match="progress mode"):
        Reporter(1, 0, "loud")


def test_origin_travels(tmp_path):
    text = TrainingText(
        text_of([b"mmnn" * 20]).pieces,
        80,
        1,
        {"data_sha256": "x"},
        Quantizer(-1.0, 1.0),
        {"name": "ecg_byte", "hash": "h"},
        "s",
    )
    tokenizer = train_tokenizer(text, TrainingOptions(3, mode="bpe"))
    tokenizer.save(tmp_path / "t.json")
    again = EcgTokenizer.load(tmp_path / "t.json")
    assert (again.mode, again.recipe, again.split_hash) == (
        "bpe",
        {"name": "ecg_byte", "hash": "h"},
        "s",
    )
    assert again.quantizer == Quantizer(-1.0, 1.0)
    assert again.training["num_symbols"] == 80
    assert core.MODES == ("greedy", "bpe")
