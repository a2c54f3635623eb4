"""Question files opened as a sequence: like a list of parsed lines, checked whole, but small."""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions import question_lines
from ecg_fairseq.records.questions.question import Question, canonical_answer, write_questions
from ecg_fairseq.records.questions.question_file import Questions, read_questions
from ecg_fairseq.records.readers import text_lines


@contextmanager
def without_core() -> Iterator[None]:
    """Read files by the readable twin, as where nothing is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(question_lines, "compiled_core", lambda: None)
        yield


TEXT = st.text(alphabet='ab "\\,[]{}:é\t\u2028\x7f', min_size=1, max_size=8)
NAMES = st.lists(TEXT, min_size=1, max_size=2)


@st.composite
def questions(draw) -> list[Question]:
    count = draw(st.integers(0, 8))
    wordings = draw(st.lists(TEXT.filter(str.strip), min_size=1, max_size=3))
    found = []
    for number in range(count):
        records = draw(NAMES)
        found.append(
            Question(
                id=f"{number}{draw(TEXT)}",
                question=draw(st.sampled_from(wordings)),
                answer=canonical_answer(draw(st.sampled_from([[], ["yes"], ["b", "a"]]))),
                question_type="own",
                record_ids=records,
                patient_ids=draw(st.lists(TEXT, min_size=len(records), max_size=len(records))),
                template_id=draw(st.sampled_from([-1, 3])),
                options=draw(st.sampled_from([None, ["yes", "no"]])),
                origin=draw(st.sampled_from(["own", "ecg_qa"])),
            )
        )
    return found


def parsed(path: Path) -> list[Question]:
    """Read a file line by line: the plain way, to compare with."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Question.from_dict(json.loads(line)) for line in lines if line.strip()]


@settings(max_examples=150, deadline=None)
@given(questions())
def test_it_is_a_sequence_of_parsed_lines(tmp_path_factory, asked):
    path = tmp_path_factory.mktemp("q") / "train.jsonl"
    write_questions(path, asked)
    found = read_questions(path)
    with without_core():
        for ours, twins in zip(columns_of(found), columns_of(read_questions(path)), strict=True):
            assert np.array_equal(ours, twins)
    assert found == asked == parsed(path)
    assert list(found) == asked
    assert found[1:] == asked[1:]
    columns = found.columns
    assert list(columns.ids.texts()) == [question.id for question in asked]
    names = [name for question in asked for name in question.record_ids]
    assert list(columns.record_ids.texts()) == names
    counts = np.diff(columns.first_records).tolist()
    assert counts == [len(question.record_ids) for question in asked]
    for question, place in zip(asked, columns.alike.tolist(), strict=True):
        assert (question.question, question.answer) == (asked[place].question, asked[place].answer)
    assert found.ids_of("own") == [q.id for q in asked if q.origin == "own"]


def columns_of(found: Questions) -> list[np.ndarray]:
    """Return everything that is kept of a file."""
    columns = found.columns
    texts = (columns.ids, columns.record_ids, columns.patient_ids)
    arrays = (columns.starts, columns.ends, columns.first_records, columns.alike, columns.origins)
    return [*arrays, *(a for text in texts for a in (text.content, text.offsets, text.keys))]


def test_blocks_of_several_forms_give_the_twin_s_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 1000)
    lines = [
        LINE.replace("q1", f"q{n}").replace("Is it?", f"Is it {n % 5}?").replace('"1"', f'"{n}"')
        for n in range(60)
    ]
    lines[20] = json.dumps({**json.loads(lines[20]), "meta": {"device": "é"}})
    lines[40] = " " + lines[40]
    lines.insert(50, "")
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_questions(path)
    with without_core():
        twin = read_questions(path)
    for ours, twins in zip(columns_of(found), columns_of(twin), strict=True):
        assert np.array_equal(ours, twins)
    assert list(found) == parsed(path)
    assert found.columns.alike[:7].tolist() == [0, 1, 2, 3, 4, 0, 1]


LINE = (
    '{"id": "q1", "question": "Is it?", "answer": ["yes"], "question_type": "own", '
    '"record_ids": ["1"], "patient_ids": ["9"], "template_id": -1, "attribute_type": null, '
    '"style": "template", "attribute": null, "options": null, "origin": "own"}'
)


@settings(max_examples=600, deadline=None)
@example(7, 3, "", False)
@example(7, 3, "", True)
@example(LINE.index('"1"'), 2, "", True)
@given(
    st.integers(0, len(LINE)),
    st.integers(0, 12),
    st.sampled_from(
        ['"', "\\", ", ", "[", "]", "{", "}", '"x": ', "", " ", "\t", "\x01", '"id"', "é"]
    ),
    st.booleans(),
)
def test_a_changed_line_is_taken_or_refused_as_by_the_plain_way(
    tmp_path_factory, at, cut, put, is_plain
):
    path = tmp_path_factory.mktemp("q") / "train.jsonl"
    path.write_text(LINE[:at] + put + LINE[at + cut :], encoding="utf-8")
    with without_core() if is_plain else nullcontext():
        check_line_one(path)


