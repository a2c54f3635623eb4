"""What reads the statements of a report: a registry of functions ``text -> set of names``.

Clinical agreement does not compare words but what they say. Who says what a text says is named
beside every figure: two such functions never share a column.
"""

from collections.abc import Callable

from ecg_fairseq.errors import ScoreError

Statements = Callable[[str], frozenset[str]]


def _simulated() -> Statements:
    from ecg_fairseq.records.simulated.report_statements import statements

    return statements


# name -> (what makes the function, one line about it)
STATEMENT_READERS: dict[str, tuple[Callable[[], Statements], str]] = {
    "simulated": (_simulated, "the wordings of `ecg-fairseq simulate`, exactly"),
}
DEFAULT_READER = "simulated"


def statement_reader(name: str) -> Statements:
    """Return the function that reads the statements of a text.

    Raises:
        ScoreError: nothing has this name.
    """
    if name not in STATEMENT_READERS:
        known = "; ".join(f"{key}: {line}" for key, (_, line) in STATEMENT_READERS.items())
        raise ScoreError(f"--statements {name!r}; expected one of these. {known}")
    return STATEMENT_READERS[name][0]()
