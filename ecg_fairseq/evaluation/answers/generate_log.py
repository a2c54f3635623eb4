"""Read the log that ``fairseq-generate --results-path`` writes (``generate-SUBSET.txt``).

Lines that count (tab-separated; everything else, such as logging, is skipped)::

    S-i <TAB> source text          T-i <TAB> reference
    H-i <TAB> score <TAB> tokens   D-i <TAB> score <TAB> text      P-i <TAB> scores
    Generate SUBSET with beam=...  (the last line of a whole run)

``i`` is the index of the question in the manifest's SUBSET.jsonl. The first ``D-i`` of an item is
the free-text answer; every further ``D-i`` is a closed-set candidate with its summed token
log-probability (base 2). Items may stand in any order, as length-sorted batches leave them.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.closed_set import fault_of_closed_set
from ecg_fairseq.evaluation.answers.exact_match import answer_set
from ecg_fairseq.evaluation.answers.predictions import (
    Candidate,
    Prediction,
    fault_of_scores,
)
from ecg_fairseq.records.questions.question import Question

_LINE = re.compile(r"^([STHDP])-(\d+)\t(.*)$")
_LAST_LINE = re.compile(r"^Generate \S+ with beam=")


@dataclass
class GeneratedItem:
    """What the log says about one question."""

    reference: str | None = None
    answers: list[Candidate] = field(default_factory=list)


def read_generate_log(path: Path | str) -> dict[int, GeneratedItem]:
    """Return the items of a log by question index.

    Raises:
        ScoreError: the file is missing or holds no answers, a line is damaged, an item was
            answered twice (two runs in one file), or an item has no ``D`` line.
    """
    items, _ = _read_items(path)
    _check_complete(path, items)
    return items


def log_agrees(path: Path | str, answers: Mapping[int, str]) -> bool:
    """Return whether a log is whole and holds these free-text answers by question index.

    A log that was written with ``--quiet`` holds none and agrees with all.

    Raises:
        ScoreError: the file cannot be read, or a line is damaged.
    """
    items, is_whole = _read_items(path)
    written = {index: item.answers[0].text for index, item in items.items() if item.answers}
    return is_whole and (not items or written == answers)


def _read_items(path: Path | str) -> tuple[dict[int, GeneratedItem], bool]:
    """Return the items by question index, and whether the run's last line is there."""
    items: dict[int, GeneratedItem] = {}
    seen: set[tuple[str, int]] = set()
    is_whole = False
    try:
        with open(path, encoding="utf-8", newline="\n") as stream:
            for number, text in enumerate(stream, start=1):
                match = _LINE.match(text.rstrip("\r\n"))
                if match is None:
                    is_whole = _LAST_LINE.match(text) is not None
                    continue
                kind, index = match[1], int(match[2])
                if kind in "ST" and (kind, index) in seen:
                    raise ScoreError(
                        f"{path}, line {number}: item {index} was answered twice; the file holds "
                        "two runs: delete it and run fairseq-generate again"
                    )
                seen.add((kind, index))
                item = items.setdefault(index, GeneratedItem())
                if kind == "T":
                    item.reference = match[3]
                elif kind == "D":
                    item.answers.append(_parse_answer(path, number, match[3]))
    except (OSError, UnicodeDecodeError) as cause:
        raise ScoreError(f"the answers {path} cannot be read: {cause}") from cause
    return items, is_whole


def _parse_answer(path: Path | str, number: int, rest: str) -> Candidate:
    score, tab, text = rest.partition("\t")
    try:
        if not tab:
            raise ValueError("no text after the score")
        return Candidate(text, float(score))
    except ValueError as cause:
        raise ScoreError(
            f"{path}, line {number}: expected D-i<TAB>score<TAB>text, found {rest[:60]!r}; the log "
            "is damaged: run fairseq-generate again"
        ) from cause


def _check_complete(path: Path | str, items: dict[int, GeneratedItem]) -> None:
    if not items:
        raise ScoreError(
            f"{path} holds no lines of fairseq-generate (T-i, D-i ...); give the file "
            "generate-SUBSET.txt from its --results-path, or a predictions.jsonl"
        )
    unanswered = sorted(index for index, item in items.items() if not item.answers)
    if unanswered:
        raise ScoreError(
            f"{path}: {_some(unanswered)} without an answer (no D line); the run was cut off or "
            "ran with --quiet: run fairseq-generate again"
        )


def predictions_from_log(
    path: Path | str,
    questions: Sequence[Question],
    shown: Sequence[Question | None] | None = None,
) -> list[Prediction]:
    """Join a log with its questions.

    Args:
        path: ``generate-SUBSET.txt``.
        questions: all questions of that subset, in manifest order.
        shown: for a blind run, the question whose ECGs were shown in place of each question's own,
            None where the question was left out (such items are ignored if the log has them).

    Returns:
        One prediction for each question (blind: for each that was asked), in manifest order.

    Raises:
        ScoreError: items are missing, belong to no question, or carry another reference.
    """
    items = read_generate_log(path)
    sources = enumerate(questions if shown is None else shown)
    asked = {index: source for index, source in sources if source is not None}
    _check_indices(path, items, asked, len(questions))
    predictions = []
    for index, source in asked.items():
        question, item = questions[index], items[index]
        _check_reference(path, index, question, item)
        _check_candidates(path, index, question, item)
        predictions.append(Prediction.of(question, source, item.answers))
    return predictions


def _check_indices(
    path: Path | str, items: Collection[int], asked: Collection[int], num_questions: int
) -> None:
    missing = sorted(set(asked) - set(items))
    extra = sorted(index for index in items if index >= num_questions)
    if extra:
        raise ScoreError(
            f"{path}: {_some(extra)} beyond the {num_questions} questions of the manifest; the log "
            "belongs to another manifest or subset (see --subset)"
        )
    if missing:
        raise ScoreError(
            f"{path} answers {len(asked) - len(missing)} of {len(asked)} questions: "
            f"{_some(missing)} missing; the run was cut off, or it was another subset (see "
            "--subset): run fairseq-generate again"
        )


def _check_reference(path: Path | str, index: int, question: Question, item: GeneratedItem) -> None:
    expected = question.answer_text
    if item.reference is not None and answer_set(item.reference) != answer_set(expected):
        raise ScoreError(
            f"{path}: the reference of item {index} is {item.reference!r}, but question "
            f"{question.id!r} of the manifest has {expected!r}; give the manifest and subset that "
            "fairseq-generate was run on"
        )


def _check_candidates(
    path: Path | str, index: int, question: Question, item: GeneratedItem
) -> None:
    texts = [candidate.text for candidate in item.answers[1:]]
    fault = fault_of_scores(item.answers[1:])
    if fault := fault or fault_of_closed_set(question.question_type, question.options, texts):
        raise ScoreError(f"{path}, item {index}: {fault}")


def _some(indices: Sequence[int]) -> str:
    """Name the first few of a list of item indices."""
    shown = ", ".join(str(index) for index in indices[:5])
    more = f" and {len(indices) - 5} more" if len(indices) > 5 else ""
    return f"item{'s' if len(indices) > 1 else ''} {shown}{more}"
