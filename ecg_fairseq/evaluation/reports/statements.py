"""What reads the statements of a report: a registry of functions ``text -> set of names``.

Clinical agreement does not compare words but what they say. Who says what a text says is named
beside every figure: two such functions never share a column.
"""

from collections.abc import Callable
from pathlib import Path

from ecg_fairseq.errors import ScoreError

Statements = Callable[[str], frozenset[str]]


def _simulated() -> Statements:
    from ecg_fairseq.records.simulated.report_statements import statements

    return statements


def _labeler() -> Statements:
    from ecg_fairseq.records.reports.labeler import open_labeler

    return open_labeler().statements


# name -> (what makes the function, one line about it)
STATEMENT_READERS: dict[str, tuple[Callable[[], Statements], str]] = {
    "labeler": (_labeler, "the labeler with the package's own tables, for PTB-XL and MIMIC"),
    "simulated": (_simulated, "the wordings of `ecg-fairseq simulate`, exactly"),
}
DEFAULT_READER = "labeler"


def statement_reader(name: str) -> Statements:
    """Return the function that reads the statements of a text.

    Args:
        name: one of ``STATEMENT_READERS``, or a folder of tables of the labeler.

    Raises:
        ScoreError: nothing has this name.
        LabelerError: the tables in the folder are damaged.
    """
    if name not in STATEMENT_READERS and Path(name).is_dir():
        from ecg_fairseq.records.reports.labeler import open_labeler

        return open_labeler(Path(name)).statements
    if name not in STATEMENT_READERS:
        known = "; ".join(f"{key}: {line}" for key, (_, line) in STATEMENT_READERS.items())
        raise ScoreError(
            f"--statements {name!r}; expected a folder of labeler tables, or one of these. {known}"
        )
    return STATEMENT_READERS[name][0]()
