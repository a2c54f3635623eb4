"""Which lead stands where: 3x4 with a rhythm strip, 6x2, 12x1.

Columns show consecutive parts of the recording, as ECG machines print them: in 3x4 the second
column continues where the first ends. Every lead of the record stands in exactly one cell (the
rhythm strip repeats one); leads beyond the standard twelve get rows of their own below.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.leads import CANONICAL_LEADS

PAGE_SECONDS = 10.0
RHYTHM_LEAD = "II"
ROWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "3x4": (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6")),
    "6x2": (
        ("I", "V1"),
        ("II", "V2"),
        ("III", "V3"),
        ("aVR", "V4"),
        ("aVL", "V5"),
        ("aVF", "V6"),
    ),
    "12x1": tuple((lead,) for lead in CANONICAL_LEADS),
}
LAYOUTS = tuple(ROWS)


@dataclass(frozen=True)
class Cell:
    """A lead's place: its row, and the part of the page's time that it shows."""

    lead: str
    row: int
    start_s: float
    duration_s: float
    is_rhythm: bool = False


def arrange(layout: str, leads: Sequence[str], seconds: float) -> list[Cell]:
    """Return the cells of a layout for the leads that a record has.

    Args:
        layout: ``3x4``, ``6x2`` or ``12x1``.
        leads: the record's leads; rows and cells of absent leads stay away.
        seconds: how much of the recording the page shows.

    Raises:
        RecordError: the layout is unknown or there is no lead.
    """
    if layout not in ROWS:
        raise RecordError(f"unknown layout {layout!r}; choose one of {', '.join(LAYOUTS)}")
    if not leads:
        raise RecordError("the record has no leads; nothing can be drawn")
    present = set(leads)
    num_columns = len(ROWS[layout][0])
    width = seconds / num_columns
    rows = [row for row in ROWS[layout] if present.intersection(row)]
    cells = [
        Cell(lead, number, column * width, width)
        for number, row in enumerate(rows)
        for column, lead in enumerate(row)
        if lead in present
    ]
    extra = [lead for lead in leads if lead not in CANONICAL_LEADS]
    strips = [Cell(lead, len(rows) + i, 0.0, seconds) for i, lead in enumerate(extra)]
    if layout == "3x4" and rows:
        rhythm = RHYTHM_LEAD if RHYTHM_LEAD in present else leads[0]
        strips.append(Cell(rhythm, len(rows) + len(extra), 0.0, seconds, is_rhythm=True))
    return cells + strips
