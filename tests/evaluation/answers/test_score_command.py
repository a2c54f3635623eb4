"""``ecg-fairseq score`` end to end on logs made here."""

import json
from types import SimpleNamespace

import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.evaluation.answers.blind import blind_partners
from ecg_fairseq.evaluation.answers.closed_set import fault_of_closed_set
from ecg_fairseq.files import sha256_of_json


@pytest.fixture
def questions(make_question):
    return [
        make_question(i, patients=(f"p{i % 8}",), template=i % 2, answer=["yes" if i % 3 else "no"])
        for i in range(24)
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch, questions, log_text):
    """Logs of a sighted run that is always right and of a blind one that says yes."""
    manifest = SimpleNamespace(
        meta={
            "dataset": "made here",
            "recipe": {"name": "ecg_byte"},
            "data_sha256": "abc",
            "store": {"shards": [{"sha256": "123"}]},
        },
        split_hash="def",
        questions=lambda split: questions if split == "test" else [],
    )
    monkeypatch.setattr("ecg_fairseq.records.manifest.folder.Manifest.load", lambda path: manifest)
    sighted = [
        (i, q.answer_text, [(-0.1, q.answer_text.upper()), (-3, "no"), (-0.2, "yes")])
        for i, q in reversed(list(enumerate(questions)))
    ]
    blind = [(i, q.answer_text, [(-0.1, "yes")]) for i, q in enumerate(questions)]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "generate-test.txt").write_text(log_text(sighted))
    (tmp_path / "blind.txt").write_text(log_text(blind))
    return tmp_path


def score(folder, *words):
    return main(["score", *[str(word) for word in words], "--resamples", "100"])


def test_scores_a_log_and_its_blind_run(folder, questions, capsys):
    log, blind = folder / "run" / "generate-test.txt", folder / "blind.txt"
    assert score(folder, log, folder / "manifest", "--blind", blind) == 0
    scores = json.loads((folder / "run" / "scores.json").read_text())
    assert scores["exact_match"] == 1.0
    assert scores["blind_exact_match"] == pytest.approx(16 / 24)
    assert scores["closed_set_accuracy"] == pytest.approx(16 / 24)
    assert (scores["data_sha256"], scores["split_hash"]) == ("abc", "def")
    assert scores["prepared_sha256"] == sha256_of_json(["123"])
    lines = (folder / "run" / "blind_predictions.jsonl").read_text().splitlines()
    shown = [json.loads(line)["record_ids"] for line in lines]
    assert shown == [questions[i].record_ids for i in blind_partners(questions)]
    table = capsys.readouterr().out
    assert "exact match (free text)" in table
    assert "WordNet" in table


def test_anyone_can_recompute_from_predictions(folder, capsys):
    log, blind = folder / "run" / "generate-test.txt", folder / "blind.txt"
    score(folder, log, folder / "manifest", "--blind", blind, "--out", folder / "first")
    first = capsys.readouterr().out
    answers = folder / "first" / "predictions.jsonl"
    blind = folder / "first" / "blind_predictions.jsonl"
    assert score(folder, answers, "--blind", blind, "--out", folder / "second") == 0
    assert capsys.readouterr().out == first
    ours = json.loads((folder / "first" / "scores.json").read_text())
    theirs = json.loads((folder / "second" / "scores.json").read_text())
    assert {name: ours[name] for name in theirs} == theirs
    for name in ("predictions.jsonl", "blind_predictions.jsonl"):
        again = (folder / "second" / name).read_bytes()
        assert again == (folder / "first" / name).read_bytes()


