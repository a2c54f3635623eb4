"""Questions from labels: balance, the likelihood rule, pairs, determinism, real metadata."""

import csv
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions.from_labels import (
    QUESTION_TYPES,
    SINGLE_TYPES,
    build_questions,
    build_split_questions,
)
from ecg_fairseq.records.questions.ptb_xl_statements import (
    ABOVE,
    ALL_NAMES,
    WITHIN,
    LabelledRecord,
    as_labelled_record,
    labelled_record_from_row,
)
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.questions.templates import COMPARISONS, TEMPLATES
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort
from ecg_fairseq.records.simulated.ptb_xl_tables import database_row, labelled_record


def cohort(patients: int = 400, seed: int = 3) -> list[LabelledRecord]:
    cases = [draw_case(planned, seed) for planned in plan_cohort(patients, seed)]
    return [labelled_record(case, database_row(case)) for case in cases]


@pytest.fixture(scope="module")
def records() -> list[LabelledRecord]:
    return cohort()


@pytest.fixture(scope="module")
def questions(records: list[LabelledRecord]) -> dict[str, list[Question]]:
    return build_split_questions(records, seed=1)


def record(codes: dict[str, float], number: int = 1, split: str = "train") -> LabelledRecord:
    return LabelledRecord(str(number), f"p{number}", split, codes)


def asked(
    records: list[LabelledRecord], template: int, attribute: str | None = None
) -> dict[str, list[str]]:
    """Return record id -> answer of one template among all questions that are built."""
    return {
        question.record_ids[0]: question.answer
        for question in build_questions(records, 1, SINGLE_TYPES)
        if question.template_id == template and question.attribute in (None, [attribute])
    }


def groups(questions: list[Question]) -> dict[tuple, Counter]:
    answers: dict[tuple, Counter] = defaultdict(Counter)
    for item in questions:
        answers[item.template_id, tuple(item.attribute or ())][tuple(item.answer)] += 1
    return answers


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_no_answer_is_more_frequent_than_the_second(
    questions: dict[str, list[Question]], split: str
) -> None:
    for key, counts in groups(questions[split]).items():
        most = counts.most_common()
        assert len(most) > 1, key
        assert most[0][1] == most[1][1], key
        if set(counts) <= {("yes",), ("no",)}:
            assert counts["yes",] == counts["no",]


def test_floor_and_number_of_questions_are_as_planned(
    records: list[LabelledRecord], questions: dict[str, list[Question]]
) -> None:
    single = [item for item in questions["train"] if item.question_type in SINGLE_TYPES]
    floor = sum(max(c.values()) for c in groups(single).values()) / len(single)
    assert 0.38 <= floor <= 0.46
    per_template: dict[int, Counter] = defaultdict(Counter)
    for item in single:
        per_template[item.template_id][tuple(item.answer)] += 1
    by_template = sum(max(c.values()) for c in per_template.values()) / len(single)
    assert 0.36 <= by_template <= 0.46
    per_record = len(single) / sum(r.split == "train" for r in records)
    assert 11 <= per_record <= 20


def test_all_types_and_splits_are_there(questions: dict[str, list[Question]]) -> None:
    for split, items in questions.items():
        assert {item.question_type for item in items} == set(QUESTION_TYPES), split
        for item in items:
            comparison = item.question_type.startswith("comparison")
            assert len(item.record_ids) == (2 if comparison else 1)
            assert item.template_id in TEMPLATES or comparison
            if item.question_type.endswith("query"):
                assert set(item.answer) <= set(item.options or ())


def test_answers_follow_from_the_labels(
    records: list[LabelledRecord], questions: dict[str, list[Question]]
) -> None:
    by_id = {item.record_id: item for item in records}
    code_of = {name: code for code, name in ALL_NAMES.items()}
    for item in questions["train"]:
        codes = [by_id[name].scp_codes for name in item.record_ids]
        if item.template_id == 1:
            assert (item.answer == ["yes"]) == (code_of[item.attribute[0]] in codes[0])
        if item.template_id in (4, 6, 7):
            present = sorted(name for name in item.attribute if code_of[name] in codes[0])
            assert item.answer == (present or ["none"])
        if item.template_id in (43, 57):
            code = code_of[item.attribute[0]]
            assert (item.answer == ["yes"]) == (code not in codes[0] and code in codes[1])
        if item.template_id == 49:
            names = sorted(ALL_NAMES[c] for c in set(codes[0]) & set(codes[1]) - {"NORM"})
            assert item.answer == (names or ["none"])


