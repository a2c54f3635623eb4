"""Task ``ecg_qa`` over FSQ tokens and HeartLLM's prompts: trained, answered, never leaking."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq_in_process import SMALL, generate, lines_of, setup_task, train
from toy_manifest import make_manifest

from ecg_fairseq.errors import CheckpointError, ManifestError
from ecg_fairseq.networks.heartllm.config import config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder
from ecg_fairseq.networks.trained import open_trained
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.provenance import Provenance, provenance_of
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.tokenizer import FsqTokens

LAYOUT = "task.prompt_layout=heartllm_qa"
LONG = (LAYOUT, "task.max_sequence=900")


def tokens_for(manifest: Path, out: Path) -> Path:
    """Write tokens that were trained on a manifest, but for the training."""
    torch.manual_seed(0)
    network = FsqAutoencoder(config_of({"channels_per_lead": 8, "levels": [4, 3]})).eval()
    source = provenance_of(manifest)
    state = source.to_state(is_text=True)
    recipe = {key: source.recipe[key] for key in ("name", "hash")}
    FsqTokens(network, recipe, source.split_hash, 5000, (), state).save(out)
    return out


def made(folder: Path, turn: int = 0, recipe: str = "heartllm") -> Manifest:
    """Write a manifest whose questions are about one recording: HeartLLM's prompt shows one."""
    manifest = make_manifest(folder, 10, recipe_name=recipe, turn=turn)
    for split in ("train", "valid", "test"):
        path = manifest.path / f"{split}.jsonl"
        lines = path.read_text().splitlines()
        kept = [line for line in lines if len(json.loads(line)["record_ids"]) == 1]
        path.write_text("\n".join(kept) + "\n")
    return Manifest.load(manifest.path)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    return made(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def tokens(manifest, tmp_path_factory) -> Path:
    return tokens_for(manifest.path, tmp_path_factory.mktemp("tokens") / "tokens.json")


def test_it_trains_answers_and_knows_its_tokens(manifest, tokens, tmp_path):
    checkpoint = train(manifest.path, tmp_path / "c", *SMALL, *LONG, f"task.ecg_tokenizer={tokens}")
    system = open_trained(checkpoint).require("answer")
    assert isinstance(system.ecg_tokenizer, FsqTokens)
    assert system.ecg_tokenizer.num_ids == len(system.vocabulary.ecg_ids) == 12
    signal = np.random.default_rng(0).normal(size=(12, 5000)).astype(np.float32)
    record = EcgRecord(signal, CANONICAL_LEADS, 500.0, "r", "p")
    prompt = system.prompt([record], "Is the pulse tall?")
    rows = system.ecg_rows(record)
    assert len(rows) == 313
    places = np.flatnonzero(np.isin(prompt, system.vocabulary.rows_of(np.arange(12))))
    assert np.array_equal(prompt[places], rows)
    assert isinstance(system.answer([record], "Is the pulse tall?").text, str)
    # Patients of the tokens' training are kept as those of a stage before.
    assert system.source.earlier[0].split_hash == manifest.split_hash
    assert system.source.earlier[0].has_patients


def test_fairseq_generate_answers_every_question(manifest, tokens, tmp_path):
    folder = made(tmp_path).path
    own = tokens_for(folder, folder / "tokens.json")
    checkpoint = train(folder, tmp_path / "c", *SMALL, *LONG, f"task.ecg_tokenizer={own}")
    text = generate(folder, checkpoint, tmp_path / "out", "--ecg-tokenizer", str(own))
    assert len(lines_of(text, "H")) == len(Manifest.load(folder).questions("test"))


def test_tokens_of_other_patients_are_refused(manifest, tokens, tmp_path):
    """The tokens were trained on patients that this manifest tests on."""
    other = made(tmp_path, turn=2).path
    with pytest.raises(ManifestError, match="trained on split"):
        setup_task(other, LAYOUT, f"task.ecg_tokenizer={tokens}")
    value = json.loads(tokens.read_text())
    del value["description_sha256"]  # as in files that were written before there was one
    claimed = {"split_hash": None, "source": {**value["source"], "split_hash": None}}
    (tokens.parent / "claimed.json").write_text(json.dumps({**value, **claimed}))
    with pytest.raises(CheckpointError, match="the ECG tokenizer was trained on"):
        setup_task(other, LAYOUT, f"task.ecg_tokenizer={tokens.parent / 'claimed.json'}")


def test_tokens_of_another_recipe_are_refused(tokens, tmp_path):
    other = made(tmp_path, recipe="ecg_byte").path
    with pytest.raises(ManifestError, match="made for recipe heartllm"):
        setup_task(other, LAYOUT, f"task.ecg_tokenizer={tokens}")


def test_a_language_model_keeps_the_patients_of_its_tokens(manifest, tokens, tmp_path):
    state = setup_task(manifest.path, LAYOUT, f"task.ecg_tokenizer={tokens}").state_dict()
    torch.save(state, tmp_path / "state.pt")
    kept = Provenance.from_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert len(kept.earlier) == 1
    assert kept.patients is not None