def check_line_one(path: Path) -> None:
    """Compare with the plain way, which refuses or takes the line."""
    try:
        wanted = parsed(path)
    except (ValueError, ManifestError):
        with pytest.raises(ManifestError, match=r"line 1"):
            read_questions(path)
    else:
        assert read_questions(path) == wanted


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        ('"record_ids": ["1"]', '"record_ids": ["]'),
        ('"patient_ids": ["9"]', '"patient_ids": ["]'),
        ('{"id": "q1"', '{"id": "'),
    ],
)
def test_a_value_without_its_second_quote_is_refused_at_once(tmp_path, whole, broken):
    path = tmp_path / "train.jsonl"
    assert whole in LINE
    path.write_text(LINE.replace(whole, broken), encoding="utf-8")
    with pytest.raises(ManifestError, match=r"line 1"):
        read_questions(path)


@pytest.mark.parametrize(
    "inserted",
    [
        '"answer": ["b", "record_ids": ["1"], "patient_ids": ["9"], "template_id": "c"], ',
        '"meta": {"a": "x", "record_ids": ["1"], "patient_ids": ["9"], "template_id": 2}, ',
        '"record_ids": ["7"], "patient_ids": ["8"], ',
        '"question": "other", ',
        '"new_key": [1, 2], ',
    ],
)
def test_parts_in_unusual_places_are_not_mistaken(tmp_path, inserted):
    path = tmp_path / "train.jsonl"
    for place in (
        LINE.index('"question"'),
        LINE.index('"record_ids"'),
        LINE.index('"template_id"'),
    ):
        path.write_text(LINE[:place] + inserted + LINE[place:] + "\n", encoding="utf-8")
        try:
            wanted = parsed(path)
        except (ValueError, ManifestError):
            with pytest.raises(ManifestError, match="line 1"):
                read_questions(path)
        else:
            assert read_questions(path) == wanted


def test_a_bad_question_is_refused_when_the_file_is_opened(tmp_path):
    path = tmp_path / "train.jsonl"
    lines = [LINE.replace("q1", f"q{number}") for number in range(50)]
    lines[30] = lines[30].replace('["yes"]', '["yes", "no"]')
    path.write_text("\n".join(["", *lines]), encoding="utf-8")
    with pytest.raises(ManifestError, match=r"line 32: question 'q30': answer"):
        read_questions(path)


@pytest.mark.parametrize(
    "odd", ["", '{"id": "é"', LINE.replace("q1", "e\\u0301"), LINE.replace(": ", ":")]
)
def test_lines_of_another_form_among_many_do_no_harm(tmp_path, odd):
    path = tmp_path / "train.jsonl"
    lines = [LINE.replace("q1", f"q{number}") for number in range(2000)]
    lines[7] = lines[7].replace(
        '["1"], "patient_ids": ["9"]', '["1", "2"], "patient_ids": ["9", "8"]'
    )
    if odd:
        lines[700] = odd.replace('{"id": "é"', lines[700].replace("q700", "é")).replace(
            '"q1"', '"odd"'
        )
    else:
        lines.insert(700, "")
    path.write_text("\n".join(lines), encoding="utf-8")
    found, wanted = read_questions(path), parsed(path)
    assert found == wanted
    columns = found.columns
    assert list(columns.ids.texts()) == [question.id for question in wanted]
    assert list(columns.record_ids.texts()) == [r for q in wanted for r in q.record_ids]
    assert list(columns.patient_ids.texts()) == [p for q in wanted for p in q.patient_ids]
    # Two ways to write one content at the most.
    assert len(np.unique(columns.alike)) <= 2
    assert found.line_number(1900) == 1901 + (not odd)
    lines[1500] = lines[1500].replace('["yes"]', '["yes", "no"]')
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ManifestError, match=r"line 1501: question 'q(1500|1499)': answer"):
        read_questions(path)


def test_it_is_small_and_opens_again_in_another_process(tmp_path):
    path = tmp_path / "train.jsonl"
    lines = [LINE.replace("q1", f"q{number}") for number in range(3000)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_questions(path)
    assert len(np.unique(found.columns.alike)) == 1
    stored = pickle.dumps(found)
    assert len(stored) < 120 * len(found)
    assert pickle.loads(stored) == found
    path.write_text(LINE, encoding="utf-8")
    with pytest.raises(ManifestError, match="rewritten"):
        pickle.loads(stored)