def test_part_of_the_answers_is_refused_with_a_manifest(folder, capsys):
    score(folder, folder / "run" / "generate-test.txt", folder / "manifest")
    answers = folder / "run" / "predictions.jsonl"
    answers.write_text("".join(answers.read_text().splitlines(keepends=True)[:5]))
    capsys.readouterr()
    assert score(folder, answers, folder / "manifest", "--out", folder / "x") == 1
    assert "5 of the manifest's 24" in capsys.readouterr().err
    assert score(folder, answers, "--out", folder / "x") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run/generate-test.txt"], "give the manifest folder"),
        (["run/generate-test.txt", "m", "--subset", "valid"], "beyond the 0 questions"),
        (["absent.txt", "m"], "cannot be read"),
        (["blind.txt", "--subset", "nonsense"], "--subset nonsense cannot be checked"),
        (["blind.txt", "m", "--report-types", "nonsense"], "no answer is a report of nonsense"),
        (["blind.txt", "m", "--report-types", "single-verify,x"], "no answer is a report of x"),
        (["blind.txt", "m", "--report-types", ","], "have the types single-verify"),
    ],
)
def test_mistakes_are_explained(folder, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    assert score(folder, *words) == 1
    assert message in capsys.readouterr().err


def test_a_negative_seed_is_explained(folder, capsys):
    with pytest.raises(SystemExit):
        score(folder, folder / "blind.txt", folder / "manifest", "--seed", "-1")
    assert "-1 is negative" in capsys.readouterr().err


def test_without_a_manifest_no_subset_is_claimed(folder):
    score(folder, folder / "run" / "generate-test.txt", folder / "manifest")
    scores = folder / "run" / "scores.json"
    assert json.loads(scores.read_text())["subset"] == "test"
    score(folder, folder / "run" / "predictions.jsonl")
    assert "subset" not in json.loads(scores.read_text())


def another_model(folder):
    """Score a run; return a file of other answers beside it."""
    score(folder, folder / "run" / "generate-test.txt", folder / "manifest")
    other = folder / "run" / "modelB.jsonl"
    text = (folder / "run" / "predictions.jsonl").read_text()
    other.write_text(text.replace('"answer": "YES"', '"answer": "maybe"'))
    return other


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "run").iterdir()}


def test_files_of_another_model_stay(folder, capsys):
    other = another_model(folder)
    before = contents(folder)
    assert score(folder, other) == score(folder, other) == 0
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"modelB_predictions.jsonl", "modelB_scores.json"}
    assert json.loads(after["modelB_scores.json"])["exact_match"] == pytest.approx(8 / 24)


@pytest.mark.parametrize("taken", ["predictions.jsonl", "blind_predictions.jsonl", "scores.json"])
def test_nothing_of_others_is_written_over(folder, capsys, taken):
    other = another_model(folder)
    (folder / "out").mkdir()
    (folder / "out" / taken).write_bytes((folder / "run" / "modelB.jsonl").read_bytes())
    log, blind = folder / "run" / "generate-test.txt", folder / "blind.txt"
    words = log, folder / "manifest", "--blind", blind, "--out", folder / "out"
    assert score(folder, *words) == 1
    assert f"{taken} " in capsys.readouterr().err
    assert [path.name for path in (folder / "out").iterdir()] == [taken]
    assert (folder / "out" / taken).read_bytes() == other.read_bytes()


def test_a_log_does_not_replace_predictions_of_another(folder, capsys):
    other = another_model(folder)
    other.replace(folder / "run" / "predictions.jsonl")
    before = contents(folder)
    assert score(folder, folder / "run" / "generate-test.txt", folder / "manifest") == 1
    assert "holds other answers" in capsys.readouterr().err
    assert contents(folder) == before


