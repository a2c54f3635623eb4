"""ECG tokens of kind ``fsq``: the protocol, files without pickles, bad input."""

import json

import numpy as np
import pytest
import torch

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import EcgError, ManifestError, TokenizerError
from ecg_fairseq.networks.heartllm.config import config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder
from ecg_fairseq.plot.spans import spans_on_strips
from ecg_fairseq.records.manifest.provenance import Provenance, check_tokenizer
from ecg_fairseq.signal.recipes import get_recipe
from ecg_fairseq.tokenizer import EcgTokens, FsqTokens, open_tokens
from ecg_fairseq.tokenizer.ecg_tokens import tokens_from_state

RECIPE = get_recipe("heartllm")


def fsq_tokens(seed: int = 0, recipe=RECIPE, **sizes) -> FsqTokens:
    """Return tokens of a small network."""
    torch.manual_seed(seed)
    config = config_of({"channels_per_lead": 8, "levels": [5, 4, 4], **sizes})
    network = FsqAutoencoder(config).eval()
    with torch.no_grad():
        network.enc.to_code.weight.mul_(20)
    origin = {"name": recipe.name, "hash": recipe.hash()}
    return FsqTokens(network, origin, "ab" * 32, recipe.shape[-1])


TOKENS = fsq_tokens()


def segments(count: int = 3, num_samples: int = 5000) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(count, 12, num_samples))
    return (noise + np.roll(noise, 1, -1)).astype(np.float32)


def test_keeps_the_protocol_in_files_and_checkpoints(tmp_path):
    assert isinstance(TOKENS, EcgTokens)
    signal = segments()
    encoded = TOKENS.encode(signal)
    assert TOKENS.num_ids == 80
    assert TOKENS.emitted_ids().tolist() == list(range(80))
    for ids in encoded:
        assert (ids.dtype, ids.shape) == (np.int64, (313,))
        assert set(ids.tolist()) <= set(range(80))
        decoded = TOKENS.decode(ids)
        assert (decoded.dtype, decoded.shape) == (np.float32, RECIPE.shape)
        spans = TOKENS.spans(ids)
        assert (spans.dtype, spans[0].tolist(), spans[-1].tolist()) == (
            np.int64,
            [-1, 0, 16],
            [-1, 4992, 5000],
        )
        covered = np.zeros(RECIPE.shape, dtype=int)
        for piece in spans_on_strips(spans, RECIPE.strips):
            covered[piece.strip, piece.start : piece.end] += 1
        assert (covered == 1).all()
    assert len(np.unique(np.concatenate(encoded))) > 20
    TOKENS.save(tmp_path / "tokens.json")
    torch.save(TOKENS.state(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for again in (open_tokens(tmp_path / "tokens.json"), tokens_from_state("fsq", state)):
        assert type(again) is FsqTokens
        assert again.sha256() == TOKENS.sha256()
        assert (again.recipe, again.split_hash, again.num_samples) == (
            TOKENS.recipe,
            TOKENS.split_hash,
            5000,
        )
        for ids, own in zip(again.encode(signal), encoded, strict=True):
            assert np.array_equal(ids, own)
            assert np.array_equal(again.decode(ids), TOKENS.decode(own))


def test_other_lengths():
    (ids,) = TOKENS.encode(segments(1, 100))
    assert len(ids) == 7
    assert TOKENS.decode(ids).shape == (12, 112)
    assert TOKENS.spans(ids)[-1].tolist() == [-1, 96, 112]
    assert TOKENS.encode(segments(0)) == []


def test_hash_says_what_ids_depend_on():
    tokens = fsq_tokens()
    assert tokens.sha256() == TOKENS.sha256()
    assert fsq_tokens(seed=1).sha256() != TOKENS.sha256()
    assert fsq_tokens(levels=[4, 5, 4]).sha256() != TOKENS.sha256()
    assert fsq_tokens(recipe=get_recipe("heartllm_reference")).sha256() != TOKENS.sha256()
    with torch.no_grad():
        tokens.network.enc.to_code.bias[0] += 1e-6
    assert tokens.sha256() != TOKENS.sha256()


def test_tokens_of_another_recipe_or_split_are_refused():
    """HeartLLM's published recipe has two leads the other way round."""
    there = Provenance(recipe=TOKENS.recipe, split_hash=TOKENS.split_hash)
    check_tokenizer(TOKENS.recipe, TOKENS.split_hash, there)
    other = fsq_tokens(recipe=get_recipe("heartllm_reference"))
    with pytest.raises(ManifestError, match="made for recipe heartllm_reference"):
        check_tokenizer(other.recipe, other.split_hash, there)
    with pytest.raises(ManifestError, match="trained on split"):
        check_tokenizer(TOKENS.recipe, "cd" * 32, there)


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        (np.zeros((1, 3, 500), np.float32), "12 leads"),
        (np.zeros((1, 12, 15), np.float32), "shorter than one token"),
        (np.zeros((12, 500), np.float32), "expected float values"),
        (np.zeros((1, 12, 500), np.int16), "expected float values"),
        (np.full((1, 12, 500), np.nan, np.float32), "6000 samples of the segments are NaN or Inf"),
    ],
)
def test_signals_that_have_no_tokens_are_refused(signal, reason):
    with pytest.raises(TokenizerError, match=reason):
        TOKENS.encode(signal)


