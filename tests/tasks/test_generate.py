"""fairseq-generate on the task: every question answered, in any number, batch equal to single."""

import json

import pytest
from fairseq_in_process import generate, lines_of

from ecg_fairseq.data.questions.answer_generator import AnswerGenerator
from ecg_fairseq.evaluation.answers.generate_log import predictions_from_log
from ecg_fairseq.evaluation.answers.prediction_file import read_answers
from ecg_fairseq.evaluation.answers.predictions import read_predictions
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.questions.question import candidate_answers


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tmp_path_factory.mktemp("all")


@pytest.fixture(scope="module")
def answers(toy, checkpoint, run):
    return generate(toy.path, checkpoint, run, "--batch-size", "6")


@pytest.mark.parametrize("count", [1, 5, 9, 17])
def test_no_question_is_lost(toy_copy, checkpoint, tmp_path, count):
    """fairseq's required_batch_size_multiple of 8 would drop the last ones."""
    lines = (toy_copy / "test.jsonl").read_text().splitlines()
    assert len(lines) >= 17
    (toy_copy / "test.jsonl").write_text("\n".join(lines[:count]) + "\n")
    text = generate(toy_copy, checkpoint, tmp_path)
    for kind in "STHDP":
        assert sorted(lines_of(text, kind)) == list(range(count)), kind


def test_references_and_questions_are_printed_as_text(toy, answers):
    questions = toy.questions("test")
    for number, ((reference,),) in lines_of(answers, "T").items():
        assert reference == questions[number].answer_text
    for number, ((source,),) in lines_of(answers, "S").items():
        assert source == questions[number].question


def test_the_closed_set_follows_the_answer_in_its_written_order(toy, answers):
    questions = toy.questions("test")
    kinds = set()
    for number, hypotheses in lines_of(answers, "H").items():
        candidates = candidate_answers(questions[number])
        kinds.add(bool(candidates))
        assert [text for _, text in hypotheses[1:]] == candidates
        scores = [float(score) for score, _ in hypotheses]
        assert max(scores) <= 0.0
    assert kinds == {True, False}


def test_a_candidate_equal_to_the_answer_has_the_answers_score(answers):
    compared = 0
    for (score, text), *candidates in lines_of(answers, "H").values():
        for other_score, other in candidates:
            if other == text:
                assert float(other_score) == pytest.approx(float(score), abs=1e-3)
                compared += 1
    assert compared > 0


@pytest.mark.parametrize("options", [["--batch-size", "1"], ["--max-tokens", "1100"]])
def test_the_batch_does_not_change_answers_or_scores(toy, checkpoint, tmp_path, answers, options):
    other = lines_of(generate(toy.path, checkpoint, tmp_path, *options), "H")
    expected = lines_of(answers, "H")
    assert sorted(other) == sorted(expected)
    for number, hypotheses in expected.items():
        for (score, text), (other_score, other_text) in zip(hypotheses, other[number], strict=True):
            assert other_text == text
            assert float(other_score) == pytest.approx(float(score), abs=1e-3)


def test_without_closed_set_only_the_answer_is_written(toy, checkpoint, tmp_path, answers):
    text = generate(toy.path, checkpoint, tmp_path, "--skip-closed-set")
    expected = lines_of(answers, "H")
    for number, hypotheses in lines_of(text, "H").items():
        assert [t for _, t in hypotheses] == [expected[number][0][1]]
    predictions = read_predictions(tmp_path / "predictions.jsonl")
    assert [p.answer for p in predictions] == [expected[n][0][1] for n in sorted(expected)]
    assert not any(prediction.closed_set for prediction in predictions)


def test_sampling_is_repeatable_by_seed(toy, checkpoint, tmp_path):
    runs = []
    for place, seed in enumerate((1, 1, 2)):
        text = generate(
            toy.path,
            checkpoint,
            tmp_path / str(place),
            *("--sampling", "--beam", "1", "--temperature", "2.0", "--seed", str(seed)),
            "--skip-closed-set",
        )
        runs.append({n: h[0][1] for n, h in lines_of(text, "H").items()})
    assert runs[0] == runs[1] != runs[2]


