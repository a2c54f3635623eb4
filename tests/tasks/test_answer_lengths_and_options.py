"""Answers as long as the training answers were, cut ones counted, and options that are refused."""

import json
import logging
from types import SimpleNamespace

import pytest
import torch
from fairseq.dataclass.configs import GenerationConfig
from fairseq_in_process import generate, lines_of, setup_task, train
from toy_models import save_family

from ecg_fairseq.compat.generation_options import refuse_unheeded
from ecg_fairseq.data.questions.answer_generator import CutAnswers
from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.answering import DEFAULT_NEW_TOKENS
from ecg_fairseq.networks.language_model.trained_system import load_trained_system


def longest_answer_in(toy) -> int:
    """Tokens of the longest training answer, end token included."""
    text = setup_task(toy.path).text_tokenizer
    answers = [question.answer_text for question in toy.questions("train")]
    return max(len(ids) for ids in text.encode_many(answers)) + 1


def test_a_checkpoint_notes_its_longest_training_answer(toy, checkpoint):
    state = torch.load(checkpoint, weights_only=False)["task_state"]
    assert state["longest_answer"] == longest_answer_in(toy) < DEFAULT_NEW_TOKENS
    # shorter than the default, which therefore holds
    assert load_trained_system(checkpoint).longest_answer == DEFAULT_NEW_TOKENS


def test_the_default_follows_longer_training_answers(toy_copy):
    path = toy_copy / "train.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["answer"] = [" ".join(f"word{number}" for number in range(90))]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = setup_task(toy_copy, "task.max_new_tokens=null")
    assert task.longest_answer == DEFAULT_NEW_TOKENS
    task.load_dataset("train", epoch=1)
    assert task.longest_answer > 90
    assert task.state_dict()["longest_answer"] == task.longest_answer
    other = setup_task(toy_copy, "task.max_new_tokens=null")
    other.load_state_dict(task.state_dict())
    assert other.longest_answer == task.longest_answer
    asked = setup_task(toy_copy, "task.max_new_tokens=7")
    asked.load_state_dict(task.state_dict())
    assert asked.longest_answer == 7


def test_cut_answers_are_counted_and_said(toy, checkpoint, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        options = ("--skip-closed-set", "--max-new-tokens", "1", "--batch-size", "6")
        text = generate(toy.path, checkpoint, tmp_path, *options)
    total = len(lines_of(text, "H"))
    said = [record.getMessage() for record in caplog.records if "did not end" in record.message]
    assert "so far" in said[0]
    assert said[-1].startswith(f"{total:,} of {total:,} answers did not end within 1 tokens")
    long_ones = [record.getMessage() for record in caplog.records if "reference" in record.message]
    assert long_ones
    assert long_ones[0].startswith(f"{total:,} of {total:,} reference answers have more than 1")


def hypotheses(*ends: int) -> list:
    return [[{"tokens": torch.tensor([5, end])}] for end in ends]


def test_ended_answers_and_layouts_without_an_end_are_not_counted(caplog):
    with caplog.at_level(logging.WARNING):
        whole, endless = CutAnswers(2, 9), CutAnswers(2, None)
        for count in (whole, endless):
            count.add(hypotheses(9, 9) if count is whole else hypotheses(5, 5))
    assert not caplog.records
    whole.num_expected = 4
    whole.add(hypotheses(9, 5))
    assert (whole.num_cut, whole.num_answers) == (1, 4)
    assert "1 of 4 answers did not end within 2 tokens" in caplog.text
    assert "so far" not in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 4}, r"--beam 4.*--beam 1"),
        ({"prefix_size": 2}, r"--prefix-size 2"),
        ({"constraints": "ordered"}, r"--constraints ordered"),
        ({"no_repeat_ngram_size": 2}, r"--no-repeat-ngram-size 2"),
        ({"sampling": True, "sampling_topk": 5}, r"--sampling-topk 5"),
        ({"sampling": True, "sampling_topp": 0.5}, r"--sampling-topp 0\.5"),
        ({"lenpen": 2.0}, r"--lenpen 2\.0"),
        ({"min_len": 3}, r"--min-len 3"),
        ({"max_len_b": 10}, r"--max-len-b 10.*--max-new-tokens"),
        ({"score_reference": True}, r"--score-reference"),
        ({"lm_path": "lm.pt"}, r"--lm-path"),
    ],
)
def test_options_that_answers_do_not_heed_are_refused(options, message):
    given = SimpleNamespace(**{**vars(GenerationConfig()), **options})
    with pytest.raises(EcgError, match=message):
        refuse_unheeded(given, [None])


@pytest.mark.parametrize(
    "options", [{}, {"beam": 1}, {"sampling": True, "temperature": 2.0}, {"nbest": 3}]
)
def test_options_that_are_heeded_pass(options):
    refuse_unheeded(SimpleNamespace(**{**vars(GenerationConfig()), **options}), [None])


@pytest.mark.parametrize("words", [("--beam", "5"), ("--beam=5",)])
def test_fairseqs_default_beam_is_refused_where_it_is_asked_for(monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["fairseq-generate", *words])
    with pytest.raises(EcgError, match="--beam 5"):
        refuse_unheeded(GenerationConfig(), [None])


def test_packing_is_refused_where_a_base_cannot_keep_questions_apart(toy, tmp_path):
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True}
    folder = save_family(tmp_path / "base", "FalconConfig", **shape, max_position_embeddings=2048)
    settings = (f"model.llm={folder}", "model.tuning=lora", f"task.text_tokenizer={folder}")
    with pytest.raises(EcgError, match=r"pairs_per_ecg=3.*set task\.pairs_per_ecg=1"):
        train(toy.path, tmp_path / "packed", *settings, "task.pairs_per_ecg=3")
    train(toy.path, tmp_path / "single", *settings, "task.pairs_per_ecg=1")


def test_an_ensemble_is_refused(toy, checkpoint, tmp_path):
    with pytest.raises(EcgError, match=r"names 2 checkpoints.*one model"):
        generate(toy.path, f"{checkpoint}:{checkpoint}", tmp_path)


def test_a_prefix_is_refused(toy, checkpoint, tmp_path):
    with pytest.raises(EcgError, match="--prefix-size 1"):
        generate(toy.path, checkpoint, tmp_path, "--prefix-size", "1")


def test_sampled_answers_are_the_same_in_any_batch(toy, checkpoint, tmp_path):
    sampling = ("--sampling", "--beam", "1", "--temperature", "2.0", "--skip-closed-set")
    texts = []
    for size in ("1", "7"):
        out = tmp_path / size
        text = generate(toy.path, checkpoint, out, *sampling, "--batch-size", size)
        texts.append({n: h[0][1] for n, h in lines_of(text, "H").items()})
    assert texts[0] == texts[1]
    assert len(set(texts[0].values())) > 1
