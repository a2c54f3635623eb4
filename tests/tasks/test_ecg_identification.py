"""The task ``ecg_identification``: people are counted, and found again in a gallery."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fairseq_in_process import setup_task, train, validate
from toy_manifest import write_records_text

from ecg_fairseq.data.signals.identification_scores import IdentificationScores
from ecg_fairseq.errors import CheckpointError, EcgError, ManifestError
from ecg_fairseq.evaluation.identification import matched_share
from ecg_fairseq.networks.ecg_fm.checkpoint import load_network

NAME = "identification_tiny"


@pytest.fixture(scope="module")
def identified(segments, pretrained, tmp_path_factory) -> Path:
    """Some updates of finetuning to people, validated at the end."""
    start = (f"model.model_path={pretrained}", "optimization.max_update=12")
    start += ("dataset.validate_interval_updates=6", "checkpoint.save_interval_updates=6")
    return train(segments, tmp_path_factory.mktemp("identified"), *start, name=NAME)


def brute_force(manifest: Path, checkpoint: Path, split: str) -> tuple[float, float]:
    """Look for every probe with loops, from the store and the lists alone."""
    network = load_network(checkpoint).network
    store = np.load(manifest / "store" / "shard-00000.npy")
    sides = []
    for side in ("gallery", "probe"):
        lines = (manifest / "identification" / f"{split}_{side}.tsv").read_text().splitlines()[1:]
        rows = [line.split("\t") for line in lines]
        source = np.stack([store[int(locator.rpartition(":")[2])] for locator, _, _ in rows])
        with torch.no_grad():
            output = network(torch.from_numpy(source))
        people = [int(person) for _, _, person in rows]
        sides.append((people, output.pooled.numpy(), output.logits.numpy()))
    (gallery, *references), (probes, *queries) = sides
    shares = []
    for reference, query, is_cosine in zip(references, queries, (True, False), strict=True):
        right = 0
        for person, vector in zip(probes, query, strict=True):
            scores = [float(vector @ other) for other in reference]
            if is_cosine:
                scores = [
                    score / np.linalg.norm(other)
                    for score, other in zip(scores, reference, strict=True)
                ]
            right += gallery[int(np.argmax(scores))] == person
        shares.append(right / len(probes))
    return shares[0], shares[1]


def test_accuracy_is_that_of_the_whole_gallery(identified, segments):
    """Over several batches, in training and by fairseq-validate."""
    wanted = brute_force(segments, identified, "test")
    logged = validate("ecg_identification", segments, identified)
    found = float(logged["accuracy"]), float(logged["published_accuracy"])
    assert found == pytest.approx(wanted, abs=1e-3)
    in_one_batch = validate("ecg_identification", segments, identified, "--batch-size", "64")
    assert float(in_one_batch["accuracy"]) == float(logged["accuracy"])
    state = torch.load(identified, weights_only=True)
    assert state["extra_state"]["val_loss"] == pytest.approx(
        brute_force(segments, identified, "valid")[0], abs=1e-3
    )


def test_people_are_counted(identified, segments, pretrained, tmp_path):
    assert load_network(identified).config.num_labels == 12
    start = f"model.model_path={pretrained}"
    with pytest.raises(EcgError, match=r"num_labels=5, but .* lists 12 people"):
        train(segments, tmp_path, start, "model.num_labels=5", name=NAME)


def test_another_splits_people_are_refused(identified, segments_copy, tmp_path):
    meta = segments_copy / "meta.json"
    state = torch.load(identified, weights_only=True)
    meta.write_text(meta.read_text().replace(state["task_state"]["split_hash"], "f" * 64))
    assert validate("ecg_identification", segments_copy, identified)
    del state["task_state"]["patients"]
    torch.save(state, tmp_path / "older.pt")
    with pytest.raises(CheckpointError, match="may have been trained on"):
        validate("ecg_identification", segments_copy, tmp_path / "older.pt")
    table = segments_copy / "records.tsv"
    changed = table.read_text().replace("\ttrain\t", "\tvalid\t", 1)
    write_records_text(segments_copy, changed)
    with pytest.raises(CheckpointError, match="trained on 1 of the patients"):
        validate("ecg_identification", segments_copy, identified)


def test_lists_must_be_there_and_fit_together(segments, tmp_path):
    manifest = tmp_path / "m"
    shutil.copytree(segments, manifest)
    probes = manifest / "identification" / "valid_probe.tsv"
    probes.write_text(probes.read_text().replace("\t0\n", "\t99\n"))
    with pytest.raises(ManifestError, match=r"1 of 4 people .* are not in"):
        setup_task(manifest, name=NAME).load_dataset("valid", epoch=1)
    probes.unlink()
    with pytest.raises(ManifestError, match=r"valid_probe\.tsv does not exist"):
        setup_task(manifest, name=NAME).load_dataset("valid", epoch=1)
    shutil.rmtree(manifest / "identification")
    with pytest.raises(ManifestError, match="no identification/ lists: no patient"):
        setup_task(manifest, name=NAME)
    with pytest.raises(EcgError, match=r"task\.visualize=True is not supported"):
        setup_task(segments, "+task.visualize=true", name=NAME)


def rows(keys: list[int], people: list[int], split: str = "valid") -> dict[str, Any]:
    """Gallery keys are below 10, probes from 10 on."""
    return {
        "id": torch.tensor(keys),
        "is_probe": torch.tensor(keys) >= 10,
        "label": torch.tensor(people),
        "split": split,
    }


def test_scores_of_uneven_processes_are_taken_together(monkeypatch):
    vectors = torch.eye(3)
    other, own = IdentificationScores(), IdentificationScores()
    other.add(rows([2, 10, 11], [2, 0, 1]), vectors[[2, 0, 0]], vectors[[2, 0, 0]])
    own.add(rows([0, 1, 12], [0, 1, 2]), vectors[[0, 1, 2]], vectors[[0, 1, 2]])

    def gather(parts: list[Any], present: Any) -> None:
        parts[0], parts[1] = present, ("valid", other._rows)

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    assert own.accuracy().embedding == pytest.approx(2 / 3)


def test_a_new_pass_and_another_split_forget_the_last():
    vectors, scores = torch.eye(2), IdentificationScores()
    scores.add(rows([0, 10], [0, 0]), vectors[[0, 0]], vectors[[0, 0]])
    assert scores.accuracy().embedding == 1.0
    scores.add(rows([0, 10], [0, 1]), vectors[[0, 0]], vectors[[0, 0]])
    assert scores.accuracy().embedding == 0.0
    scores.add(rows([1, 11], [1, 1], "test"), vectors[[1, 1]], vectors[[1, 1]])
    assert scores.accuracy().embedding == 1.0
    assert IdentificationScores().accuracy().published == 0.0


def test_first_of_equal_entries_counts():
    gallery, people = np.ones((2, 2)), np.array([0, 1])
    assert matched_share(gallery, people, np.ones((1, 2)), np.array([0])) == 1.0
    assert matched_share(gallery, people, np.ones((1, 2)), np.array([1])) == 0.0
    assert matched_share(gallery[:0], people[:0], gallery, people) == 0.0