@pytest.mark.parametrize(
    ("ids", "reason"),
    [([80], "ids from 80 to 80"), ([-1, 3], "ids from -1"), ([[1]], "flat list"), ([0.5], "whole")],
)
def test_ids_that_stand_for_nothing_are_refused(ids, reason):
    for use in (TOKENS.decode, TOKENS.spans, TOKENS.levels_of):
        with pytest.raises(TokenizerError, match=reason):
            use(ids)
    with pytest.raises(TokenizerError, match="no ids"):
        TOKENS.decode([])
    assert TOKENS.spans([]).shape == (0, 3)


def weights_of(folder):
    (path,) = folder.glob("*.safetensors")
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights": "../x.safetensors"}, "expected a file beside it"),
        ({"weights": "absent.safetensors"}, "cannot be read"),
        ({"weights": None}, "expected a file beside it"),
        ({"weights_sha256": "0" * 64}, "is not the weights"),
        ({"sha256": "0" * 64}, "was changed after it was written"),
        ({"split_hash": 5}, "split_hash must be"),
        ({"recipe": {"name": "heartllm"}}, "recipe must be"),
        ({"num_samples": 3}, "segments of 3 samples"),
        ({"num_samples": "5000"}, "segments of '5000' samples"),
        ({"lacking": "dec"}, "lacking must be"),
        ({"lacking": ["enc.to_code.bias"]}, "random values"),
        ({"config": {"levels": [5, 4]}}, "does not fit"),
        ({"config": {"levels": [4, 5, 4], "channels_per_lead": 8}}, "was changed"),
        ({"config": None}, "config must be"),
        ({"version": 2}, "version 2"),
        ({"format": "x"}, "no FSQ tokens"),
        ({"kind": "other"}, "kind 'other'"),
    ],
)
def test_damaged_files_are_explained(change, reason, tmp_path):
    TOKENS.save(tmp_path / "t.json")
    value = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps({**value, **change}))
    with pytest.raises(EcgError, match=reason):
        open_tokens(tmp_path / "t.json")


def test_damaged_weights_are_explained(tmp_path):
    TOKENS.save(tmp_path / "t.json")
    path = weights_of(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(TokenizerError, match="is not the weights"):
        open_tokens(tmp_path / "t.json")
    value = json.loads((tmp_path / "t.json").read_text())
    del value["lacking"]
    path.unlink()
    (tmp_path / "t.json").write_text(json.dumps(value))
    with pytest.raises(TokenizerError, match="cannot be read"):
        open_tokens(tmp_path / "t.json")


def test_a_file_written_over_keeps_the_weights_of_the_other(tmp_path):
    TOKENS.save(tmp_path / "t.json")
    before = (tmp_path / "t.json").read_bytes()
    fsq_tokens(seed=5).save(tmp_path / "t.json")
    assert open_tokens(tmp_path / "t.json").sha256() == fsq_tokens(seed=5).sha256()
    (tmp_path / "t.json").write_bytes(before)
    assert open_tokens(tmp_path / "t.json").sha256() == TOKENS.sha256()


def test_verbs_of_symbols_say_that_it_is_of_another_kind(tmp_path, capsys):
    TOKENS.save(tmp_path / "t.json")
    for verb in ("encode", "decode", "export-hf"):
        words = ["tokenizer", verb, "--tokenizer", str(tmp_path / "t.json")]
        words += ["--out", str(tmp_path / "hf")] if verb == "export-hf" else []
        assert main(words) == 1
        assert "ECG tokens of kind fsq" in capsys.readouterr().err


def test_damaged_states_are_explained():
    for state in (None, {}, {"tensors": 3}, {"tensors": {}, "config": {}}):
        with pytest.raises(TokenizerError):
            tokens_from_state("fsq", state)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_samples", None),
        ("split_hash", "cd" * 32),
        ("split_hash", None),
        ("lacking", ["dec.final.bias"]),
        ("source", {"dataset": "another"}),
        ("more", 1),
        ("description_sha256", None),
        ("description_sha256", 3),
    ],
)
def test_any_edit_of_a_token_file_is_noticed(key, value, tmp_path):
    TOKENS.save(tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps({**content, key: value}))
    with pytest.raises(TokenizerError, match="changed after it was written"):
        open_tokens(tmp_path / "t.json")


def test_an_earlier_token_file_opens_and_its_length_must_be_the_recipe_s(tmp_path):
    TOKENS.save(tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    del content["description_sha256"]
    (tmp_path / "t.json").write_text(json.dumps(content))
    assert open_tokens(tmp_path / "t.json").sha256() == TOKENS.sha256()
    (tmp_path / "t.json").write_text(json.dumps({**content, "num_samples": 4999}))
    with pytest.raises(TokenizerError, match="4999 samples, but recipe heartllm makes segments of"):
        open_tokens(tmp_path / "t.json")
