"""A checkpoint, a recording and what comes out; leads, labels, recipes and random twins."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_encoders import LABELS, save_encoder, save_record, state_of

from ecg_fairseq.errors import CheckpointError, EcgError, RecipeError, RecordError
from ecg_fairseq.networks.encoders.by_recording import MIMIC_IV_ECG_LABELS, aggregate
from ecg_fairseq.networks.encoders.pooling import POOLINGS, pooled_by
from ecg_fairseq.networks.encoders.trained_encoder import random_encoder
from ecg_fairseq.networks.trained import load_trained_encoder
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import get_recipe

RECIPE = get_recipe("ecg_fm")


@pytest.fixture
def record(tmp_path: Path):
    return read_record(save_record(tmp_path / "rec.npy", seconds=17.0, fs_hz=400.0))


def test_recording_of_any_length_and_rate_is_segmented_and_scored(tmp_path: Path, record) -> None:
    network = save_encoder(tmp_path / "c.pt", task_state=state_of(RECIPE, labels=list(LABELS)))
    system = load_trained_encoder(tmp_path / "c.pt")
    segments = system.segments(record)
    assert segments.shape == (3, 12, 2500)
    expected = RECIPE.apply(record.signal, record.leads, record.fs_hz)
    np.testing.assert_array_equal(segments, expected)
    with torch.no_grad():
        wanted = network(torch.from_numpy(expected)).logits.numpy()
    for batch_size in (1, 2, 8):
        np.testing.assert_allclose(system.logits(segments, batch_size), wanted, atol=1e-5)
    assert system.labels == LABELS
    assert system.has_label_names
    assert system.trained.name == "ecg_transformer_classifier"


@pytest.mark.parametrize("name", ["ecg_transformer_classifier", "arcface", "wav2vec2_cmsc"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_network_embeds(name: str, pooling: str, tmp_path: Path, record) -> None:
    network = save_encoder(tmp_path / "c.pt", name)
    system = load_trained_encoder(tmp_path / "c.pt")
    segments = system.segments(record)
    encoder = getattr(network, "encoder", network)
    encoder = network if name == "wav2vec2_cmsc" else encoder
    with torch.no_grad():
        encoded = encoder.encode(torch.from_numpy(segments))
    wanted = pooled_by(encoded, pooling).numpy()
    np.testing.assert_allclose(system.embeddings(segments, pooling), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "sentence"), [("arcface", "tells people apart"), ("wav2vec2_cmsc", "no label head")]
)
def test_networks_without_labels_say_what_to_use(
    name: str, sentence: str, tmp_path: Path, record
) -> None:
    save_encoder(tmp_path / "c.pt", name)
    system = load_trained_encoder(tmp_path / "c.pt")
    with pytest.raises(EcgError, match=sentence) as caught:
        system.logits(system.segments(record))
    assert "ecg-fairseq embed" in str(caught.value)


def test_leads_of_the_task_are_taken_by_name(tmp_path: Path, record) -> None:
    task = {"leads_to_load": "[V2, 0, II]"}
    save_encoder(tmp_path / "three.pt", task=task, in_d=3)
    system = load_trained_encoder(tmp_path / "three.pt")
    whole = RECIPE.apply(record.signal, record.leads, record.fs_hz)
    np.testing.assert_array_equal(system.segments(record), whole[:, [7, 0, 1]])
    save_encoder(tmp_path / "padded.pt", task={**task, "enable_padding_leads": True})
    segments = load_trained_encoder(tmp_path / "padded.pt").segments(record)
    kept = [CANONICAL_LEADS.index(lead) for lead in ("I", "II", "V2")]
    np.testing.assert_array_equal(segments[:, kept], whole[:, kept])
    assert not np.delete(segments, kept, axis=1).any()
    save_encoder(tmp_path / "few.pt", in_d=3)
    with pytest.raises(RecordError, match="reads 3 leads"):
        load_trained_encoder(tmp_path / "few.pt").segments(record)


@pytest.mark.parametrize("task", [{"normalize": True}, {"leads_to_load": "V99"}])
def test_settings_that_cannot_be_repeated_are_refused(task: dict, tmp_path: Path) -> None:
    save_encoder(tmp_path / "c.pt", task=task)
    with pytest.raises(CheckpointError, match=next(iter(task))):
        load_trained_encoder(tmp_path / "c.pt")


def test_recipe_is_the_checkpoints(tmp_path: Path) -> None:
    other = get_recipe("ecg_fm_reference")
    for recipe in (state_of(other), {"recipe": json.dumps(state_of(other)["recipe"])}):
        save_encoder(tmp_path / "c.pt", task_state=recipe)
        assert load_trained_encoder(tmp_path / "c.pt").recipe is other
    save_encoder(tmp_path / "none.pt")
    assert load_trained_encoder(tmp_path / "none.pt").recipe is RECIPE
    save_encoder(tmp_path / "old.pt", task_state={"recipe": {"name": "ecg_fm", "hash": "0"}})
    with pytest.raises(RecipeError, match="hash"):
        load_trained_encoder(tmp_path / "old.pt")


def test_short_recordings_and_absent_leads_are_named(tmp_path: Path) -> None:
    save_encoder(tmp_path / "c.pt")
    system = load_trained_encoder(tmp_path / "c.pt")
    short = read_record(save_record(tmp_path / "short.npy", seconds=4.0))
    with pytest.raises(RecordError, match=r"record short: 4\.00 s long.*at least 5 s"):
        system.segments(short)
    whole = read_record(save_record(tmp_path / "whole.npy"))
    with pytest.raises(RecordError, match="V6 is missing"):
        system.segments(whole.select(CANONICAL_LEADS[:-1]))


def test_labels_by_file_by_name_and_by_number(tmp_path: Path) -> None:
    save_encoder(tmp_path / "c.pt")
    system = load_trained_encoder(tmp_path / "c.pt")
    assert system.labels == ("label_0", "label_1", "label_2")
    assert not system.has_label_names
    (tmp_path / "label_def.csv").write_text("name,pos_count_all\nA,1\nB,2\nC,3\n")
    named = system.named(tmp_path / "label_def.csv")
    assert named.labels == ("A", "B", "C")
    assert [named.label_number(text) for text in ("B", "c", "0")] == [1, 2, 0]
    for unknown in ("D", "3", "-1"):
        with pytest.raises(EcgError, match="is not one of A, B, C"):
            named.label_number(unknown)
    with pytest.raises(EcgError, match="names 17 labels"):
        system.named("mimic-iv-ecg")
    save_encoder(tmp_path / "many.pt", num_labels=17)
    assert load_trained_encoder(tmp_path / "many.pt").named("mimic-iv-ecg").labels[15] == (
        "Infarction"
    )
    save_encoder(tmp_path / "wrong.pt", task_state={"labels": ["A"]})
    with pytest.raises(CheckpointError, match="names 1 labels"):
        load_trained_encoder(tmp_path / "wrong.pt")


def test_random_twin_is_seeded_and_another_network(tmp_path: Path, record) -> None:
    save_encoder(tmp_path / "c.pt")
    system = load_trained_encoder(tmp_path / "c.pt")
    segments = system.segments(record)
    before = torch.get_rng_state()
    first, again, other = (random_encoder(system, seed).embeddings(segments) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, system.width)
    assert np.abs(first - other).max() > 0.01
    assert np.abs(first - system.embeddings(segments)).max() > 0.01


def test_aggregates() -> None:
    logits = np.array([[0.0, 1.0, 4.0], [2.0, 5.0, -4.0]])
    np.testing.assert_array_equal(aggregate(logits, LABELS), [1.0, 3.0, 0.0])
    np.testing.assert_array_equal(aggregate(logits, LABELS, "max"), [2.0, 5.0, 4.0])
    np.testing.assert_array_equal(aggregate(logits, LABELS, "published"), [1.0, 5.0, 0.0])
    with pytest.raises(EcgError, match="label"):
        aggregate(logits, ("a", "b", "c"), "published")
    with pytest.raises(EcgError, match="median"):
        aggregate(logits, LABELS, "median")
    assert len(set(MIMIC_IV_ECG_LABELS)) == 17
