"""EcgTokenizer and Quantiser: round trips, spans, files, and hostile input."""

import json
import pickle

import numpy as np
import pytest

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.files import sha256_of_file
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer

QUANTISER = Quantizer(-1.0, 1.0)
MERGES = [[109, 109], [256, 109], [110, 256]]


@pytest.fixture(params=["greedy", "bpe"])
def tokenizer(request) -> EcgTokenizer:
    return EcgTokenizer(
        MERGES, request.param, QUANTISER, {"name": "ecg_byte", "hash": "0" * 64}, "ab", {"n": 1}
    )


def test_round_trips(tokenizer):
    for data in (b"", b"m", b"mmmmm", bytes(range(256)), "é mm".encode(), b"nmmnmmm" * 50):
        ids = tokenizer.encode_bytes(data)
        assert ids.dtype == np.uint32
        assert tokenizer.decode_bytes(ids) == data
        spans = tokenizer.symbol_spans(ids)
        words = tokenizer.expansions()
        assert b"".join(words[i] for i in ids) == data
        assert [data[start:end] for start, end in spans] == [words[i] for i in ids]
        assert tokenizer.expansion_lengths(ids).sum() == len(data)


def test_signals_equal_quantize_then_encode(tokenizer):
    values = np.random.default_rng(0).normal(0, 0.5, (3, 240))
    values[1, ::7] = np.nan
    values[2, :4] = [np.inf, -np.inf, 1e300, -1e300]
    for array in (values, values.clip(-1e30, 1e30).astype(np.float32), values[:, ::2]):
        ids = tokenizer.encode_signals(array)
        symbols = [row.tobytes() for row in QUANTISER.symbols(array)]
        assert [x.tolist() for x in ids] == [x.tolist() for x in tokenizer.encode_batch(symbols)]
    decoded = tokenizer.decode_signal(tokenizer.encode_signals(values[:1])[0])
    inside = np.abs(values[0]) < 1
    assert decoded.dtype == np.float32
    assert np.abs(decoded - values[0])[inside].max() <= QUANTISER.scale / 52 + 1e-6


def test_file_is_stable_and_complete(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    again = EcgTokenizer.load(path)
    assert again.to_dict() == tokenizer.to_dict()
    assert again.sha256() == tokenizer.sha256() == sha256_of_file(path)
    assert json.loads(path.read_text())["merges"] == MERGES
    assert pickle.loads(pickle.dumps(again)).sha256() == tokenizer.sha256()


def test_prefix_and_emitted_ids():
    tokenizer = EcgTokenizer([[109, 109], [10, 109]], quantizer=QUANTISER)
    assert tokenizer.first(1).num_ids == 257
    assert tokenizer.emitted_ids().tolist() == [*range(97, 123), 256]
    with pytest.raises(TokenizerError, match="there are 2"):
        tokenizer.first(3)


@pytest.mark.parametrize(
    "merges",
    [
        [[256, 97]],
        [[97, 98], [97, 258]],
        [[97, 98], [97, 98]],
        [[97, -1]],
        [[97, True]],
        [[97, 98.0]],
        [[97, 10**30]],
        [[97]],
        [97, 98],
        ["ab"],
        "ab",
        None,
        {"0": [97, 98]},
        [[97, 98, 99]],
        [[97, 97], *([256 + k, 256 + k] for k in range(60))],
        np.zeros((2, 3), dtype=int),
        np.array([[97.0, 98.0]]),
    ],
)
def test_bad_merges_are_refused(merges):
    with pytest.raises(TokenizerError):
        EcgTokenizer(merges)


@pytest.mark.parametrize("ids", [[-1], [259], [2**40], [1.5], [[1]], ["a"], [10**30], [None]])
def test_ids_out_of_range_are_refused(tokenizer, ids):
    for method in ("decode_bytes", "decode_signal", "symbol_spans", "expansion_lengths"):
        with pytest.raises(TokenizerError):
            getattr(tokenizer, method)(ids)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        "null",
        "[]",
        "{}",
        '{"format": "ecg_fairseq.tokenizer"}',
        '{"format": "ecg_fairseq.tokenizer", "version": true, "mode": "bpe", "merges": []}',
        '{"format": "ecg_fairseq.tokenizer", "version": 2, "mode": "bpe", "merges": []}',
        '{"format": "ecg_fairseq.tokenizer", "version": 1, "mode": "x", "merges": []}',
        '{"format": "ecg_fairseq.tokenizer", "version": 1, "mode": ["bpe"], "merges": []}',
        '{"format": "ecg_fairseq.tokenizer", "version": 1, "mode": "bpe", "merges": {}}',
        '{"format": "ecg_fairseq.tokenizer", "version": 1, "mode": "bpe", "merges": [[1e999, 1]]}',
        '{"format": "ecg_fairseq.tokenizer", "version": 1, "mode": "bpe", "merges": ['
        + "9" * 5000
        + "]}",
    ],
)
def test_hostile_files_are_refused(tmp_path, text):
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(TokenizerError):
        EcgTokenizer.load(path)


@pytest.mark.parametrize(
    "field",
    [
        {"quantiser": {"low": 1, "high": 0}},
        {"quantiser": {"low": float("nan"), "high": 0}},
        {"quantiser": {"low": -1e308, "high": 1e308}},
        {"quantiser": {"low": 0, "high": 1, "num_symbols": 10**9}},
        {"quantiser": {"low": 0, "high": 1, "decode": []}},
        {"quantiser": {"low": 0, "high": 1, "surprise": 1}},
        {"quantiser": [0, 1]},
        {"quantiser": {"low": 10**400, "high": 1}},
        {"recipe": "ecg_byte"},
        {"recipe": {"name": 1, "hash": "x"}},
        {"split_hash": 5},
        {"training": []},
    ],
)
def test_wrong_fields_are_refused(field):
    value = {**EcgTokenizer([]).to_dict(), **field}
    with pytest.raises(TokenizerError):
        EcgTokenizer.from_dict(value)


def test_wrong_input_types_are_refused(tokenizer):
    with pytest.raises(TokenizerError, match="encode text"):
        tokenizer.encode_bytes("mm")
    with pytest.raises(TokenizerError, match="shape"):
        tokenizer.encode_signals(np.zeros(5))
    with pytest.raises(TokenizerError, match="no quantiser"):
        EcgTokenizer([]).encode_signals(np.zeros((1, 5)))
    with pytest.raises(TokenizerError, match="not a quantised value"):
        tokenizer.decode_signal([0])
