"""Where the parts of questions stand in a block of lines that are in the form written here.

A line is searched for what stands between its parts and cut there, all else is done with numpy for
thousands of lines at a time. A block that holds one line in another form is left to the reader that
takes lines one by one.
"""

from dataclasses import dataclass

import numpy as np

from ecg_fairseq.records.readers.text_column import TextColumn
from ecg_fairseq.records.readers.text_lines import places_of

# What stands between the parts of a line, in the order of a line.
_ID, _QUESTION, _RECORDS = b'{"id": "', b'", "question": ', b', "record_ids": ["'
_PATIENTS, _TEMPLATE, _END = b'"], "patient_ids": ["', b'"], "template_id": ', b"}"
_NEXT = b'", "'
_QUOTE, _BACKSLASH, _BLANK, _LAST, _NEWLINE = 34, 92, 32, 126, 10

Spans = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class QuestionMarks:
    """The parts of N lines.

    Attributes:
        starts, ends: int64 (N,), the place of each line in the block.
        before, after: pairs of int64 (N,), the places of what stands before and behind the
            recordings.
        ids: of the questions.
        record_ids, patient_ids: of all recordings asked about, line after line.
        counts: int64 (N,), recordings of each line.
    """

    starts: np.ndarray
    ends: np.ndarray
    before: Spans
    after: Spans
    ids: TextColumn
    record_ids: TextColumn
    patient_ids: TextColumn
    counts: np.ndarray


def find_marks(block: bytes, content: np.ndarray) -> QuestionMarks | None:
    """Return the parts of all lines; None when a line is not in the form written here.

    Args:
        block: whole lines.
        content: the same, uint8.
    """
    ends = places_of(content, _NEWLINE).astype(np.int64)
    if not len(ends) or ends[-1] != len(content) - 1:
        ends = np.append(ends, len(content))
    starts = np.append(0, ends[:-1] + 1)
    found = _searched(block, starts, ends)
    if found is None:
        return None
    id_ends, records, patients, template = found
    if (starts + len(_ID) > id_ends).any():
        return None
    id_starts = starts + len(_ID)
    is_ours = _stands_at(content, starts, _ID) & _stands_at(content, ends - len(_END), _END)
    record_ids = _members(content, records + len(_RECORDS), patients)
    patient_ids = _members(content, patients + len(_PATIENTS), template)
    if not is_ours.all() or record_ids is None or patient_ids is None:
        return None
    ids = TextColumn.cut_from(content, id_starts, id_ends)
    columns = ids, record_ids[0], patient_ids[0]
    is_plain = all(_is_plain(column.content) for column in columns)
    if not is_plain or (record_ids[1] != patient_ids[1]).any():
        return None
    before = id_ends + len(_NEXT) - 1, records
    after = template + len(_NEXT) - 1, ends - len(_END)
    return QuestionMarks(starts, ends, before, after, *columns, record_ids[1])


def _searched(
    block: bytes, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Return where the four marks inside each line stand, int64 (N,); None where one lacks."""
    find = block.find
    found: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
    add_first, add_second, add_third, add_fourth = (places.append for places in found)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        # A mark is longer than one byte: a search from -1, the last byte, finds none either.
        first = find(_QUESTION, start, end)
        second = find(_RECORDS, first, end)
        third = find(_PATIENTS, second, end)
        fourth = find(_TEMPLATE, third, end)
        if fourth < 0:
            return None
        add_first(first)
        add_second(second)
        add_third(third)
        add_fourth(fourth)
    first_places, *others = (np.array(places, dtype=np.int64) for places in found)
    return first_places, others[0], others[1], others[2]


def _stands_at(content: np.ndarray, places: np.ndarray, mark: bytes) -> np.ndarray:
    """Return whether a mark stands at each place, bool (N,); places may reach outside."""
    is_there = (places >= 0) & (places + len(mark) <= len(content))
    inside = np.where(is_there, places, 0)
    for offset, letter in enumerate(mark):
        is_there &= content[np.minimum(inside + offset, len(content) - 1)] == letter
    return is_there


def _is_plain(content: np.ndarray) -> bool:
    """Say whether every byte of some ids is its own value in JSON."""
    is_odd = (content < _BLANK) | (content > _LAST) | (content == _BACKSLASH) | (content == _QUOTE)
    return not is_odd.any()


def _members(
    content: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[TextColumn, np.ndarray] | None:
    """Return the members of lists of texts, and how many each list has.

    Args:
        content: uint8.
        starts, ends: int64 (N,), of each list, from behind its first quote to its last.

    Returns:
        All members, and counts, int64 (N,); None when a list is written otherwise.
    """
    lists = TextColumn.cut_from(content, starts, ends)
    quotes = np.flatnonzero(lists.content == _QUOTE)
    if not len(quotes):
        return lists, np.ones(len(starts), dtype=np.int64)
    num_quotes = np.diff(np.searchsorted(quotes, lists.offsets))
    # Quotes come in pairs, the end of a member and the start of the next.
    if (num_quotes % 2).any() or not _stands_at(lists.content, quotes[::2], _NEXT).all():
        return None
    if (quotes[1::2] - quotes[::2] != len(_NEXT) - 1).any():
        return None
    begins = np.sort(np.concatenate([lists.offsets[:-1], quotes[1::2] + 1]))
    closes = np.sort(np.concatenate([lists.offsets[1:], quotes[::2]]))
    return TextColumn.cut_from(lists.content, begins, closes), num_quotes // 2 + 1
