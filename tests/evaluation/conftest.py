"""Questions, answers and logs of fairseq-generate, made here."""

import pytest

from ecg_fairseq.evaluation.answers.predictions import Prediction
from ecg_fairseq.records.questions.question import Question


@pytest.fixture(scope="session")
def make_question():
    def make(number, patients=("p1",), template=1, answer=("yes",), kind="single-verify", **more):
        return Question(
            id=f"q{number}",
            question=f"question {number}?",
            answer=list(answer),
            question_type=kind,
            template_id=template,
            record_ids=[f"record-of-{name}" for name in patients],
            patient_ids=list(patients),
            options=more.pop("options", ["no", "yes"]),
            **more,
        )

    return make


@pytest.fixture(scope="session")
def make_prediction():
    def make(number, answer, reference, patients=("p1",), template=1, kind="single-verify", **more):
        return Prediction(
            id=f"q{number}",
            question=f"question {number}?",
            question_type=kind,
            template_id=template,
            answer=answer,
            reference=reference,
            record_ids=tuple(f"record-of-{name}" for name in patients),
            patient_ids=tuple(patients),
            **more,
        )

    return make


@pytest.fixture(scope="session")
def log_text():
    """Return a function that writes a log as fairseq-generate does, items in the given order."""

    def text(items):
        lines = ["2025-01-01 10:00:00 | INFO | fairseq_cli.generate | loading", "S-x\tnot an item"]
        for index, reference, answers in items:
            lines += [f"S-{index}\ta question", f"T-{index}\t{reference}"]
            lines.append(f"H-{index}\t{answers[0][0]}\t4 5 2")
            lines += [f"D-{index}\t{score}\t{answer}" for score, answer in answers]
            lines.append(f"P-{index}\t-0.1 -0.2")
        return "\n".join([*lines, "Generate test with beam=1: none"]) + "\n"

    return text
