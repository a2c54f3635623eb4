"""Blind partners: same template, other patient, a permutation wherever there is one."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_fairseq.evaluation.answers.blind import blind_partners, own_shares


def check(questions, partners):
    assert len(partners) == len(questions)
    for question, partner in zip(questions, partners, strict=True):
        if partner is None:
            continue
        other = questions[partner]
        assert other.template_id == question.template_id
        assert len(other.record_ids) == len(question.record_ids)
        assert not set(other.patient_ids) & set(question.patient_ids)


def test_one_patient_each_gives_a_derangement(make_question):
    questions = [make_question(i, patients=(f"p{i}",), template=i % 3) for i in range(60)]
    partners = blind_partners(questions)
    check(questions, partners)
    assert sorted(partners) == list(range(60))


def test_a_patient_with_half_of_the_questions_still_gives_a_permutation(make_question):
    questions = [make_question(i, patients=("a" if i < 5 else f"p{i}",)) for i in range(10)]
    partners = blind_partners(questions)
    check(questions, partners)
    assert sorted(partners) == list(range(10))


def test_a_patient_with_most_questions_loses_none(make_question):
    questions = [make_question(i, patients=("a" if i < 9 else "b",)) for i in range(10)]
    partners = blind_partners(questions)
    check(questions, partners)
    assert None not in partners


def test_a_template_of_one_patient_has_no_partner(make_question):
    questions = [make_question(0), make_question(1), make_question(2, ("b",), template=2)]
    assert blind_partners(questions) == [None, None, None]


def test_numbers_of_ecgs_are_kept_apart(make_question):
    questions = [make_question(0, ("a",)), make_question(1, ("b", "c"))]
    assert blind_partners(questions) == [None, None]
    assert blind_partners([]) == []


def test_comparisons_of_two_patients_are_permuted(make_question):
    chooser = random.Random(5)
    names = [f"p{i}" for i in range(30)]
    questions = [make_question(i, patients=chooser.sample(names, 2)) for i in range(200)]
    partners = blind_partners(questions)
    check(questions, partners)
    assert sorted(partners) == list(range(200))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1)), max_size=30))
def test_none_means_that_nobody_else_is_there(make_question, rows):
    questions = [
        make_question(i, patients=(f"p{a}", f"p{b}"), template=t)
        for i, (a, b, t) in enumerate(rows)
    ]
    partners = blind_partners(questions)
    check(questions, partners)
    for question, partner in zip(questions, partners, strict=True):
        possible = [
            other
            for other in questions
            if other.template_id == question.template_id
            and not set(other.patient_ids) & set(question.patient_ids)
        ]
        assert (partner is None) == (not possible)


def test_order_of_the_questions_does_not_matter(make_question):
    questions = [make_question(i, patients=(f"p{i % 17}",), template=i % 2) for i in range(80)]
    pairs = dict(zip(questions_ids(questions), partner_ids(questions), strict=True))
    random.Random(1).shuffle(questions)
    assert dict(zip(questions_ids(questions), partner_ids(questions), strict=True)) == pairs


def questions_ids(questions):
    return [question.id for question in questions]


def partner_ids(questions):
    return [None if i is None else questions[i].id for i in blind_partners(questions)]


def perfect_reader_floor(questions, seed):
    """The blind floor of a model that answers as the ECG shown has it."""
    partners = blind_partners(questions, seed)
    pairs = zip(questions, partners, strict=True)
    return np.mean([questions[partner].answer == question.answer for question, partner in pairs])


def test_paired_visits_do_not_meet_their_own_answer(make_question):
    # Each patient is asked before (no) and after (yes): the order of visits told the answer.
    questions = [
        make_question(i, patients=(f"p{i // 2}",), answer=["yes" if i % 2 else "no"])
        for i in range(200)
    ]
    floors = [perfect_reader_floor(questions, seed) for seed in range(40)]
    assert np.mean(floors) == pytest.approx(0.5, abs=0.03)
    assert max(floors) < 0.65


def test_no_order_of_patients_or_ids_tells_the_partner(make_question):
    # Matched cases: neighbors have one answer, in blocks of two patients.
    questions = [
        make_question(i, patients=(f"p{i:03d}",), answer=["yes" if i // 2 % 2 else "no"])
        for i in range(200)
    ]
    floors = [perfect_reader_floor(questions, seed) for seed in range(40)]
    assert np.mean(floors) == pytest.approx(99 / 199, abs=0.03)


def test_another_seed_gives_other_partners(make_question):
    questions = [make_question(i, patients=(f"p{i}",)) for i in range(50)]
    assert blind_partners(questions, 0) == blind_partners(questions)
    assert blind_partners(questions, 1) != blind_partners(questions)


def awkward_groups(make_question):
    """Thousands of questions of which a patient has most, with a word for each kind."""
    size, few = 8000, 3
    return {
        "nobody else": [make_question(i, ("a",)) for i in range(size)],
        "one other": [make_question(i, ("a" if i else "b",)) for i in range(size)],
        "just half": [make_question(i, ("a" if i < size // 2 else f"p{i}",)) for i in range(size)],
        "one in all": [make_question(i, ("x", f"p{i}")) for i in range(size)],
        "one in most": [
            make_question(i, ("x" if i >= few else f"z{i}", f"p{i}")) for i in range(size)
        ],
    }


def test_awkward_groups_take_seconds(make_question):
    groups = awkward_groups(make_question)
    found = {}
    start = time.perf_counter()
    for name, questions in groups.items():
        partners = blind_partners(questions)
        check(questions, partners)
        found[name] = partners.count(None)
        if name == "just half":
            assert sorted(partners) == list(range(len(questions)))
    assert time.perf_counter() - start < 15.0
    assert found == {
        "nobody else": 8000,
        "one other": 0,
        "just half": 0,
        "one in all": 8000,
        "one in most": 0,
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.frozensets(st.integers(0, 9), min_size=1, max_size=8), max_size=15))
def test_shares_with_own_patients_are_counted_right(sets):
    patients = [frozenset(f"p{number}" for number in own) for own in sets]
    slow = [sum(bool(own & other) for other in patients) / len(patients) for own in patients]
    assert own_shares(patients) == pytest.approx(slow)
