"""Which recording a cell of a user's table means: its id, or a short name that only it can have."""

from collections import Counter
from collections.abc import Collection
from pathlib import PurePosixPath

from ecg_fairseq.records.labels.label_table import without_suffix


class RecordNames:
    """The names of all recordings that are there, used or not.

    A record id wins over everything else. The last part of an id (``ecg`` of ``ward/ecg``) means
    its recording only where no other one ends so.
    """

    def __init__(self, record_ids: Collection[str]) -> None:
        self.record_ids = frozenset(record_ids)
        self._ends = Counter(_end(name) for name in self.record_ids)
        self._by_end = {_end(name): name for name in self.record_ids}

    def find(self, text: str) -> str | None:
        """Return the record id that a cell means, or None.

        >>> RecordNames(["ward/a", "b", "ward/b"]).find("b.mat")
        'b'
        """
        text = text.strip()
        readings = (text, without_suffix(text), text.removesuffix(".0"))
        for name in readings:
            if name in self.record_ids:
                return name
        for name in readings:
            if self._ends[name] == 1:
                return self._by_end[name]
        return None

    def why_not(self, text: str) -> str:
        """Return why :meth:`find` finds no recording."""
        number = self._ends[without_suffix(text.strip())]
        return f"{number} recordings end so" if number > 1 else "no recording has this name"


def _end(record_id: str) -> str:
    return PurePosixPath(record_id).name
