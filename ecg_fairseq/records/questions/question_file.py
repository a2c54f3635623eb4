"""The questions of a ``{split}.jsonl``: a sequence whose members are parsed when asked for.

The one reader of such files. Every line is checked when the file is opened.
"""

import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions.question import ORIGINS, Question
from ecg_fairseq.records.questions.question_lines import QuestionColumns, read_question_columns


class Questions(Sequence[Question]):
    """N questions in file order, read-only.

    Attributes:
        path: the file.
        columns: what is known of all of them without parsing.
    """

    def __init__(self, path: Path, columns: QuestionColumns) -> None:
        """Use :func:`read_questions`."""
        self.path = path
        self.columns = columns
        self._text = _map(path)

    def __len__(self) -> int:
        return len(self.columns.starts)

    @overload
    def __getitem__(self, place: int) -> Question: ...
    @overload
    def __getitem__(self, place: slice) -> list[Question]: ...
    def __getitem__(self, place: int | slice) -> Question | list[Question]:
        """Return one question, or a list of some."""
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        start, end = self.columns.starts[place], self.columns.ends[place]
        return Question.from_dict(json.loads(self._text[start:end]), str(self.path))

    def __iter__(self) -> Iterator[Question]:
        """Yield the questions in file order."""
        return (self[number] for number in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Say whether another sequence holds the same questions in the same order."""
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def line_number(self, place: int) -> int:
        """Return the number of a question's line in the file, from 1; for messages."""
        return self._text[: self.columns.starts[place]].count(b"\n") + 1

    def ids_of(self, origin: str) -> list[str]:
        """Return the ids of the questions of an origin."""
        chosen = np.flatnonzero(self.columns.origins == ORIGINS.index(origin))
        return list(self.columns.ids.texts(chosen))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped file behind: another process maps it itself."""
        return {**self.__dict__, "_text": len(self._text)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the file again; ManifestError when it was rewritten meanwhile."""
        self.__dict__.update(state)
        self._text = _map(self.path)
        if len(self._text) != state["_text"]:
            raise ManifestError(f"{self.path} was rewritten; open the manifest again")


def read_questions(path: Path | str) -> Questions:
    """Open a ``{split}.jsonl`` file; a missing file means no questions.

    Raises:
        ManifestError: a line is not a valid question, or an id occurs twice.
    """
    path = Path(path)
    try:
        return Questions(path, read_question_columns(path))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read as JSON lines: {error}") from error


def _map(path: Path) -> mmap.mmap | bytes:
    if not path.exists() or not path.stat().st_size:
        return b""
    with open(path, "rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