def test_pairs_are_visits_of_one_patient_or_two_patients_of_one_split(
    records: list[LabelledRecord], questions: dict[str, list[Question]]
) -> None:
    split_of = {item.record_id: item.split for item in records}
    for split, items in questions.items():
        for item in items:
            assert {split_of[name] for name in item.record_ids} == {split}
            if item.question_type.startswith("comparison_consecutive"):
                assert item.patient_ids[0] == item.patient_ids[1]
                assert int(item.record_ids[1]) == int(item.record_ids[0]) + 1
            if item.question_type.startswith("comparison_irrelevant"):
                assert item.patient_ids[0] != item.patient_ids[1]


def test_both_styles_ask_the_same_in_other_words(records: list[LabelledRecord]) -> None:
    template = build_questions(records, 1, style="template")
    paraphrased = build_questions(records, 1, style="paraphrased")
    assert len(template) == len(paraphrased)
    for first, second in zip(template, paraphrased, strict=True):
        assert first.question != second.question
        same = replace(second, id=first.id, question=first.question, style=first.style)
        assert same == first
    assert len({item.id for item in template + paraphrased}) == 2 * len(template)


def test_every_wording_names_what_it_asks_about() -> None:
    pairs = [template for group in COMPARISONS.values() for template in group]
    for template in [*TEMPLATES.values(), *pairs]:
        assert len(set(template.wordings)) == len(template.wordings) >= 2
        holes = {tuple(hole in text for hole in ("{a}", "{b}")) for text in template.wordings}
        assert len(holes) == 1, template.template_id
        assert "{" not in template.text(("one", "two"))


def test_same_seed_same_questions_other_seed_others(records: list[LabelledRecord]) -> None:
    first = build_questions(records, 1)
    assert first == build_questions(records, 1)
    other = build_questions(records, 2)
    assert [item.record_ids for item in first] != [item.record_ids for item in other]


def test_only_wanted_types_are_built(records: list[LabelledRecord]) -> None:
    built = build_questions(records, 1, ["single-query"])
    assert {item.question_type for item in built} == {"single-query"}
    every = [q for q in build_questions(records, 1) if q.question_type == "single-query"]
    assert [q.record_ids for q in built] == [q.record_ids for q in every]


def test_likelihood_rule() -> None:
    records = [
        record({"LVH": 100.0, "SR": 0.0}, 1),
        record({"LVH": 80.0, "SR": 0.0}, 2),
        record({"LVH": 50.0, "SR": 0.0}, 3),
        record({"LVH": 15.0, "SR": 0.0}, 4),
        record({"LVH": 0.0, "SR": 0.0}, 5),  # likelihood unknown: not asked
        record({"SR": 0.0}, 6),
        record({"SR": 0.0}, 7),
    ]
    answers = asked(records, 1, ALL_NAMES["LVH"])
    assert answers == {
        "1": ["yes"],
        "2": ["yes"],
        "3": ["not sure"],
        "4": ["not sure"],
        "6": ["no"],
        "7": ["no"],
    }
    assert [records[index].has("LVH") for index in (0, 2, 4, 5)] == [True, None, None, False]


def test_form_and_rhythm_statements_need_no_likelihood() -> None:
    records = [
        record({"INVT": 0.0, "SR": 0.0}, 1),
        record({"AFIB": 0.0}, 2),
        record({"NORM": 100.0}, 3),  # nobody wrote the rhythm down: rhythm is not asked
    ]
    inverted = asked(records, 1, ALL_NAMES["INVT"])
    assert inverted.pop("1") == ["yes"]
    assert list(inverted.values()) == [["no"]]  # one of the two others
    assert asked(records, 10) == {"1": ["sinus rhythm"], "2": ["atrial fibrillation"]}
    assert set(asked(records, 1, ALL_NAMES["AFIB"])) == {"1", "2"}


