"""Parity with the reference on golden cases: merges, ids, pickle contents, quantiser."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer, twin

TRAINING_CASES = [
    "all_pairs_once",
    "alternating_2001",
    "ecg_100k_tiefree",
    "ecg_30k_ties",
    "ecg_6k_ties",
    "ecg_small_tiefree",
    "exhausted_short",
    "run_one_letter_1000",
    "run_one_letter_1023",
    "runs_mixed_10k",
    "walk_20k",
    "zipf_5k",
]


@pytest.fixture(scope="module")
def golden(shared_dir: Path) -> Path:
    folder = shared_dir / "golden" / "ecg-byte"
    if not folder.is_dir():
        pytest.skip(f"no golden cases in {folder}")
    return folder


@pytest.mark.parametrize("name", TRAINING_CASES)
def test_merges_and_ids_of_a_training_case(golden, name):
    case = json.loads((golden / f"{name}.json").read_text())
    data = case["text"].encode()
    merges, counts = twin.train([data], case["num_merges_requested"])
    first_tie = case["first_tie_step"]
    stop = len(case["pairs"]) if first_tie is None else first_tie
    assert [list(pair) for pair in merges[:stop]] == case["pairs"][:stop]
    assert counts[: stop + 1] == case["counts"][: stop + 1]
    assert len(merges) == case["num_merges_done"]
    if len(data) <= 10_000:
        assert (merges, counts) == twin.train_by_recount([data], case["num_merges_requested"])

    tokenizer = EcgTokenizer(case["pairs"])
    assert tokenizer.encode_bytes(data).tolist() == case["encoded_ids"]
    for heldout in case["heldout"]:
        assert tokenizer.encode_bytes(heldout["text"].encode()).tolist() == heldout["ids"]
    assert tokenizer.decode_bytes(case["encoded_ids"]) == data
    # the reference's training ids are its merge list applied in order: our bpe mode
    assert tokenizer.with_mode("bpe").encode_bytes(data).tolist() == case["train_ids"]


def test_published_tokenizer_and_its_prefixes(golden):
    pairs = json.loads((golden / "tokenizer_10000_pairs.json").read_text())
    cases = json.loads((golden / "encode_with_tokenizer_10000.json").read_text())["cases"]
    whole = EcgTokenizer(pairs)
    for num_merges in (500, 1000, 3500, 10000):
        tokenizer = whole.first(num_merges)
        for case in cases:
            ids = tokenizer.encode_bytes(case["text"].encode())
            assert ids.tolist() == case["ids_with_first_n_merges"][str(num_merges)]


def test_quantizer_edges(golden):
    case = json.loads((golden / "quantiser_edges.json").read_text())
    quantizer = Quantizer(
        case["percentile_1"] - 0.5, case["percentile_99"] + 0.5, decode="reference"
    )
    assert quantizer.symbols(case["values"]).tobytes().decode() == case["symbols"]
    np.testing.assert_allclose(
        quantizer.values(case["symbols"].encode()), case["reverse"], atol=1e-6
    )


def test_quantized_window_of_the_reference_pipeline(golden):
    case = np.load(golden / "preprocess_case_1.npz")
    quantizer = Quantizer(
        float(case["percentile_1"]) - 0.5, float(case["percentile_99"]) + 0.5, decode="reference"
    )
    window = case["resampled"][:500].T
    symbols = str(case["seg0_symbols"]).encode()
    assert quantizer.symbols(window).tobytes() == symbols
    np.testing.assert_allclose(
        quantizer.values(symbols).reshape(12, 500), case["seg0_reconstructed"], atol=1e-6
    )
