"""Questions as token ids, ready for prompts, and packed behind their ECGs: flat arrays.

A split of a million questions would be gigabytes as objects. Most questions repeat a wording, so
each wording is encoded once, and a question is a number of a wording and rows of the store. A
question is an object while it is looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.questions.question_file import Questions

_NO_ROW = -1
Ids = Sequence[int]
Shape = tuple[tuple[int, ...], int, int, str]


@dataclass(frozen=True)
class EncodedQuestion:
    """A question ready for a prompt.

    Attributes:
        question: the manifest's entry.
        rows: store rows of the ECGs shown, one per recording.
        question_ids: text rows of the question.
        answer_ids: text rows of the answer, end token included.
        candidates: text rows of each answer of the closed set, end token included.
        header: what is known of the patients, where the prompt layout asks for it.
    """

    question: Question
    rows: tuple[int, ...]
    question_ids: list[int]
    answer_ids: list[int]
    candidates: tuple[tuple[int, ...], ...] = ()
    header: str = ""

    @property
    def num_text_tokens(self) -> int:
        """Tokens of the question and its answer."""
        return len(self.question_ids) + len(self.answer_ids)


class Ragged:
    """Lists of token ids, one behind another.

    Attributes:
        ids: int32.
        offsets: int64 (N + 1), where each list begins.
    """

    def __init__(self, lists: Sequence[Ids]) -> None:
        self.offsets = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in lists], out=self.offsets[1:])
        flat = (number for ids in lists for number in ids)
        self.ids = np.fromiter(flat, dtype=np.int32, count=int(self.offsets[-1]))

    def __getitem__(self, place: int) -> list[int]:
        """Return one list."""
        return self.ids[self.offsets[place] : self.offsets[place + 1]].tolist()

    @property
    def lengths(self) -> np.ndarray:
        """Length of each list, int64 (N,)."""
        return np.diff(self.offsets)


class EncodedQuestions(Sequence[EncodedQuestion]):
    """N questions, once for every window of their recordings.

    Args:
        questions: of a split.
        asked: int64 (N,), place in ``questions``.
        rows: int64 (N, K), store rows of the ECGs shown; -1 behind the last where a question is
            about fewer than K recordings.
        wordings: int64 (N,), place of its ids in ``texts``.
        texts: ids of question and of answer, of each wording.
        headers: of each wording.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        asked: np.ndarray,
        rows: np.ndarray,
        wordings: np.ndarray,
        texts: tuple[Ragged, Ragged],
        headers: Sequence[str],
    ) -> None:
        self.questions = questions
        self.asked = asked
        self.rows = rows
        self.wordings = wordings
        self.texts = texts
        self.headers = headers
        #: int64 (N,): tokens of question and answer.
        self.num_text_tokens = (texts[0].lengths + texts[1].lengths)[wordings]

    def __len__(self) -> int:
        return len(self.asked)

    @overload
    def __getitem__(self, place: int) -> EncodedQuestion: ...
    @overload
    def __getitem__(self, place: slice) -> list[EncodedQuestion]: ...
    def __getitem__(self, place: int | slice) -> EncodedQuestion | list[EncodedQuestion]:
        """Return one question, or a list of some."""
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        wording = int(self.wordings[place])
        return EncodedQuestion(
            self.questions[int(self.asked[place])],
            self.rows_of(place),
            self.texts[0][wording],
            self.texts[1][wording],
            header=self.headers[wording],
        )

    def rows_of(self, place: int) -> tuple[int, ...]:
        """Return the store rows that a question shows."""
        return tuple(row for row in self.rows[place].tolist() if row != _NO_ROW)


def encode_questions(
    manifest: Manifest,
    questions: Questions,
    encode: Callable[[Sequence[Question]], Sequence[tuple[Question, Ids, Ids]]],
    headers: Sequence[str] | None = None,
) -> EncodedQuestions:
    """Encode the questions of a split, one copy per window of their recording.

    Args:
        manifest: the questions'.
        questions: of a split.
        encode: returns each question with the ids of its text and of its answer, which depend on
            nothing but the question's wording, answer and header.
        headers: what is known of the patients of each question, where the prompt layout asks for
            it.

    Raises:
        RecordError: a question asks about a recording without a whole window.
    """
    asked, rows = _windows(manifest, questions)
    numbers = dict.fromkeys(headers or ())
    numbers = {header: number for number, header in enumerate(numbers)}
    kinds = questions.columns.alike
    if headers is not None:
        kinds = kinds * max(1, len(numbers)) + [numbers[header] for header in headers]
    _, first, wordings = np.unique(kinds, return_index=True, return_inverse=True)
    encoded = encode([questions[place] for place in first.tolist()])
    texts = Ragged([text for _, text, _ in encoded]), Ragged([answer for _, _, answer in encoded])
    shown = ["" if headers is None else headers[place] for place in first.tolist()]
    return EncodedQuestions(questions, asked, rows, wordings[asked], texts, shown)


