"""Questions in arrays: the same sequences, in the same order, as lists of objects give."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_manifest import make_manifest

from ecg_fairseq.data.questions.encoded_questions import (
    EncodedQuestion,
    EncodedQuestions,
    PackingLimits,
    Ragged,
    encode_questions,
    pack_encoded,
    shapes_of,
)
from ecg_fairseq.data.questions.question_dataset import pack_by_ecg, shown_rows
from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.manifest_writer import write_records
from ecg_fairseq.records.questions.question import Question, write_questions

ECG_LENGTHS = np.array([30, 5, 12, 12, 80, 3])
ROWS = st.tuples(st.integers(0, 5)) | st.tuples(st.integers(0, 5), st.integers(0, 5))


def in_arrays(shapes: list[tuple[tuple[int, ...], int, int]]) -> EncodedQuestions:
    """Return questions of (rows, tokens of the question, tokens of the answer)."""
    asked = [
        Question(f"q{number}", "?", ["a"], "own", ["r"] * len(rows), ["p"] * len(rows))
        for number, (rows, _, _) in enumerate(shapes)
    ]
    rows = np.array([[*rows, -1][:2] for rows, _, _ in shapes], dtype=np.int64).reshape(-1, 2)
    texts = Ragged([[5] * size for _, size, _ in shapes]), Ragged([[6] * n for _, _, n in shapes])
    everything = np.arange(len(shapes))
    headers = [f"patient of {rows}" for rows, _, _ in shapes]
    return EncodedQuestions(asked, everything, rows, everything, texts, headers)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(ROWS, st.integers(1, 30), st.integers(1, 3)), max_size=40),
    st.integers(1, 5),
    st.integers(0, 3),
    st.sampled_from([0, 7]),
)
def test_packing_gives_what_lists_of_objects_give(shapes, pairs, seed, own):
    questions = in_arrays(shapes)

    def space(lengths, header=""):
        return 100 - sum(lengths)

    def lengths_of(rows):
        return tuple(ECG_LENGTHS[list(rows)].tolist())

    def own_tokens(lengths, header=""):
        return own * len(lengths)

    wanted = pack_by_ecg(
        list(questions),
        pairs,
        lambda rows: space(lengths_of(rows)),
        seed,
        lambda rows: own_tokens(lengths_of(rows)),
    )
    limits = PackingLimits(pairs, space, own_tokens)
    packed = pack_encoded(questions, ECG_LENGTHS, limits, seed)
    assert list(packed) == wanted
    assert packed[0:2] == wanted[0:2]
    found, plain = shapes_of(packed, ECG_LENGTHS), shapes_of(wanted, ECG_LENGTHS)
    assert [found.distinct[kind] for kind in found.kinds] == [
        plain.distinct[kind] for kind in plain.kinds
    ]
    assert len(set(found.distinct)) == len(found.distinct)
    for shapes in (found, plain):
        first = [shapes.kinds.tolist().index(kind) for kind in range(len(shapes.distinct))]
        assert shapes.first.tolist() == first


def test_ragged_lists_come_back():
    lists = [[1, 2], [], [70_000]]
    ragged = Ragged(lists)
    assert [ragged[place] for place in range(3)] == lists
    assert ragged.lengths.tolist() == [2, 0, 1]


def encode(questions):
    """Stand in for a text tokenizer: letters are ids."""
    return [(q, list(q.question.encode()), list(q.answer_text.encode())) for q in questions]


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Manifest:
    """A manifest with several windows a record, and comparisons of two records."""
    made = make_manifest(tmp_path_factory.mktemp("toy"), 10)
    rows = []
    for number, row in enumerate(made.records.values()):
        rows.append(replace(row, first_row=3 * number, num_segments=1 + number % 3))
    write_records(made.path / "records.tsv", rows)
    meta = {**made.meta, "store": {**made.meta["store"]}}
    meta["store"]["shards"] = [{"file": "store/x.npy", "rows": 3 * len(rows), "sha256": ""}]
    from ecg_fairseq.files import write_json

    write_json(made.path / "meta.json", meta)
    return Manifest.load(made.path)


def test_every_window_of_every_question_is_encoded(toy):
    questions = toy.questions("train")
    asked = list(questions)
    assert any(len(question.record_ids) == 2 for question in asked)
    wanted = [
        EncodedQuestion(question, rows, text, answer)
        for question, text, answer in encode(asked)
        for rows in shown_rows(toy, question)
    ]
    assert len(wanted) > len(asked)
    calls = []

    def encode_and_count(some):
        calls.append(len(some))
        return encode(some)

    found = encode_questions(toy, questions, encode_and_count)
    assert list(found) == wanted
    assert calls == [len(np.unique(questions.columns.alike))]
    assert calls[0] < len(asked)


def test_questions_of_other_patients_are_other_wordings_where_the_prompt_tells_of_them(toy):
    questions = toy.questions("train")
    headers = [f"patient {question.patient_ids[0]}" for question in questions]
    found = encode_questions(toy, questions, encode_with_patient, headers)
    for item in found:
        header = f"patient {item.question.patient_ids[0]}"
        assert item.header == header
        assert bytes(item.question_ids).decode() == f"{header} {item.question.question}"


def encode_with_patient(questions):
    return [(q, list(f"patient {q.patient_ids[0]} {q.question}".encode()), [1]) for q in questions]


def test_a_recording_without_a_window_is_named(toy, tmp_path):
    first = next(row for row in toy.records.values() if row.split == "valid")
    rows = [
        replace(row, num_segments=0) if row is first or row == first else row
        for row in toy.records.values()
    ]
    write_records(toy.path / "records.tsv", rows)
    asked = Question("q", "?", ["a"], "own", [first.record_id], [first.patient_id])
    write_questions(toy.path / "valid.jsonl", [asked])
    again = Manifest.load(toy.path)
    with pytest.raises(RecordError, match="'q' asks about a recording without a whole window"):
        encode_questions(again, again.questions("valid"), encode)
