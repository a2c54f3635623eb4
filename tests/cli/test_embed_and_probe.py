"""``ecg-fairseq embed`` and ``ecg-fairseq probe`` on our manifests and fairseq-signals' folders."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from toy_encoders import make_segment_manifest, save_encoder, state_of

from ecg_fairseq.cli.main import main
from ecg_fairseq.networks.encoders.trained_encoder import random_encoder
from ecg_fairseq.networks.trained import load_trained_encoder
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.signal.recipes import get_recipe


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest and a checkpoint that was trained on it."""
    folder = tmp_path_factory.mktemp("world")
    manifest = Manifest.load(make_segment_manifest(folder))
    save_encoder(folder / "c.pt", "wav2vec2_cmsc", task_state=source_of(manifest))
    return folder


def source_of(manifest: Manifest, **changes: str) -> dict:
    dataset = {"dataset": manifest.meta["dataset"]}
    return {**state_of(manifest.recipe(), manifest.split_hash), **dataset, **changes}


def embed(world: Path, *words: str, manifest: Path | None = None) -> int:
    manifest = manifest or world / "manifest"
    return main(["embed", "--checkpoint", str(world / "c.pt"), str(manifest), *words])


def table_of(path: Path) -> list[dict[str, str]]:
    with open(path.with_suffix(".tsv"), encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_rows_are_those_of_the_table(world: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "x.npy"
    assert embed(world, "--out", str(out), "--batch-size", "5") == 0
    said = json.loads(capsys.readouterr().out)
    values, rows = np.load(out), table_of(out)
    manifest, system = Manifest.load(world / "manifest"), load_trained_encoder(world / "c.pt")
    assert values.shape == (24, 32) == (said["rows"], said["width"])
    assert values.dtype == np.float32
    assert [int(row["row"]) for row in rows] == list(range(24))
    order = list(manifest.records)
    for value, row in zip(values, rows, strict=True):
        known = manifest.record_row(row["record_id"])
        assert (row["patient_id"], row["split"]) == (known.patient_id, known.split)
        assert (order[int(row["idx"])], row["num_segments"]) == (known.record_id, "2")
        segments = np.stack([manifest.segment(known.record_id, k) for k in range(2)])
        np.testing.assert_allclose(value, system.embeddings(segments).mean(axis=0), atol=1e-5)
    assert json.loads(out.with_suffix(".json").read_text())["split_hash"] == manifest.split_hash


@pytest.mark.parametrize("options", [[], ["--random-init", "--seed", "7"], ["--pooling", "max"]])
def test_segments_of_one_side(options: list[str], world: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    words = ["--out", str(out), "--per", "segment", "--split", "test,valid", *options]
    assert embed(world, *words) == 0
    values, rows = np.load(out), table_of(out)
    manifest, system = Manifest.load(world / "manifest"), load_trained_encoder(world / "c.pt")
    if "--random-init" in options:
        system = random_encoder(system, 7)
    for value, row in zip(values, rows, strict=True):
        segment = manifest.segment(row["record_id"], int(row["segment"]))
        pooling = "max" if "max" in options else "mean"
        np.testing.assert_allclose(value, system.embeddings(segment[None], pooling)[0], atol=1e-5)
    assert [row["split"] for row in rows] == ["test"] * 16 + ["valid"] * 8
    assert [row["segment"] for row in rows] == ["0", "1"] * 12


def test_folder_of_fairseq_signals(world: Path, tmp_path: Path) -> None:
    """Files of two lengths, in the order of the list; recordings may be mixed."""
    rng = np.random.default_rng(3)
    lengths, idx, signals = (2500, 2500, 1250, 2500), (4, 9, 9, 4), []
    lines = [f"\t{tmp_path}/"]
    for number, (length, recording) in enumerate(zip(lengths, idx, strict=True)):
        signals.append(rng.normal(size=(12, length)).astype(np.float32))
        content = {"feats": signals[-1], "idx": recording, "curr_sample_rate": 500}
        savemat(tmp_path / f"s_{number}.mat", content)
        lines.append(f"s_{number}.mat\t{length}")
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "x.npy"
    assert embed(world, "--out", str(out), manifest=tmp_path) == 0
    system = load_trained_encoder(world / "c.pt")
    wanted = [system.embeddings(signal[None])[0] for signal in signals]
    values = np.load(out)
    np.testing.assert_allclose(values[0], (wanted[0] + wanted[3]) / 2, atol=1e-5)
    np.testing.assert_allclose(values[1], (wanted[1] + wanted[2]) / 2, atol=1e-5)
    assert [(row["record_id"], row["split"]) for row in table_of(out)] == [
        ("4", "train"),
        ("9", "train"),
    ]


def fails(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main([str(word) for word in words]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_embed_failures_are_one_sentence(world: Path, tmp_path: Path, capsys) -> None:
    common = ["embed", "--checkpoint", world / "c.pt", world / "manifest"]
    assert "must end in .npy" in fails(capsys, *common, "--out", tmp_path / "x.txt")
    out = ["--out", tmp_path / "x.npy"]
    assert "absent.tsv does not exist" in fails(capsys, *common, *out, "--split", "absent")
    assert "twice" in fails(capsys, *common, *out, "--split", "test,test")
    assert "--batch-size 0" in fails(capsys, *common, *out, "--batch-size", "0")
    assert "device" in fails(capsys, *common, *out, "--device", "nothing")
    other = state_of(get_recipe("ecg_fm_reference"))
    save_encoder(tmp_path / "other.pt", task_state=other)
    words = ["embed", "--checkpoint", tmp_path / "other.pt", world / "manifest", *out]
    assert "--recipe ecg_fm_reference" in fails(capsys, *words)
    assert not list(tmp_path.glob("x.*"))


def test_weights_that_diverged_write_nothing(world: Path, tmp_path: Path, capsys) -> None:
    import torch

    shutil.copy(world / "c.pt", tmp_path / "c.pt")
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    state["model"]["layer_norm.weight"][0] = torch.nan
    torch.save(state, tmp_path / "c.pt")
    words = ["embed", "--checkpoint", tmp_path / "c.pt", world / "manifest"]
    assert "not finite" in fails(capsys, *words, "--out", tmp_path / "x.npy")
    assert not list(tmp_path.glob("x.*"))


def test_probe_stands_beside_the_random_encoder(world: Path, tmp_path: Path, capsys) -> None:
    words = ["probe", "--checkpoint", str(world / "c.pt"), str(world / "manifest")]
    options = ["--fractions", "0.5,1", "--seeds", "1,2", "--resamples", "20", "--random-seed", "3"]
    assert main([*words, *options, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "probe.md").read_text() == printed
    assert [printed.count(f"| {name} |") for name in ("encoder", "random encoder")] == [2, 2]
    value = json.loads((tmp_path / "probe.json").read_text())
    assert value["labels"] == ["Fast", "Coin"]
    half, whole = value["fractions"]
    assert (half["num_patients"], whole["num_patients"]) == (3, 6)
    assert (half["num_recordings"], whole["num_recordings"]) == ([6, 6], [12])
    # What a random encoder shows of a plain oscillation is enough for a linear layer.
    label = whole["tables"]["random encoder"]["labels"][0]
    assert label["label"] == "Fast"
    assert label["auroc"] > 0.9
    gap = whole["tables"]["difference"]["macro"]["auroc"]
    both = [whole["tables"][name]["macro"]["auroc"] for name in ("encoder", "random encoder")]
    assert gap == pytest.approx(both[0] - both[1])


def test_probe_failures_are_one_sentence(world: Path, tmp_path: Path, capsys) -> None:
    common = ["probe", "--checkpoint", world / "c.pt", world / "manifest"]
    assert "'2'" in fails(capsys, *common, "--fractions", "0.1,2")
    assert "'x'" in fails(capsys, *common, "--seeds", "x")
    assert "absent.npy" in fails(capsys, *common, "--labels-file", "absent.npy")
    np.save(tmp_path / "y.npy", np.zeros((3, 2)))
    assert "3 rows" in fails(capsys, *common, "--labels-file", tmp_path / "y.npy")
    manifest = Manifest.load(world / "manifest")
    save_encoder(tmp_path / "seen.pt", task_state=source_of(manifest, split_hash="1" * 64))
    words = ["probe", "--checkpoint", tmp_path / "seen.pt", world / "manifest"]
    assert "may have been trained on" in fails(capsys, *words)
    words = ["embed", *words[1:], "--out", tmp_path / "x.npy"]
    assert "may have been trained on" in fails(capsys, *words)
    for more in (["--external-test"], ["--random-init"], ["--split", "train"]):
        assert main([str(word) for word in (*words, *more)]) == 0


def test_probe_without_labels_says_so(world: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(world / "manifest", tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "labels")
    words = ["probe", "--checkpoint", world / "c.pt", tmp_path / "m"]
    assert "--labels-file" in fails(capsys, *words)