def _windows(manifest: Manifest, questions: Questions) -> tuple[np.ndarray, np.ndarray]:
    """Return for each window of each question its place, int64 (N,), and store rows (N, K)."""
    columns, table = questions.columns, manifest.records
    lines = manifest.lines_asked_about(questions)
    begins = columns.first_records[:-1]
    counts = np.diff(columns.first_records)
    windows = np.minimum.reduceat(table.num_segments[lines], begins) if len(begins) else counts
    for place in np.flatnonzero(windows < 1)[:1]:
        raise no_whole_window(columns.ids.text(place))
    asked = np.repeat(np.arange(len(questions)), windows)
    window = np.arange(len(asked)) - np.repeat(np.cumsum(windows) - windows, windows)
    rows = np.full((len(asked), int(counts.max(initial=1))), _NO_ROW, dtype=np.int64)
    for number in range(rows.shape[1]):
        has_one = counts[asked] > number
        records = lines[begins[asked[has_one]] + number]
        rows[has_one, number] = table.first_rows[records] + window[has_one]
    return asked, rows


def no_whole_window(question_id: str) -> RecordError:
    """Return the error about a question on a recording of no segment."""
    return RecordError(
        f"question {question_id!r} asks about a recording without a whole window; make the "
        "manifest anew, its recipe skips such records"
    )


class PackedQuestions(Sequence[list[EncodedQuestion]]):
    """M sequences of questions that share their ECGs.

    Args:
        questions: all of a split.
        members: int64 (N,), places in ``questions``, sequence after sequence.
        starts: int64 (M + 1), where each sequence begins in ``members``.
    """

    def __init__(
        self, questions: EncodedQuestions, members: np.ndarray, starts: np.ndarray
    ) -> None:
        self.questions = questions
        self.members = members
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, place: int) -> list[EncodedQuestion]: ...
    @overload
    def __getitem__(self, place: slice) -> list[list[EncodedQuestion]]: ...
    def __getitem__(
        self, place: int | slice
    ) -> list[EncodedQuestion] | list[list[EncodedQuestion]]:
        """Return the questions of one sequence, or of some."""
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        if place < 0 or place >= len(self):
            raise IndexError(place)
        members = self.members[self.starts[place] : self.starts[place + 1]]
        return [self.questions[member] for member in members.tolist()]

    def shapes(self, ecg_lengths: np.ndarray) -> "Shapes":
        """Return what :func:`shapes_of` does."""
        firsts = self.starts[:-1]
        leading = self.members[firsts]
        rows = self.questions.rows[leading]
        has_row = rows != _NO_ROW
        lengths = np.where(has_row, ecg_lengths[rows], 0)
        texts = np.add.reduceat(self.questions.num_text_tokens[self.members], firsts)
        headers = list(dict.fromkeys(self.questions.headers))
        number_of = {header: number for number, header in enumerate(headers)}
        numbers = np.array([number_of[header] for header in self.questions.headers], dtype=np.int64)
        columns = [*lengths.T, has_row.sum(axis=1), texts, np.diff(self.starts)]
        first, kinds = _distinct([*columns, numbers[self.questions.wordings[leading]]])
        distinct = np.stack([column[first] for column in columns], axis=1).tolist()
        shown = numbers[self.questions.wordings[leading[first]]].tolist()
        return Shapes(
            [
                (tuple(counts[:number]), text, size, headers[header])
                for (*counts, number, text, size), header in zip(distinct, shown, strict=True)
            ],
            first,
            kinds,
        )


@dataclass(frozen=True, eq=False)
class Shapes:
    """What N sequences hold, of which most hold what another one does.

    Attributes:
        distinct: tokens of each ECG, tokens of all questions and answers, number of questions,
            header: each combination that occurs.
        first: int64, the first sequence of each combination.
        kinds: int64 (N,), the combination of each sequence.
    """

    distinct: list[Shape]
    first: np.ndarray
    kinds: np.ndarray


