"""The predictions file of a run of ``fairseq-generate``, and reading a run's answers back.

The task ``ecg_qa`` hands over what the model wrote, batch by batch in any order. Once all questions
of the run are answered, ``predictions.jsonl`` is written in manifest order, in one piece; a run
that is killed leaves none. fairseq's log beside it is for people, and for runs made before.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.blind import questions_shown
from ecg_fairseq.evaluation.answers.generate_log import log_agrees, predictions_from_log
from ecg_fairseq.evaluation.answers.manifest_agreement import (
    agrees,
    check_against_manifest,
    fault_finder,
)
from ecg_fairseq.evaluation.answers.predictions import (
    PREDICTIONS_FILE,
    Candidate,
    Prediction,
    read_numbered,
    read_predictions,
    write_predictions,
)
from ecg_fairseq.records.questions.question import Question

logger = logging.getLogger(__name__)


class PredictionFile:
    """Collects answers and writes them once all are there.

    A file of that name from an earlier run is deleted at once: it would no longer belong to the log
    beside it.

    Args:
        folder: ``--results-path``.
        questions: all questions of the subset, in manifest order.
        is_blind: whether another patient's ECGs are shown.
    """

    def __init__(self, folder: Path, questions: Sequence[Question], is_blind: bool) -> None:
        self.path = folder / PREDICTIONS_FILE
        self._questions = questions
        self._shown = questions_shown(questions, is_blind)
        self._open: set[int] = set()
        self._answers: dict[int, Sequence[Candidate]] = {}
        self.path.unlink(missing_ok=True)

    def expect(self, indices: Iterable[int]) -> None:
        """Name the questions, by their place in the subset, that this run (or shard) answers."""
        self._open = set(indices)

    def add(self, index: int, answers: Sequence[Candidate]) -> None:
        """Take the answer to one question: free text first, then its scored closed set."""
        self._answers[index] = answers
        self._open.discard(index)
        if not self._open:
            write_predictions(self.path, map(self._prediction, sorted(self._answers)))
            logger.info(f"predictions: {len(self._answers):,} answers in {self.path}")

    def _prediction(self, index: int) -> Prediction:
        shown = self._shown[index]
        if shown is None:
            raise ScoreError(f"question {index} has no blind ECG, yet it was answered")
        return Prediction.of(self._questions[index], shown, self._answers[index])


def read_answers(
    path: Path, questions: Sequence[Question] | None, is_blind: bool
) -> list[Prediction]:
    """Read the answers of a run, from its log or from a predictions file.

    The latter is told by its name or its first character. In place of a log, the predictions file
    beside it is read when it is whole and of the same run.

    Args:
        path: ``generate-SUBSET.txt`` or ``predictions.jsonl``.
        questions: of the subset that was answered, in manifest order; None: unknown, which a
            predictions file allows.
        is_blind: whether another patient's ECGs were shown.

    Returns:
        Predictions in manifest order, or in the file's order where no questions are given.

    Raises:
        ScoreError: the file is missing, damaged, incomplete, or of other questions.
    """
    if holds_predictions(path):
        numbered = read_numbered(path)
        predictions = [prediction for _, prediction in numbered]
        if questions is None:
            return predictions
        check_against_manifest(path, numbered, questions, is_blind)
        _check_whole(path, predictions, questions, is_blind)
        places = {question.id: place for place, question in enumerate(questions)}
        return sorted(predictions, key=lambda prediction: places[prediction.id])
    if questions is None:
        raise ScoreError(
            f"{path} is a log of fairseq-generate; give the manifest folder after it, so that "
            "answers can be joined with their questions"
        )
    shown = questions_shown(questions, is_blind)
    beside = _predictions_beside(path, questions, shown, is_blind)
    if beside is not None:
        return beside
    if is_blind:
        logger.warning(
            f"{path} does not say which ECGs were shown, and no {PREDICTIONS_FILE} of its run is "
            "beside it: the predictions name the partners that this version chooses"
        )
    return predictions_from_log(path, questions, shown)


def holds_predictions(path: Path) -> bool:
    """Say whether a file is one of predictions, by its name or first character, or else a log.

    Raises:
        ScoreError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return path.suffix == ".jsonl" or stream.read(1) == "{"
    except OSError as cause:
        raise ScoreError(f"the answers {path} cannot be read: {cause}") from cause


def _check_whole(
    path: Path, predictions: Sequence[Prediction], questions: Sequence[Question], is_blind: bool
) -> None:
    if not is_blind and len(predictions) != len(questions):
        raise ScoreError(
            f"{path} answers {len(predictions)} of the manifest's {len(questions)} questions; a "
            "score of part of them is only given when no manifest is named"
        )


def _predictions_beside(
    log: Path,
    questions: Sequence[Question],
    shown: Sequence[Question | None],
    is_blind: bool,
) -> list[Prediction] | None:
    """Return the predictions beside a log, or None where they are not whole or of another run.

    Another run's: other questions or references; or the log was cut off or answers otherwise.

    Raises:
        ScoreError: the file is of this run, and names ECGs of the other kind of run.
    """
    path = log.parent / PREDICTIONS_FILE
    if not path.exists():
        return None
    try:
        predictions = read_predictions(path)
    except ScoreError as error:
        logger.warning(f"{error}; the answers are read from {log} instead")
        return None
    asked = {index: source for index, source in enumerate(shown) if source is not None}
    expected = [(questions[index].id, questions[index].answer_text) for index in asked]
    if [(p.id, p.reference) for p in predictions] != expected:
        return None
    pairs = [(p, questions[index]) for index, p in zip(asked, predictions, strict=True)]
    if not all(agrees(prediction, question) for prediction, question in pairs):
        return None
    answers = {index: p.answer for index, p in zip(asked, predictions, strict=True)}
    if not log_agrees(log, answers):
        return None
    _refuse_other_kind(log, pairs, fault_finder(questions, is_blind))
    return predictions


def _refuse_other_kind(
    log: Path,
    pairs: Iterable[tuple[Prediction, Question]],
    fault_of: Callable[[Prediction, Question], str | None],
) -> None:
    """Refuse a log whose own predictions file names ECGs of the other kind of run.

    The log does not say which ECGs were shown, so that a blind run would be taken as a sighted one.
    """
    for prediction, question in pairs:
        if fault := fault_of(prediction, question):
            raise ScoreError(
                f"{log}: by {PREDICTIONS_FILE} beside it, question {question.id!r} {fault}"
            )
