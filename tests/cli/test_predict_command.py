"""``ecg-fairseq predict`` gives fairseq-generate's answer for the same recording and question."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq_in_process import SMALL, generate, lines_of, train
from toy_manifest import make_tokenizer

from ecg_fairseq.cli.main import main
from ecg_fairseq.records.datasets.own_data import OwnData, own_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.questions.question import candidate_answers
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import get_recipe

NUM_RECORDS, FS_HZ = 10, 250
QUESTIONS = {
    "single-verify": ("Is the rate high?", "no;yes"),
    "own": ("What is the rate?", ""),
}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """Recordings, a manifest made from them, and a checkpoint trained on it."""
    folder = tmp_path_factory.mktemp("system")
    time = np.arange(6 * FS_HZ) / FS_HZ
    rates = np.linspace(1.0, 3.0, NUM_RECORDS)
    array = np.stack(
        [
            [np.exp(-(((time * rate + lead / 12) % 1 - 0.5) ** 2) * 200) for lead in range(12)]
            for rate in rates
        ]
    ).astype(np.float32)
    np.save(folder / "ecgs.npy", array)
    sidecar = json.dumps({"leads": list(CANONICAL_LEADS), "fs_hz": FS_HZ})
    for number, signal in enumerate(array):
        np.save(folder / f"record{number}.npy", signal)
        (folder / f"record{number}.json").write_text(sidecar)
    sides = ["train"] * 6 + ["valid"] + ["test"] * 3
    lines = [f"{i},{side}" for i, side in enumerate(sides)]
    (folder / "labels.csv").write_text("record_id,split\n" + "\n".join(lines) + "\n")
    asked = ["record_id,question,answer,question_type,options"]
    for number, rate in enumerate(rates):
        for kind, (question, options) in QUESTIONS.items():
            answer = ("yes" if rate > 2 else "no") if options else f"{rate:.1f} per second"
            asked.append(f"{number},{question},{answer},{kind},{options}")
    (folder / "questions.csv").write_text("\n".join(asked) + "\n")
    data = OwnData(
        folder / "ecgs.npy",
        fs_hz=FS_HZ,
        labels=folder / "labels.csv",
        questions=folder / "questions.csv",
        split="column",
    )
    prepare(own_dataset(data), PrepareOptions(folder / "manifest", get_recipe("ecg_byte")))
    make_tokenizer(folder / "manifest", folder / "tokenizer.json", num_merges=80)
    more = ("optimization.max_update=20", "optimization.lr=[0.01]")
    longer = ("task.max_sequence=6000", "model.max_positions=8000")
    checkpoint = train(folder / "manifest", folder / "checkpoints", *SMALL, *more, *longer)
    return folder, checkpoint


def _predict(capsys, *arguments: str) -> dict:
    assert main(["predict", *arguments, "--json", "--max-new-tokens", "4"]) == 0
    return json.loads(capsys.readouterr().out)


def test_equals_fairseq_generate(system, tmp_path, capsys, caplog):
    folder, checkpoint = system
    questions = Manifest.load(folder / "manifest").questions("test")
    text = generate(folder / "manifest", checkpoint, tmp_path)
    warned = "6 of 6 questions are about recordings of several windows, up to 3: only the first"
    assert warned in caplog.text
    generated = lines_of(text, "H")
    assert len(generated) == len(questions) == 6
    for number, question in enumerate(questions):
        record = folder / f"record{question.record_ids[0]}.npy"
        options = candidate_answers(question)
        given = [str(record), "--checkpoint", str(checkpoint), "--question", question.question]
        value = _predict(capsys, *given, *(["--options", *options] if options else []))
        (score, answer), *candidates = generated[number]
        assert value["answer"] == answer
        # fairseq prints base-2 logarithms.
        assert math.log2(value["probability"]) == pytest.approx(float(score), abs=1e-3)
        assert list(value["options"]) == [name for _, name in candidates]
        for (other, _), probability in zip(candidates, value["options"].values(), strict=True):
            assert math.log2(probability) == pytest.approx(float(other), abs=1e-3)


def test_several_recordings_get_an_answer_each(system, capsys):
    folder, checkpoint = system
    records = [str(folder / "record0.npy"), str(folder / "record9.npy")]
    question = ["--question", "Is the rate high?", "--options", "yes", "no"]
    common = ["--checkpoint", str(checkpoint), *question]
    alone = [_predict(capsys, one, *common) for one in records]
    assert main(["predict", *records, *common, "--json", "--max-new-tokens", "4"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == alone
    assert [one["records"] for one in lines] == [[record] for record in records]
    assert main(["predict", *records, *common]) == 0
    printed = capsys.readouterr().out.splitlines()
    for record, line in zip(records, printed[::3], strict=True):
        assert line.startswith(f"{record}: ")
        assert "(probability " in line
    assert [line.split(":")[0] for line in printed[1:3]] == ["  yes", "  no"]


def change_state(checkpoint, out, change):
    """Write the checkpoint with what ``change`` does to its task state."""
    state = torch.load(checkpoint, weights_only=True)
    change(state["task_state"])
    torch.save(state, out)
    return ["--checkpoint", str(out), "--max-new-tokens", "4"]


def test_comparisons_need_a_model_that_was_trained_on_them(system, tmp_path, capsys):
    folder, checkpoint = system
    records = [str(folder / "record0.npy"), str(folder / "record9.npy")]
    asked = ["--question", "Is the rate high?", "--json"]
    pair = ["--compare", *records, *asked]
    error = _fails(capsys, *pair, "--checkpoint", str(checkpoint))
    assert "trained on questions about 1 recording(s) at a time, this one is about 2" in error
    assert "one by one" in error

    def with_pairs(state):
        state["asked"]["num_recordings"] = [1, 2]

    both = change_state(checkpoint, tmp_path / "pairs.pt", with_pairs)
    assert main(["predict", *pair, *both]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["records"] == records
    assert "comparisons" not in captured.err
    # The order counts: two recordings are in one prompt.
    assert main(["predict", "--compare", *records[::-1], *asked, *both]) == 0
    swapped = json.loads(capsys.readouterr().out)
    assert swapped["probability"] != json.loads(captured.out)["probability"]
    # A checkpoint of an earlier version does not say it.
    older = change_state(checkpoint, tmp_path / "older.pt", lambda state: state.pop("asked"))
    assert main(["predict", *pair, *older]) == 0
    assert "does not say whether it was trained on comparisons" in capsys.readouterr().err

    def pairs_only(state):
        state["asked"]["num_recordings"] = [2]

    only = change_state(checkpoint, tmp_path / "only.pt", pairs_only)
    assert "--compare" in _fails(capsys, records[0], *asked, *only)


def test_words_that_were_never_trained_are_warned_of(system, tmp_path, capsys):
    folder, checkpoint = system
    record, good = str(folder / "record0.npy"), ["--checkpoint", str(checkpoint)]
    question = ["--max-new-tokens", "4", "--question"]
    assert (
        main(["predict", record, *good, *question, "Is the Axis HIGH, or the axis deviated?"]) == 0
    )
    error = capsys.readouterr().err
    assert "no question that the model was trained on has the words axis, or, deviated" in error
    assert main(["predict", record, *good, *question, "what IS the rate?"]) == 0
    assert "words" not in capsys.readouterr().err
    older = change_state(checkpoint, tmp_path / "older.pt", lambda state: state.pop("asked"))
    assert main(["predict", record, *older, "--question", "Axis deviated?"]) == 0
    error = capsys.readouterr().err
    assert "so the words of the question are not checked" in error
    assert "has the words" not in error


def test_all_windows_are_judged_together(system, tmp_path, capsys):
    """The mean over windows of what each window says alone."""
    folder, checkpoint = system
    record, good = str(folder / "record3.npy"), ["--checkpoint", str(checkpoint)]
    question = ["--question", "Is the rate high?", "--options", "yes", "no"]
    whole = _predict(capsys, record, *good, *question, "--windows", "all")
    signal, alone = np.load(record), []
    for window in range(3):
        part = tmp_path / f"part{window}.npy"
        np.save(part, signal[:, 2 * FS_HZ * window : 2 * FS_HZ * (window + 1)])
        part.with_suffix(".json").write_text((folder / "record0.json").read_text())
        alone.append(_predict(capsys, str(part), *good, *question))
    assert len(whole["windows"]) == 3
    assert whole["answer"] in whole["windows"]
    for option, probability in whole["options"].items():
        logs = [math.log(one["options"][option]) for one in alone]
        assert math.log(probability) == pytest.approx(np.mean(logs), abs=0.2)
    first = _predict(capsys, record, *good, *question)
    assert first["answer"] == whole["windows"][0]
    assert "windows" not in first
    assert main(["predict", record, *good, *question, "--windows", "all"]) == 0
    assert "only the first" not in capsys.readouterr().err


def _fails(capsys, *arguments: str) -> str:
    assert main(["predict", *arguments]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_failures_are_one_sentence(system, tmp_path, capsys):
    folder, checkpoint = system
    record, good = str(folder / "record0.npy"), ["--checkpoint", str(checkpoint)]
    assert "not found" in _fails(capsys, record, "--checkpoint", str(tmp_path / "absent.pt"))
    cut = tmp_path / "cut.pt"
    cut.write_bytes(Path(checkpoint).read_bytes()[:4000])
    assert "truncated" in _fails(capsys, record, "--checkpoint", str(cut))
    assert "absent" in _fails(capsys, str(tmp_path / "absent.npy"), *good)
    np.save(tmp_path / "short.npy", np.zeros((12, 100), dtype=np.float32))
    (tmp_path / "short.json").write_text((folder / "record0.json").read_text())
    assert "short" in _fails(capsys, str(tmp_path / "short.npy"), *good)
    long_question = "rate " * 6000
    assert "max_sequence" in _fails(capsys, record, *good, "--question", long_question)
    few = [*good, "--max-new-tokens", "8000"]
    assert "positions" in _fails(capsys, record, *few)


def save_scaled(folder, tmp_path, factor):
    np.save(tmp_path / "x.npy", np.load(folder / "record0.npy") * np.float32(factor))
    (tmp_path / "x.json").write_text((folder / "record0.json").read_text())
    return str(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(1000, "--unit uV"), (200, "200 to a mV"), (1e-3, "--unit V"), (0, "flat")],
)
def test_absurd_signals_are_refused_unless_accepted(system, tmp_path, capsys, factor, reason):
    folder, checkpoint = system
    record, good = save_scaled(folder, tmp_path, factor), ["--checkpoint", str(checkpoint)]
    error = _fails(capsys, record, *good)
    assert reason in error
    assert record in error
    assert main(["predict", record, *good, "--accept-amplitude", "--max-new-tokens", "2"]) == 0
    assert reason in capsys.readouterr().err


def test_odd_signals_are_warned_of_and_sound_ones_are_not(system, tmp_path, capsys):
    folder, checkpoint = system
    good = ["--checkpoint", str(checkpoint), "--max-new-tokens", "2"]
    assert main(["predict", str(folder / "record0.npy"), *good]) == 0
    first = capsys.readouterr().err
    assert "mV" not in first
    assert "only the first 2 s of 6 s are judged; --windows all" in first
    assert main(["predict", save_scaled(folder, tmp_path, 0.05), *good]) == 0
    assert "is its unit right?" in capsys.readouterr().err


def test_an_empty_question_is_refused(system, capsys):
    folder, checkpoint = system
    record = str(folder / "record0.npy")
    assert "question" in _fails(capsys, record, "--checkpoint", str(checkpoint), "--question", " ")


def test_windows_in_which_no_lead_moves_are_left_out(system, tmp_path, capsys):
    folder, checkpoint = system
    signal = np.load(folder / "record9.npy")
    signal[:, 2 * FS_HZ : 4 * FS_HZ] = signal[:, 2 * FS_HZ : 2 * FS_HZ + 1]
    np.save(tmp_path / "dead.npy", signal)
    (tmp_path / "dead.json").write_text((folder / "record9.json").read_text())
    words = ["--checkpoint", str(checkpoint), "--json", "--max-new-tokens", "4", "--windows", "all"]
    assert main(["predict", str(tmp_path / "dead.npy"), *words]) == 0
    output = capsys.readouterr()
    assert len(json.loads(output.out)["windows"]) == 2
    assert "no lead moves in segment 2 of 3 (2 s each), left out" in output.err
