"""What a question answerer was asked in training: in which words, about how many recordings.

A model answers anything, also what it was never taught: a comparison after training on single ECGs,
or a question in words that are new to it. So a checkpoint keeps both.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.records.questions.question_file import Questions

STATE_KEY = "asked"
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True)
class Asked:
    """Questions of a training.

    Attributes:
        words: of all questions, case-folded.
        num_recordings: how many recordings a question was about; one number or several.
    """

    words: frozenset[str]
    num_recordings: frozenset[int]

    @classmethod
    def of(cls, questions: Questions) -> "Asked":
        """Return what the questions of a split ask; each wording is read once."""
        columns = questions.columns
        texts = {questions[place].question for place in np.unique(columns.alike).tolist()}
        counts = np.unique(np.diff(columns.first_records))
        return cls(frozenset(words_of(texts)), frozenset(counts.tolist()))

    @classmethod
    def from_state(cls, task_state: Mapping[str, Any]) -> "Asked | None":
        """Return what a checkpoint's task state holds; None where it is older than this.

        Raises:
            CheckpointError: it holds something else.
        """
        stored = task_state.get(STATE_KEY)
        if stored is None:
            return None
        try:
            return cls(
                frozenset(str(stored["words"]).split()),
                frozenset(int(number) for number in stored["num_recordings"]),
            )
        except (TypeError, KeyError, ValueError) as cause:
            raise CheckpointError(
                "the checkpoint's list of trained questions is damaged; use an undamaged copy"
            ) from cause

    def to_state(self) -> dict[str, Any]:
        """Return it in plain types, for a checkpoint."""
        return {
            "words": " ".join(sorted(self.words)),
            "num_recordings": sorted(self.num_recordings),
        }

    def __or__(self, other: "Asked") -> "Asked":
        """Return what two trainings asked together."""
        return Asked(self.words | other.words, self.num_recordings | other.num_recordings)

    def unknown_words(self, question: str) -> list[str]:
        """Return the words of a question that no training question had, in its order."""
        return [word for word in words_of([question]) if word not in self.words]


class AskedStages:
    """What a training and the stages before it ask, as the task learns it piece by piece."""

    def __init__(self) -> None:
        self._stages: list[Asked | None] = []

    def train_on(self, questions: Questions) -> None:
        """Add the training split of the present run."""
        self._stages.append(Asked.of(questions))

    def begin_with(self, task_state: Mapping[str, Any]) -> None:
        """Add an earlier stage; other stages than question answering asked nothing."""
        if "ecg_tokenizer" in task_state:
            self._stages.append(Asked.from_state(task_state))

    def resume_from(self, task_state: Mapping[str, Any]) -> None:
        """Add what the run that goes on remembers of its earlier stages."""
        known = Asked.from_state(task_state)
        self._stages += [] if known is None else [known]

    def to_state(self) -> dict[str, Any]:
        """Return the entry of a checkpoint's task state; none where a stage does not say it."""
        known = [stage for stage in self._stages if stage is not None]
        if not known or len(known) < len(self._stages):
            return {}
        return {STATE_KEY: reduce(or_, known).to_state()}


def words_of(texts: Iterable[str]) -> list[str]:
    """Return the words of texts, case-folded, each once and in order of first appearance."""
    return list(dict.fromkeys(word for text in texts for word in _WORD.findall(text.casefold())))