def test_blind_answers_show_another_patients_ecg(toy, checkpoint, tmp_path, answers):
    text = generate(toy.path, checkpoint, tmp_path, "--blind")
    blind, seen = lines_of(text, "H"), lines_of(answers, "H")
    assert set(blind) <= set(seen)
    assert len(blind) >= 0.8 * len(seen)
    assert any(blind[n][0] != seen[n][0] for n in blind)
    questions = toy.questions("test")
    log, predictions = tmp_path / "generate-test.txt", tmp_path / "predictions.jsonl"
    asked = {question.id: question for question in questions}
    written = read_predictions(predictions)
    assert [p.id for p in written] == [questions[n].id for n in sorted(blind)]
    assert all(not set(p.patient_ids) & set(asked[p.id].patient_ids) for p in written)
    predictions.rename(tmp_path / "aside.jsonl")
    assert read_answers(log, questions, is_blind=True) == written
    assert Manifest.load(toy.path).questions("test")


def test_the_predictions_file_equals_the_log_to_the_digit(toy, run, answers):
    questions = toy.questions("test")
    written = read_predictions(run / "predictions.jsonl")
    assert written == predictions_from_log(run / "generate-test.txt", questions)
    assert any(prediction.closed_set for prediction in written)
    printed = {n: [score for score, _ in cells] for n, cells in lines_of(answers, "D").items()}
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        closed_set = json.loads(line, parse_float=str).get("closed_set", [])
        assert [candidate["score"] for candidate in closed_set] == printed[number][1:]


def test_answers_are_printed_by_the_checkpoints_text_tokenizer(
    toy, checkpoint, tmp_path, run, answers
):
    """fairseq takes the task's dictionaries before it loads the checkpoint."""
    text = generate(toy.path, checkpoint, tmp_path, "--text-vocab-size", "300")
    assert lines_of(text, "T") == lines_of(answers, "T")
    expected = read_predictions(run / "predictions.jsonl")
    assert read_answers(tmp_path / "generate-test.txt", toy.questions("test"), False) == expected
    assert predictions_from_log(tmp_path / "generate-test.txt", toy.questions("test")) == expected


def test_a_quiet_run_leaves_its_predictions(toy, checkpoint, tmp_path, run, answers):
    text = generate(toy.path, checkpoint, tmp_path, "--quiet", "--batch-size", "6")
    assert lines_of(text, "D") == {}
    read = read_answers(tmp_path / "generate-test.txt", toy.questions("test"), is_blind=False)
    assert read == read_predictions(run / "predictions.jsonl")


def test_a_run_that_stops_leaves_no_predictions(toy, checkpoint, tmp_path, monkeypatch):
    """Not even those of the run before, whose log fairseq has emptied."""
    (tmp_path / "predictions.jsonl").write_text("of an earlier run")
    whole, batches = AnswerGenerator.generate, []

    def stop(self, model, sample):
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(sample)
        return whole(self, model, sample)

    monkeypatch.setattr(AnswerGenerator, "generate", stop)
    with pytest.raises(KeyboardInterrupt):
        generate(toy.path, checkpoint, tmp_path, "--batch-size", "2", "--skip-closed-set")
    assert len(batches) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["generate-test.txt"]


def test_shards_answer_their_share_and_join(toy, checkpoint, tmp_path, run, answers):
    questions, lines = toy.questions("test"), []
    for shard in range(3):
        folder = tmp_path / str(shard)
        options = ("--num-shards", "3", "--shard-id", str(shard), "--batch-size", "6")
        text = generate(toy.path, checkpoint, folder, *options)
        own = read_predictions(folder / "predictions.jsonl")
        assert [p.id for p in own] == [questions[n].id for n in sorted(lines_of(text, "D"))]
        lines.append((folder / "predictions.jsonl").read_text(encoding="utf-8"))
    (tmp_path / "joined.jsonl").write_text("".join(lines), encoding="utf-8")
    joined = read_answers(tmp_path / "joined.jsonl", questions, is_blind=False)
    assert joined == read_predictions(run / "predictions.jsonl")
