"""Datasets over questions: packing, order, batches, collating, windows, and the token cache."""

import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_manifest import make_manifest
from toy_models import builder_of

from ecg_fairseq.data.questions.question_dataset import (
    AnswerQuestions,
    EncodedQuestion,
    TrainingQuestions,
    pack_by_ecg,
    shown_rows,
)
from ecg_fairseq.data.tokens.cached_tokens import CachedTokens, load_ecg_tokens
from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.tokenizer import EcgTokenizer

VOCABULARY = EcgVocabulary(20, tuple(range(97, 123)), bos_id=1, eos_id=2)
BUILDER = builder_of(VOCABULARY)
LENGTHS = (30, 5, 12, 12, 80, 3)


def tokens() -> CachedTokens:
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    return CachedTokens(np.full(offsets[-1], 100, dtype=np.uint32), offsets)


def encoded(number: int, rows: tuple[int, ...], question: int = 4, answer: int = 2):
    text = Question(f"q{number}", "?", ["a"], "own", ["r"] * len(rows), ["p"] * len(rows))
    return EncodedQuestion(text, rows, [5] * question, [6] * (answer - 1) + [2])


def training(items, max_sequence: int = 200, allow_cut: bool = True, seed: int = 1):
    return TrainingQuestions(items, tokens(), BUILDER, max_sequence, allow_cut, seed)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_packing_keeps_every_question_once_and_fits(shape, pairs, seed):
    questions = [encoded(i, (row,), question) for i, (row, question) in enumerate(shape)]

    def space(rows):
        return 100 - LENGTHS[rows[0]]

    packed = pack_by_ecg(questions, pairs, space, seed)
    assert sorted(q.question.id for item in packed for q in item) == sorted(
        q.question.id for q in questions
    )
    for item in packed:
        assert len({q.rows for q in item}) == 1
        assert len(item) <= pairs
        text = sum(q.num_text_tokens for q in item)
        assert len(item) == 1 or text <= space(item[0].rows)
    again = pack_by_ecg(questions, pairs, space, seed)
    assert [[q.question.id for q in item] for item in packed] == [
        [q.question.id for q in item] for item in again
    ]


@pytest.mark.parametrize("count", [*range(1, 20), 33])
@pytest.mark.parametrize("limits", [(None, 4), (120, None), (120, 3)])
def test_batches_hold_every_sequence_once(count, limits):
    dataset = training([[encoded(i, (i % 6,))] for i in range(count)])
    max_tokens, max_sentences = limits
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_tokens, max_sentences, 8)
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    for batch in batches:
        assert max_sentences is None or len(batch) <= max_sentences
        assert max_tokens is None or len(batch) * dataset.sizes[batch].max() <= max_tokens


def test_order_is_by_length_and_a_function_of_sizes_and_seed():
    items = [[encoded(i, (i % 6,))] for i in range(30)]
    np.random.seed(1)  # the global state must not matter
    first = training(items).ordered_indices()
    np.random.seed(2)
    assert np.array_equal(training(items).ordered_indices(), first)
    assert not np.array_equal(training(items, seed=2).ordered_indices(), first)
    sizes = training(items).sizes[first]
    assert (np.diff(sizes) >= 0).all()


def test_sizes_are_the_lengths_of_the_sequences():
    items = [[encoded(0, (0,))], [encoded(1, (1, 2)), encoded(2, (1, 2))], [encoded(3, (4,))]]
    dataset = training(items)
    lengths = [len(dataset[i].input_ids) for i in range(3)]
    assert dataset.sizes.tolist() == lengths == [30 + 3 + 6, 17 + 5 + 12, 80 + 3 + 6]
    assert dataset.num_tokens_vec(np.array([2, 0])).tolist() == [lengths[2], lengths[0]]
    assert (dataset.num_tokens(1), dataset.size(1)) == (lengths[1], lengths[1])


def test_cuts_are_counted_in_training_and_refused_in_evaluation(caplog):
    items = [[encoded(0, (0,))], [encoded(1, (4,))]]
    dataset = training(items, max_sequence=40)
    assert dataset.num_cut == 1
    assert "1 of 2 training sequences are longer than task.max_sequence=40" in caplog.text
    cut = dataset[1]
    assert len(cut.input_ids) == 40
    assert cut.input_ids[-6:].tolist() == [5, 5, 5, 5, 6, 2]
    with pytest.raises(RecordError, match="'q1' needs 89 tokens"):
        training(items, max_sequence=40, allow_cut=False)
    with pytest.raises(RecordError, match="'q2'"):
        training([[encoded(2, (5,), question=60)]], max_sequence=40)