def test_a_file_that_is_scored_is_not_written_anew(folder):
    score(folder, folder / "run" / "generate-test.txt", folder / "manifest")
    path = folder / "run" / "predictions.jsonl"
    lines = [json.loads(line) | {"mine": 1} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    before = path.read_bytes()
    assert score(folder, path, folder / "manifest") == 0
    assert path.read_bytes() == before


def test_results_of_simulated_ecgs_say_so(folder, capsys, monkeypatch):
    from ecg_fairseq.records.manifest.folder import Manifest

    log = folder / "run" / "generate-test.txt"
    score(folder, log, folder / "manifest")
    assert "simulated" not in json.loads((folder / "run" / "scores.json").read_text())
    manifest = Manifest.load(folder / "manifest")
    monkeypatch.setitem(manifest.meta, "simulated", True)
    capsys.readouterr()
    score(folder, log, folder / "manifest")
    scores = json.loads((folder / "run" / "scores.json").read_text())
    assert scores["simulated"] is True
    assert scores["warnings"][0].startswith("Simulated ECGs")
    assert "note: Simulated ECGs" in capsys.readouterr().out


def candidates(**scores):
    return [{"text": text, "score": score} for text, score in scores.items()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patient_ids": []}, "'patient_ids' must name at least one"),
        ({"record_ids": []}, "'record_ids' must name at least one"),
        ({"patient_ids": [" "]}, "'patient_ids' must name at least one"),
        ({"answer": "\ud800"}, "half a character"),
        ({"patient_ids": ["p\udfff"]}, "half a character"),
        ({"options": ["yes", "\udc00"]}, "half a character"),
        ({"closed_set": [{"text": "\udc00", "score": -1}]}, "half a character"),
        ({"closed_set": [{"text": "yes", "score": float("inf")}]}, "has the score inf"),
        ({"closed_set": [{"text": "yes", "score": float("-inf")}]}, "has the score -inf"),
        ({"closed_set": [{"text": "yes", "score": float("nan")}]}, "has the score NaN"),
        ({"closed_set": [{"text": "yes", "score": 10**400}]}, "'closed_set' must be"),
        ({"closed_set": [{"text": None, "score": 1}]}, "'closed_set' must be text"),
        ({"closed_set": 5}, "'closed_set' must be"),
        ({"closed_set": candidates(yes=True, no=-1)}, "number for a score, found True"),
        ({"closed_set": candidates(yes="-1", no=-1)}, "number for a score, found '-1'"),
        ({"closed_set": candidates(yes=-1, no=None)}, "number for a score, found None"),
        ({"closed_set": candidates(yes=-1, no=-2, zzz=-3)}, "'zzz' is not among the options"),
        ({"closed_set": candidates(yes=-1, none=-2)}, "'none' is not among the options"),
        ({"closed_set": candidates(yes=-1)}, "lacks 'no'"),
        ({"closed_set": candidates(yes=-1, no=-2) * 2}, "a candidate twice"),
        ({"template_id": float("inf")}, "must be an integer"),
    ],
)
def test_odd_predictions_are_one_sentence(folder, capsys, change, message):
    score(folder, folder / "run" / "generate-test.txt", folder / "manifest")
    answers = folder / "run" / "predictions.jsonl"
    lines = answers.read_text().splitlines()
    answers.write_text("\n".join([*lines[:2], json.dumps(json.loads(lines[2]) | change)]) + "\n")
    capsys.readouterr()
    assert score(folder, answers, "--out", folder / "x") == 1
    error = capsys.readouterr().err
    assert message in error
    assert "line 3" in error
    assert "Traceback" not in error
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    ("options", "offered", "message"),
    [
        (["left", "right", "none"], ["left", "right", "right; left", "None"], None),
        (["left", "right", "none"], ["left", "right", "none"], None),
        (["left", "right"], ["left", "right"], None),
        (["left", "right"], ["left", "left; right", "none"], "lacks 'right'"),
        (["left", "right"], ["left", "right", "up"], "'up' is not among"),
        (["left", "right", "up"], ["left", "right", "up", "left; up"], "'left; up' is not among"),
        (["left"], ["left", "none"], None),
    ],
)
def test_a_choice_offers_each_both_and_none(options, offered, message):
    fault = fault_of_closed_set("single-choose", options, offered)
    assert fault is None if message is None else message in fault


def test_a_closed_set_of_another_log_is_refused(folder, questions, log_text, capsys):
    log = folder / "run" / "generate-test.txt"
    answers = [(-0.1, "yes"), (-3, "yes"), (-0.2, "maybe")]
    log.write_text(log_text([(i, q.answer_text, answers) for i, q in enumerate(questions)]))
    assert score(folder, log, folder / "manifest") == 1
    assert "item 0: the closed-set candidate 'maybe' is not among" in capsys.readouterr().err


def test_equal_scores_in_a_closed_set_are_said(folder, questions, log_text, capsys):
    log = folder / "run" / "generate-test.txt"
    items = [
        (i, q.answer_text, [(-0.1, "yes"), (-1, "no"), (-1 if i < 5 else -2, "yes")])
        for i, q in enumerate(questions)
    ]
    log.write_text(log_text(items))
    assert score(folder, log, folder / "manifest") == 0
    assert "In 5 closed sets several candidates have the best score" in capsys.readouterr().out
    scores = json.loads((folder / "run" / "scores.json").read_text())
    assert scores["n_closed_set_tied"] == 5
