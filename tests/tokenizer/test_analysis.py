"""Statistics, tracking, sampling and the console verb, on a small manifest made here."""

import contextlib
import io
import json
import sys

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.signal.recipe import Strip
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer, analysis, sampling, tracking
from ecg_fairseq.tokenizer.training_text import sample_by_patient

STRIPS = (Strip("I", "lead", 100.0, 60), Strip("V1", "lead", 100.0, 60))


class FakeManifest:
    """What the tokenizer room uses of a manifest, without its files."""

    def __init__(self, folder):
        from pathlib import Path

        self.path = Path(folder)
        self.strips = STRIPS
        self.split_hash = "split"
        self.meta = {
            "statistics": {"percentile_1": -0.5, "percentile_99": 1.0},
            "recipe": {"name": "small", "hash": "recipe-hash"},
            "data_sha256": "data",
        }

    @classmethod
    def load(cls, folder):
        return cls(folder)

    def split_records(self, split):
        from ecg_fairseq.records.record_row import RecordRow

        # patient 0 has many records, so that sampling by patient can be told from sampling records
        return (
            RecordRow(f"r{i}", "p0" if i < 20 else f"p{i}", split, num_segments=2)
            for i in range(30)
        )

    def segment(self, record_id, k=0):
        random = np.random.default_rng([int(record_id[1:]), k])
        time = np.arange(60) / 100
        rate = 1.0 if int(record_id[1:]) % 3 else 4.0
        beats = np.exp(-(((time * rate) % 1 - 0.4) ** 2) / 0.003)
        return (np.stack([beats, -0.5 * beats]) + random.normal(0, 0.02, (2, 60))).astype(
            np.float32
        )


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    monkeypatch.setattr("ecg_fairseq.records.manifest.folder.Manifest", FakeManifest)
    monkeypatch.setattr(
        "ecg_fairseq.records.preparation.manifest_writer.set_tokenizer", lambda *_: None
    )
    folder = tmp_path / "manifest"
    folder.mkdir()
    return folder