def test_a_batch_of_single_questions_needs_no_mask():
    single = training([[encoded(0, (1,))], [encoded(1, (2,), 7)]])
    batch = single.collater([single[0], single[1]])
    assert set(batch["net_input"]) == {"input_ids", "position_ids"}
    assert batch["ntokens"] == 4 == int((batch["labels"] != -100).sum())
    assert batch["nsentences"] == 2
    packed = training([[encoded(0, (1,)), encoded(1, (1,))], [encoded(2, (2,))]])
    batch = packed.collater([packed[0], packed[1]])
    assert batch["net_input"]["segment_ids"].max() == 2
    assert batch["ntokens"] == 6
    assert packed.collater([]) == {}


def test_prompts_are_padded_left_and_carry_their_number_and_closed_set():
    first = encoded(0, (1,))
    second = EncodedQuestion(first.question, (2,), [5] * 7, [6, 6, 2], ((6, 2), (7, 7, 2)))
    dataset = AnswerQuestions([4, 9], [[first], [second]], tokens(), BUILDER, 200, False, 1)
    batch = dataset.collater([dataset[0], dataset[1]])
    assert batch["id"].tolist() == [4, 9]
    source, mask = batch["net_input"]["src_tokens"], batch["net_input"]["attention_mask"]
    assert source.shape == mask.shape == (2, 12 + 3 + 7)
    assert mask.sum(1).tolist() == [5 + 3 + 4, 22]
    assert (source[0][mask[0] == 0] == VOCABULARY.pad_id).all()
    assert batch["target"].tolist() == [[6, 2, VOCABULARY.pad_id], [6, 6, 2]]
    assert batch["candidate_rows"] == [1]
    assert batch["candidates"]["segment_ids"].max() == 2
    assert "candidates" not in dataset.collater([dataset[0]])
    assert dataset.collater([]) == {}


@dataclass
class FakeManifest:
    records: dict

    def record_row(self, name):
        return self.records[name]


def test_recordings_are_compared_window_by_window():
    rows = {
        "a": RecordRow("a", "p", first_row=10, num_segments=3),
        "b": RecordRow("b", "p", first_row=20, num_segments=2),
        "c": RecordRow("c", "p", first_row=30, num_segments=0),
    }

    def shown(*names):
        question = Question("q", "?", ["x"], "own", list(names), ["p"] * len(names))
        return shown_rows(FakeManifest(rows), question)

    assert shown("a") == [(10,), (11,), (12,)]
    assert shown("a", "b") == [(10, 20), (11, 21)]
    assert shown("b", "a") == [(20, 10), (21, 11)]
    with pytest.raises(RecordError, match=r"'q'.*without a whole window"):
        shown("a", "c")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("toy"), 10)


@pytest.fixture(scope="module")
def tokenizer(toy):
    return EcgTokenizer.load(toy.path.parent / "tokenizer.json")


def test_cached_tokens_equal_fresh_ones(toy, tokenizer):
    first = load_ecg_tokens(toy, tokenizer)
    written = {path: path.stat().st_mtime_ns for path in (toy.path / "tokens").iterdir()}
    again = load_ecg_tokens(toy, tokenizer)
    assert {path: path.stat().st_mtime_ns for path in (toy.path / "tokens").iterdir()} == written
    for row in range(len(toy.store)):
        (fresh,) = tokenizer.encode_signals(toy.store.read(row).reshape(1, -1))
        assert np.array_equal(first[row], fresh)
        assert np.array_equal(again[row], fresh)
        assert first.length(row) == len(fresh)


def test_another_tokenizer_has_another_cache(toy, tokenizer):
    load_ecg_tokens(toy, tokenizer)
    before = set((toy.path / "tokens").iterdir())
    shorter = EcgTokenizer.from_dict(
        {**tokenizer.to_dict(), "merges": tokenizer.to_dict()["merges"][:20]}
    )
    load_ecg_tokens(toy, shorter)
    assert len(set((toy.path / "tokens").iterdir()) - before) == 2


@pytest.mark.parametrize("name", ["ids", "offsets"])
def test_a_damaged_cache_is_named(toy, tokenizer, name):
    shutil.rmtree(toy.path / "tokens", ignore_errors=True)
    load_ecg_tokens(toy, tokenizer)
    (path,) = (toy.path / "tokens").glob(f"*.{name}.npy")
    whole = path.read_bytes()
    for size in (0, 20, len(whole) - 8):
        path.write_bytes(whole[:size])
        with pytest.raises(ManifestError, match=r"token cache .* is damaged; delete"):
            load_ecg_tokens(toy, tokenizer)
    path.write_bytes(whole)
    load_ecg_tokens(toy, tokenizer)


def test_collated_tensors_are_integers(toy):
    dataset = training([[encoded(0, (1,))]])
    batch = dataset.collater([dataset[0]])
    assert {t.dtype for t in batch["net_input"].values()} == {torch.int64}