def test_unmeasured_features_and_unread_noise_are_not_asked() -> None:
    bare = [record({"SR": 0.0}, 1), record({"AFIB": 0.0}, 2)]
    types = {item.attribute_type for item in build_questions(bare, 1)}
    assert "numeric_feature" not in types
    assert "noise" not in types
    measured = [
        replace(item, numeric_features={"rr interval": value}, noises=frozenset(noise))
        for item, value, noise in zip(bare, (ABOVE, WITHIN), ((), ("burst noise",)), strict=True)
    ]
    types = {item.attribute_type for item in build_questions(measured, 1)}
    assert {"numeric_feature", "noise"} <= types


def test_rows_of_a_database_and_of_a_manifest_agree() -> None:
    row = {
        "ecg_id": "12",
        "patient_id": "7.0",
        "scp_codes": "{'NORM': 80.0, 'SR': 0.0}",
        "heart_axis": "LAD",
        "static_noise": " , I-AVR,  ",
        "burst_noise": float("nan"),
    }
    first = labelled_record_from_row(row, "train")
    assert (first.record_id, first.patient_id) == ("12", "7")
    assert first.noises == {"static noise"}
    labels = (
        '{"scp_codes": {"NORM": 80.0, "SR": 0.0}, "heart_axis": "LAD", "static_noise": "I-AVR"}'
    )
    manifest_row = RecordRow("12", "7", "train", labels_json=labels)
    assert as_labelled_record(manifest_row) == first


def test_bad_input_is_explained(records: list[LabelledRecord]) -> None:
    with pytest.raises(ManifestError, match="single-guess"):
        build_questions(records, 1, ["single-guess"])
    with pytest.raises(ManifestError, match="style"):
        build_questions(records, 1, style="poetic")
    with pytest.raises(ManifestError, match="split 'other'"):
        build_questions([replace(records[0], split="other")], 1)
    with pytest.raises(ManifestError, match="scp_codes"):
        labelled_record_from_row({"ecg_id": "1", "scp_codes": "['NORM']"}, "train")
    assert build_questions([], 1) == []


def test_a_patient_in_two_splits_is_refused(records: list[LabelledRecord]) -> None:
    first = next(item for item in records if item.split == "train")
    with pytest.raises(ManifestError, match="split by patient"):
        build_questions([first, replace(first, record_id="other", split="test")], 1)


def test_four_thousand_records_take_seconds() -> None:
    records = cohort(2300, 4)
    assert len(records) > 3800
    start = time.process_time()
    build_questions(records, 1)
    assert time.process_time() - start < 10


def test_real_ptb_xl_labels_give_questions(shared_dir: Path) -> None:
    with open(shared_dir / "data" / "ptb-xl" / "ptbxl_database.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    sides = {"9": "valid", "10": "test"}
    records = [labelled_record_from_row(row, sides.get(row["strat_fold"], "train")) for row in rows]
    built = build_split_questions(records, 1, SINGLE_TYPES)
    for split in ("train", "valid", "test"):
        assert len(built[split]) >= 50
        assert {item.question_type for item in built[split]} == set(SINGLE_TYPES)
    answers = {name for items in built.values() for item in items for name in item.answer}
    assert "not sure" in answers
    assert "left anterior fascicular block" in answers


def test_names_are_those_of_ecg_qa(shared_dir: Path) -> None:
    path = shared_dir / "data" / "ecg-qa" / "ecgqa" / "ptbxl" / "answers.csv"
    with open(path, encoding="utf-8") as stream:
        known = {row["class"] for row in csv.DictReader(stream)}
    names = np.array(sorted(set(ALL_NAMES.values())))
    missing = set(names) - known
    # Statements that PTB-XL has and ECG-QA never asks about.
    assert missing == {
        "electrolytic disturbance or drug effect",
        "paroxysmal supraventricular tachycardia",
        "premature complex(es)",
        "right ventricular hypertrophy",
        "second degree av block",
        "septal hypertrophy",
        "st-t changes compatible with ventricular aneurysm",
        "supraventricular arrhythmia",
        "third degree av block",
        "trigeminal pattern (unknown origin, supraventricular, or ventricular)",
        "wolff-parkinson-white syndrome",
    }