def shapes_of(items: Sequence[Sequence[EncodedQuestion]], ecg_lengths: np.ndarray) -> Shapes:
    """Return what sequences hold.

    Args:
        items: the questions of each sequence.
        ecg_lengths: int (rows,), tokens of each segment of the store.
    """
    if isinstance(items, PackedQuestions) and len(items):
        return items.shapes(ecg_lengths)
    seen: dict[Shape, int] = {}
    first: list[int] = []
    kinds = np.empty(len(items), dtype=np.int64)
    for place, item in enumerate(items):
        lengths = tuple(int(ecg_lengths[row]) for row in item[0].rows)
        text = sum(question.num_text_tokens for question in item)
        kind = seen.setdefault((lengths, text, len(item), item[0].header), len(seen))
        kinds[place] = kind
        if kind == len(first):
            first.append(place)
    return Shapes(list(seen), np.array(first, dtype=np.int64), kinds)


def _distinct(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each different one, and of which kind each of N rows is.

    Args:
        columns: int (N,) each, no number below 0.
    """
    keys, span = np.zeros(len(columns[0]), dtype=np.int64), 1
    for column in columns:
        width = int(column.max(initial=0)) + 1
        if span * width >= 1 << 62:
            # Python's numbers do not overflow; numpy's would, so they are counted anew.
            keys = np.unique(keys, return_inverse=True)[1]
            span = int(keys.max(initial=0)) + 1
        keys = keys * width + column
        span *= width
    _, first, kinds = np.unique(keys, return_index=True, return_inverse=True)
    return first, kinds


@dataclass(frozen=True)
class PackingLimits:
    """How many questions stand together.

    Attributes:
        pairs_per_ecg: most questions behind one copy of the ECG.
        space_for_text: tokens of each ECG, header -> tokens that fit behind what is shared.
        own_tokens: the same -> tokens that each question brings along besides its text.
    """

    pairs_per_ecg: int
    space_for_text: Callable[[tuple[int, ...], str], int]
    own_tokens: Callable[[tuple[int, ...], str], int]


def pack_encoded(
    questions: EncodedQuestions, ecg_lengths: np.ndarray, limits: PackingLimits, seed: int
) -> PackedQuestions:
    """Group questions about the same ECGs as ``pack_by_ecg`` does, in arrays.

    Args:
        questions: all of a split.
        ecg_lengths: int (rows,), tokens of each segment of the store.
        limits: of a sequence.
        seed: decides which questions of an ECG stand together.
    """
    count = len(questions)
    rank = np.empty(count, dtype=np.int64)
    rank[np.random.default_rng(seed).permutation(count)] = np.arange(count)
    # By rows, as tuples compare, and then in the drawn order. lexsort's last key counts most.
    columns = [questions.rows[:, column] for column in reversed(range(questions.rows.shape[1]))]
    members = np.lexsort((rank, *columns))
    if limits.pairs_per_ecg == 1:
        return PackedQuestions(questions, members, np.arange(count + 1))
    rows = questions.rows[members]
    is_new = np.ones(count, dtype=bool)
    is_new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    starts = _starts(questions, members, is_new, ecg_lengths, limits)
    return PackedQuestions(questions, members, np.array([*starts, count], dtype=np.int64))


def _starts(
    questions: EncodedQuestions,
    members: np.ndarray,
    is_new: np.ndarray,
    ecg_lengths: np.ndarray,
    limits: PackingLimits,
) -> list[int]:
    """Return where sequences begin among ``members``; ``is_new``: where other ECGs begin."""
    starts: list[int] = []
    inside = text = space = own = 0
    tokens = questions.num_text_tokens[members].tolist()
    for place, (is_first, num_tokens) in enumerate(zip(is_new.tolist(), tokens, strict=True)):
        if is_first:
            member = int(members[place])
            lengths = tuple(ecg_lengths[list(questions.rows_of(member))].tolist())
            header = questions.headers[questions.wordings[member]]
            space, own = limits.space_for_text(lengths, header), limits.own_tokens(lengths, header)
        needed = num_tokens + own
        if is_first or inside == limits.pairs_per_ecg or text + needed > space:
            starts.append(place)
            inside, text = 0, 0
        inside += 1
        text += needed
    return starts
