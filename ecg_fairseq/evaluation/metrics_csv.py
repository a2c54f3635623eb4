"""Training metrics as CSV files, written while fairseq trains.

fairseq has no CSV log. With ``common.log_format=json`` every line that it logs also becomes a row
of ``metrics_train_inner.csv``, ``metrics_train.csv`` or ``metrics_valid.csv`` beside the
checkpoints, with one column a figure. A resumed run first removes rows that it will write again.
"""

import csv
import logging
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.training_log import parse_point
from ecg_fairseq.files import atomic_write

logger = logging.getLogger(__name__)
# fairseq renames this one logger for each kind of line.
_FAIRSEQ_LOGGER = "fairseq.logging.progress_bar"
_KEYS = ("update", "epoch")


def write_metrics_csv(folder: Path | str) -> None:
    """Write what fairseq logs from now on as CSV into a folder, and nowhere else.

    Processes that log nothing (all but the first) write nothing.
    """
    source = logging.getLogger(_FAIRSEQ_LOGGER)
    present = [handler for handler in source.handlers if isinstance(handler, _CsvHandler)]
    if any(handler.folder == Path(folder) for handler in present):
        return
    for handler in present:
        source.removeHandler(handler)
    source.addHandler(_CsvHandler(Path(folder)))


class MetricsFile:
    """One CSV file of points with growing ``update``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Empty until the first row of this run.
        self._columns: list[str] = []

    def add(self, point: dict[str, Any]) -> None:
        """Append a point; on the first one, rows of this or later updates are removed.

        Args:
            point: of :func:`parse_point`.

        Raises:
            EcgError: the file cannot be written.
        """
        row = {key: value for key, value in point.items() if key != "part"}
        columns = self._columns or [*_KEYS]
        columns = columns + sorted(set(row) - set(columns))
        if columns != self._columns:
            self._rewrite(columns, row["update"])
        with open(self.path, "a", encoding="utf-8", newline="") as stream:
            csv.DictWriter(stream, self._columns, lineterminator="\n").writerow(row)

    def _rewrite(self, columns: list[str], update: int) -> None:
        """Write the header and the rows before an update."""
        rows = _read_rows(self.path)
        kept = [row for row in rows if int(row["update"]) < update]
        older = {name for row in kept for name in row} - set(columns)
        self._columns = columns + sorted(older)
        with atomic_write(self.path) as stream:
            writer = csv.DictWriter(stream, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file that an earlier run wrote; half a last line is no row."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row for row in rows if (row.get("update") or "").isdecimal() and None not in row]


class _CsvHandler(logging.Handler):
    """Turns log records into rows."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self.folder = folder
        self._files: dict[str, MetricsFile] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a row if the record is one of training or validation."""
        point = parse_point(record.getMessage())
        if point is None:
            return
        part = point["part"]
        if part not in self._files:
            self._files[part] = MetricsFile(self.folder / f"metrics_{part}.csv")
        try:
            self._files[part].add(point)
        except (OSError, EcgError) as error:
            # A table of metrics is no reason to stop a training.
            logging.getLogger(_FAIRSEQ_LOGGER).removeHandler(self)
            logger.warning(f"metrics are no longer written as CSV: {error}")