@pytest.fixture
def trained(manifest, tmp_path):
    path = tmp_path / "tokenizer.json"
    command = ["tokenizer", "train", "--input", str(manifest), "--num-merges", "60"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([*command, "--out", str(path), "--progress", "silent"]) == 0
    summary = json.loads(printed.getvalue())
    assert summary["num_merges"] == 60
    assert summary["sha256"] == EcgTokenizer.load(path).sha256()
    return path


def test_manifest_origin_is_in_the_tokenizer(trained):
    tokenizer = EcgTokenizer.load(trained)
    assert tokenizer.quantizer == Quantizer(-1.0, 1.5)
    assert tokenizer.recipe == {"name": "small", "hash": "recipe-hash"}
    assert tokenizer.split_hash == "split"
    assert tokenizer.training["num_symbols"] == 30 * 2 * 120


def test_lead_boundary_is_never_crossed(manifest, tmp_path, capsys):
    path = tmp_path / "lead.json"
    command = ["tokenizer", "train", "--input", str(manifest), "--num-merges", "3000"]
    assert main([*command, "--boundary", "lead", "--out", str(path)]) == 0
    lengths = EcgTokenizer.load(path).expansion_lengths(np.arange(256, 400))
    assert lengths.max() <= 60


def test_sampling_by_patient_spreads_over_patients(manifest):
    rows = list(FakeManifest(manifest).split_records("train"))
    drawn = sample_by_patient(rows, 11, seed=3)
    assert len({row.patient_id for row in drawn}) == 11
    assert drawn == sample_by_patient(rows, 11, seed=3)
    assert drawn != sample_by_patient(rows, 11, seed=4)
    assert sample_by_patient(rows, 99, seed=3) == rows


def test_sampling_by_cluster(manifest):
    text = sampling.clustered_text(manifest, None, 12, seed=0)
    again = sampling.clustered_text(manifest, None, 12, seed=0)
    assert text.origin == again.origin
    assert text.origin["sample"]["used"] == 12
    sizes, drawn = (text.origin["clusters"][key] for key in ("sizes", "drawn"))
    assert sum(sizes) == 30
    assert max(drawn) - min(drawn) <= 1
    with pytest.raises(TokenizerError, match="--sample"):
        sampling.clustered_text(manifest, None, None, seed=0)


def test_features_survive_flat_and_broken_signals():
    for values in (np.zeros(120), np.full(120, np.nan), np.full(120, -3.0)):
        features = sampling.segment_features(values, STRIPS)
        assert features.shape == (len(sampling.feature_names(STRIPS)),)
        assert np.isfinite(features).all()
    assert sampling.cluster(np.ones((9, 4)), 0).tolist() == [0] * 9
    assert sampling.draw_equally(np.array([0, 0, 0, 0, 1]), 3, 0).shape == (3,)


def test_stats(trained, manifest, tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("mmmm\nmmnn\n")
    out = tmp_path / "stats"
    command = ["tokenizer", "stats", "--tokenizer", str(trained), "--out", str(out)]
    assert main([*command, "--input", str(manifest), str(lines), "--against", str(trained)]) == 0
    result = json.loads(capsys.readouterr().out)
    first, second = result["corpora"]
    assert first["num_symbols"] == 7200
    assert first["symbols_per_token"] == pytest.approx(7200 / first["num_tokens"])
    assert first["share_unused"] == pytest.approx(1 - first["ids_used"] / first["ids_possible"])
    assert first["reconstruction"]["max_abs_unclipped_mv"] <= 2.500001 / 52 + 1e-6
    by_merges = first["by_num_merges"]
    assert by_merges[0]["symbols_per_token"] == 1
    ratios = [row["symbols_per_token"] for row in by_merges]
    assert ratios == sorted(ratios)
    assert {row["mean_abs_mv"] for row in by_merges} == {by_merges[0]["mean_abs_mv"]}
    assert second["reconstruction"] is None
    assert second["num_symbols"] == 8
    assert result["same_quantiser"] is True
    assert result["shared_vocabulary"][-1] == {"num_merges": 60, "shared": 60, "jaccard": 1.0}
    for picture in result["figures"]:
        assert (tmp_path / picture).stat().st_size > 5000
    assert json.loads((out / "stats.json").read_text()) == result


def test_usage_counts_by_hand():
    tokenizer = EcgTokenizer([[109, 109], [110, 110]], quantizer=Quantizer(-1.0, 1.0))
    one = analysis.Usage("one", np.bincount([109, 256], minlength=258), np.array([2]), 3, None)
    two = analysis.Usage("two", np.bincount([256, 257], minlength=258), np.array([1, 1]), 4, None)
    figures = one.to_dict(tokenizer)
    assert (figures["ids_possible"], figures["ids_used"]) == (28, 2)
    assert figures["symbols_per_token"] == 1.5
    assert analysis.usage_overlap([one, two]) == [
        {"corpora": ["one", "two"], "shared": 1, "jaccard": 0.5}
    ]
    assert analysis.curve_points(10) == [0, 1, 2, 3, 4, 6, 8, 10]


def test_track(trained, manifest, tmp_path, capsys):
    picture = tmp_path / "track.png"
    command = ["tokenizer", "track", "r4", "--manifest", str(manifest), "--tokenizer", str(trained)]
    assert main([*command, "--out", str(picture)]) == 0
    tracked = json.loads(capsys.readouterr().out)
    assert picture.stat().st_size > 5000
    covered = {"I": 0, "V1": 0}
    for span in tracked["spans"]:
        covered[span["lead"]] += span["end"] - span["start"]
    assert covered == {"I": 60, "V1": 60}
    counted = sum(strip["tokens"] for strip in tracked["tokens_starting_in_strip"])
    assert counted == tracked["num_tokens"]
    assert main([*command, "--leads", "V9", "--out", str(picture)]) == 1
    assert "no lead V9" in capsys.readouterr().err


def test_tokens_across_strips_are_cut():
    tokenizer = EcgTokenizer([[97, 97]], quantizer=Quantizer(0.0, 1.0))
    strips = (Strip("I", "lead", 100.0, 3), Strip("II", "lead", 100.0, 1))
    tracked = tracking.track_tokens(tokenizer, np.zeros(4), strips)
    assert tracked["tokens_crossing_strips"] == 1
    assert [(span["lead"], span["start"], span["end"]) for span in tracked["spans"]] == [
        ("I", 0, 2),
        ("I", 2, 3),
        ("II", 0, 1),
    ]


def test_lines_go_through_encode_and_decode(trained, monkeypatch, capfdbinary, tmp_path):
    lines = b"mmmmnn\n\nno\nabc \xc3\xa9\n"
    for mode in ("greedy", "bpe"):
        command = ["--tokenizer", str(trained), "--mode", mode]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
        assert main(["tokenizer", "encode", *command]) == 0
        encoded = capfdbinary.readouterr().out
        assert encoded.count(b"\n") == 4
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encoded)))
        assert main(["tokenizer", "decode", *command]) == 0
        assert capfdbinary.readouterr().out == lines
    for bad in (b"97\n5 999999\n", b"97\nx\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bad)))
        assert main(["tokenizer", "decode", *command]) == 1
        assert b"line 2" in capfdbinary.readouterr().err


def test_resume_and_errors_on_the_console(tmp_path, capsys):
    text, out = tmp_path / "text.txt", tmp_path / "t.json"
    text.write_text("mmmmnnmm\nmmnnmmnn\n")
    command = ["tokenizer", "train", "--input", str(text), "--out", str(out), "--resume"]
    assert main([*command, "--num-merges", "2"]) == 0
    assert main([*command, "--num-merges", "4"]) == 0
    resumed = out.read_bytes()
    out.unlink()
    assert main([*command, "--num-merges", "4"]) == 0
    assert out.read_bytes() == resumed
    captured = capsys.readouterr()
    assert "needs up to" in captured.err
    assert main([*command, "--num-merges", "-4"]) == 1
    assert main(["tokenizer", "import", str(text), "--out", str(out)]) == 1
    assert main(["tokenizer", "import", str(text), "--out", str(out), "--low", "1"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    export = ["tokenizer", "export-hf", "--tokenizer", str(out), "--out", str(tmp_path / "hf")]
    assert main([*export, "--mode", "bpe"]) == 0
    assert (tmp_path / "hf" / "tokenizer.json").is_file()
