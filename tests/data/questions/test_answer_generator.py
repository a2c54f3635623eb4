"""Answers as fairseq hypotheses: order, scores and tokens; the face of a text tokenizer."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from toy_models import build, build_prefix, random_rows, text_tokenizer

from ecg_fairseq.data.questions import answer_generator
from ecg_fairseq.data.questions.answer_generator import (
    AnswerGenerator,
    TextDictionary,
    written_answers,
)
from ecg_fairseq.evaluation.answers.predictions import Candidate
from ecg_fairseq.networks.language_model.answering import DecodingOptions, pack_candidates
from ecg_fairseq.networks.language_model.prompt import pad_left, pad_packed
from ecg_fairseq.networks.language_model.text_tokenizer import train_text_tokenizer
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary, RowOrder

TEXT = text_tokenizer()
OPTIONS = ("yes", "no", "tall pulse; none")
DECODING = DecodingOptions(max_new_tokens=6)


@pytest.fixture(scope="module")
def network() -> Any:
    return build(TEXT, llm="tiny")


def prompt_of(network: Any, number: int) -> np.ndarray:
    ecg = random_rows(network.vocabulary, 5 + 4 * number, number, text=False)
    question = TEXT.encode("Does this ECG show a tall pulse?")
    return np.concatenate([build_prefix([ecg], network.vocabulary), question])


def sample_of(network: Any, closed: dict[int, tuple[str, ...]]) -> dict[str, Any]:
    """Three prompts; those in ``closed`` have candidates."""
    prompts = [prompt_of(network, number) for number in range(3)]
    ids, mask = pad_left(prompts, network.vocabulary.pad_id)
    inputs = {"src_tokens": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    sample: dict[str, Any] = {"net_input": inputs, "candidate_rows": list(closed)}
    if closed:
        packed = [
            pack_candidates(prompts[row], rows_of(options)) for row, options in closed.items()
        ]
        arrays = pad_packed(packed, network.vocabulary.pad_id)
        sample["candidates"] = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return sample


def rows_of(options: tuple[str, ...]) -> list[list[int]]:
    return [[*ids, TEXT.eos_id] for ids in TEXT.encode_many(options)]


def log_probabilities(network: Any, prompt: np.ndarray, answer: list[int]) -> list[float]:
    """One whole forward pass of prompt and answer; only text competes."""
    rows = torch.tensor([[*prompt.tolist(), *answer]])
    with torch.no_grad():
        logits = network(rows, torch.arange(rows.shape[1])[None])[0].double().numpy()
    found = []
    for place, token in enumerate(answer, start=len(prompt) - 1):
        scores = logits[place, : network.vocabulary.num_text_rows]
        found.append(float(scores[token] - np.log(np.exp(scores).sum())))
    return found


def generate(network: Any, sample: dict[str, Any], closed_set: bool = True) -> Any:
    generator = AnswerGenerator(DECODING, closed_set, TEXT.eos_id)
    return generator.generate(SimpleNamespace(network=network), sample)


def test_free_text_comes_first_then_candidates_as_written(network: Any) -> None:
    sample = sample_of(network, {2: OPTIONS, 0: OPTIONS[1::-1]})
    found = generate(network, sample)
    assert [len(hypotheses) for hypotheses in found] == [3, 1, 4]
    for row, options in ((2, OPTIONS), (0, OPTIONS[1::-1])):
        tokens = [hypothesis["tokens"].tolist() for hypothesis in found[row][1:]]
        assert tokens == rows_of(options)
    for number, hypotheses in enumerate(found):
        for hypothesis in hypotheses:
            tokens = hypothesis["tokens"].tolist()
            wanted = log_probabilities(network, prompt_of(network, number), tokens)
            scores = hypothesis["positional_scores"]
            np.testing.assert_allclose(scores, wanted, atol=1e-4)
            assert hypothesis["score"] == pytest.approx(sum(wanted), abs=1e-3)
            assert (hypothesis["attention"], hypothesis["alignment"]) == (None, None)


def test_candidates_are_left_out_where_not_asked_for_or_absent(network: Any) -> None:
    with_candidates = sample_of(network, {0: OPTIONS})
    found = generate(network, with_candidates, closed_set=False)
    assert [len(hypotheses) for hypotheses in found] == [1, 1, 1]
    without = generate(network, sample_of(network, {}))
    assert [len(hypotheses) for hypotheses in without] == [1, 1, 1]
    for (one,), (other,) in zip(found, without, strict=True):
        assert one["tokens"].tolist() == other["tokens"].tolist()


def test_a_network_in_training_answers_as_in_evaluation(network: Any) -> None:
    sample = sample_of(network, {})
    network.train()
    generate(network, sample)
    assert not network.training


def test_decoding_is_handed_on_and_fairseq_strips_the_end(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def answers(*arguments: Any) -> list[Any]:
        asked.extend(arguments[1:])
        return [(torch.tensor([5, 2]), torch.tensor([-0.5, -1.0], dtype=torch.bfloat16))] * 3

    monkeypatch.setattr(answer_generator, "generate_answers", answers)
    sample = sample_of(network, {})
    ((first,), _, _) = generate(network, sample)
    assert asked[0] is sample["net_input"]["src_tokens"]
    assert asked[1] is sample["net_input"]["attention_mask"]
    assert asked[2] is DECODING
    assert first["score"] == -1.5
    assert first["positional_scores"].dtype == torch.float32
    assert AnswerGenerator(DECODING, True, 9).symbols_to_strip_from_output == {9}


# What fairseq prints ------------------------------------------------------------------------------


class Task:
    """Knows a tokenizer, and may be given another one."""

    def __init__(self, text: Any, rows: RowOrder | None = None, bos_id: int | None = None) -> None:
        self.text_tokenizer = text
        order = rows or RowOrder()
        self.vocabulary = EcgVocabulary(text.num_rows, (97, 98, 99), bos_id, text.eos_id, order)


def test_rows_of_the_dictionary_are_the_vocabularys() -> None:
    dictionary = TextDictionary(Task(TEXT, bos_id=1))
    first = TEXT.num_rows + 3
    assert len(dictionary) == TEXT.num_rows + 6
    assert (dictionary.unk(), dictionary.pad()) == (first, first + 2)
    assert (dictionary.bos(), dictionary.eos()) == (1, TEXT.eos_id)
    assert TextDictionary(Task(TEXT)).bos() == TEXT.eos_id


def test_a_checkpoints_tokenizer_takes_over() -> None:
    """fairseq-generate takes the dictionary before the checkpoint brings its tokenizer."""
    task = Task(TEXT)
    dictionary = TextDictionary(task)
    other = train_text_tokenizer(["sinus rhythm", "atrial flutter"], 280)
    brought = Task(other)
    task.text_tokenizer, task.vocabulary = brought.text_tokenizer, brought.vocabulary
    assert len(dictionary) == other.num_rows + 6 != TEXT.num_rows + 6
    assert dictionary.string(torch.tensor(other.encode("atrial flutter"))) == "atrial flutter"


def test_a_string_holds_text_only_in_one_line() -> None:
    dictionary = TextDictionary(Task(TEXT))
    ecg = TEXT.num_rows
    text = TEXT.encode("tall\n  pulse; none")
    rows = [ecg + 3, ecg, *text[:2], ecg + 1, *text[2:], TEXT.eos_id, dictionary.pad()]
    assert dictionary.string(torch.tensor(rows), "@@ ", escape_unk=True) == "tall pulse; none"
    assert dictionary.string(torch.tensor([ecg, dictionary.pad()])) == ""


def test_a_text_tokenizer_is_asked_about_its_own_rows_only() -> None:
    task: Any = Task(TEXT)
    task.text_tokenizer = SimpleNamespace(decode=str)
    ecg = TEXT.num_rows
    assert TextDictionary(task).string(torch.tensor([ecg, ecg - 1, 4, ecg + 5])) == str(
        [ecg - 1, 4]
    )


def test_written_answers_are_text_and_score_to_base_two() -> None:
    dictionary = TextDictionary(Task(TEXT))
    hypotheses = [
        {"tokens": torch.tensor(rows), "score": -(number + 1) * math.log(2)}
        for number, rows in enumerate(rows_of(OPTIONS))
    ]
    found = written_answers(hypotheses, dictionary)
    assert [candidate.text for candidate in found] == list(OPTIONS)
    assert [candidate.score for candidate in found] == pytest.approx([-1, -2, -3])
    assert all(isinstance(candidate, Candidate) for candidate in found)
