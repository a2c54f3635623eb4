"""Blind partners: same template, other patient, a permutation wherever there is one."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_fairseq.evaluation.answers.blind import blind_partners


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
