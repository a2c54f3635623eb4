"""``ecg-fairseq predict`` with ECG-FM's classifiers."""

import json
from pathlib import Path

import numpy as np
import pytest
from toy_encoders import LABELS, save_encoder, save_record, state_of

from ecg_fairseq.cli.main import main
from ecg_fairseq.networks.trained import load_trained_encoder
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.signal.recipes import get_recipe

RECIPE = get_recipe("ecg_fm")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A checkpoint and recordings of 17 and of 4 seconds."""
    save_encoder(tmp_path / "c.pt", task_state=state_of(RECIPE, labels=list(LABELS)))
    save_record(tmp_path / "long.npy", seconds=17.0)
    save_record(tmp_path / "short.npy", seconds=4.0)
    return {path.stem: str(path) for path in (*tmp_path.glob("*.npy"), tmp_path / "c.pt")}


def scores(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["predict", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_record_and_segments(files, capsys) -> None:
    value = scores(capsys, files["long"], "--checkpoint", files["c"])
    assert value["record"] == files["long"]
    assert (value["num_segments"], value["segment_seconds"]) == (3, 5.0)
    assert (value["recipe"], value["aggregate"]) == ("ecg_fm", "mean")
    assert list(value["labels"]) == list(LABELS)
    for label in value["labels"].values():
        assert label["logit"] == pytest.approx(np.mean(label["segment_logits"]))
        assert label["probability"] == pytest.approx(1 / (1 + np.exp(-label["logit"])))
        assert len(label["segment_probabilities"]) == 3


@pytest.mark.parametrize("how", ["max", "published"])
def test_aggregates(how, files, capsys) -> None:
    value = scores(capsys, files["long"], "--checkpoint", files["c"], "--aggregate", how)
    for name, label in value["labels"].items():
        takes_largest = how == "max" or name == "Poor data quality"
        wanted = (np.max if takes_largest else np.mean)(label["segment_logits"])
        assert label["logit"] == pytest.approx(wanted)


def test_text_is_sorted_and_complete(files, capsys) -> None:
    assert main(["predict", files["long"], "--checkpoint", files["c"]]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert {line[:17].strip() for line in lines} == set(LABELS)
    chances = [float(line[17:].split()[0]) for line in lines]
    assert chances == sorted(chances, reverse=True)
    assert output.err == ""


def test_several_recordings_are_scored_one_by_one(files, tmp_path, capsys) -> None:
    other = str(save_record(tmp_path / "other.npy", seconds=6.0, seed=5))
    words = [files["long"], other, "--checkpoint", files["c"]]
    assert main(["predict", *words, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    alone = [scores(capsys, one, "--checkpoint", files["c"]) for one in words[:2]]
    assert lines == alone
    assert main(["predict", *words]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [printed[0], printed[len(LABELS) + 1]] == [f"{files['long']}:", f"{other}:"]
    assert len(printed) == 2 * (len(LABELS) + 1)


def test_names_come_from_a_file_where_the_checkpoint_has_none(files, tmp_path, capsys) -> None:
    save_encoder(tmp_path / "nameless.pt")
    words = ["predict", files["long"], "--checkpoint", str(tmp_path / "nameless.pt")]
    assert main(words) == 0
    output = capsys.readouterr()
    assert "label_0" in output.out
    assert "give --labels" in output.err
    (tmp_path / "label_def.csv").write_text("name,n\nA,1\nB,1\nC,1\n")
    assert main([*words, "--labels", str(tmp_path / "label_def.csv")]) == 0
    assert sorted(line[0] for line in capsys.readouterr().out.splitlines()) == ["A", "B", "C"]


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["predict", *words]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_failures_are_one_sentence(files, tmp_path, capsys) -> None:
    good = ["--checkpoint", files["c"]]
    assert "at least 5 s" in fails(capsys, files["short"], *good)
    assert "name the recordings" in fails(capsys, *good)
    pair = ["--compare", files["long"], files["long"]]
    assert "leave out --compare" in fails(capsys, *pair, *good)
    assert "name the recordings" in fails(capsys, files["long"], *pair, *good)
    for option in (
        ["--question", "Why?"],
        ["--options", "yes"],
        ["--max-new-tokens", "3"],
        ["--windows", "all"],
    ):
        assert f"leave out {option[0]}" in fails(capsys, files["long"], *good, *option)
    (tmp_path / "two.csv").write_text("name,n\nA,1\nB,1\n")
    assert "2 labels" in fails(capsys, files["long"], *good, "--labels", str(tmp_path / "two.csv"))
    assert "cannot be read" in fails(capsys, files["long"], *good, "--labels", "absent.csv")
    save_encoder(tmp_path / "pretrained.pt", "wav2vec2_cmsc")
    other = ["--checkpoint", str(tmp_path / "pretrained.pt")]
    assert "ecg-fairseq probe" in fails(capsys, files["long"], *other)
    cut = tmp_path / "cut.pt"
    cut.write_bytes(Path(files["c"]).read_bytes()[:3000])
    assert "truncated" in fails(capsys, files["long"], "--checkpoint", str(cut))


def _stop(path: str, *stretches: slice) -> None:
    """Let no lead move in stretches of a recording; each keeps its own level."""
    signal = np.load(path)
    for stretch in stretches:
        signal[:, stretch] = signal[:, stretch.start : stretch.start + 1]
    np.save(path, signal)


def test_segments_in_which_no_lead_moves_are_left_out_as_prepare_does(files, capsys) -> None:
    _stop(files["long"], slice(2500, 5000))
    system = load_trained_encoder(files["c"])
    logits = system.logits(system.segments(read_record(files["long"])))
    assert main(["predict", files["long"], "--checkpoint", files["c"], "--json"]) == 0
    output = capsys.readouterr()
    value = json.loads(output.out)
    assert value["num_segments"] == 2
    assert "no lead moves in segment 2 of 3 (5 s each), left out as `prepare` does" in output.err
    assert logits.shape[0] == 3
    for column, label in enumerate(value["labels"].values()):
        assert label["segment_logits"] == pytest.approx(logits[[0, 2], column], abs=1e-5)
        assert label["logit"] == pytest.approx(logits[[0, 2], column].mean(), abs=1e-5)


def test_a_recording_none_of_whose_segments_moves_is_refused(files, capsys) -> None:
    parts = [slice(start, start + 2500) for start in range(0, 8500, 2500)]
    _stop(files["long"], *parts)
    words = ["predict", files["long"], "--checkpoint", files["c"]]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert files["long"] in error
    assert "Traceback" not in error
    assert main([*words, "--accept-amplitude"]) == 0
