"""Clinical agreement: which statements of the reference report a generated one makes.

A statement is right when both reports make it. Counted over all reports:

- **micro** precision, recall and F1 pool all statements of all reports;
- **macro** F1 is the mean of the F1 of each statement that some reference makes; statements that
  are only ever generated lower the precision of micro, and are listed;
- **F1 by report** is the mean over reports of ``2 |both| / (|generated| + |reference|)``; two
  reports that make no statement agree (1).

Where nothing was generated precision is 0 (``2 |both| / (|generated| + |reference|)`` needs no such
rule).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from ecg_fairseq.evaluation.reports.statements import Statements

AGREEMENT_METRICS = ("clinical_precision", "clinical_recall", "clinical_f1", "clinical_macro_f1")
BY_REPORT_METRIC = "clinical_f1_by_report"


@dataclass(frozen=True, eq=False)
class Agreement:
    """Statements of N generated and N reference reports, K different ones.

    Attributes:
        names: of the K statements, in alphabetical order.
        generated, reference: sparse float64 (N, K), 1 where the report makes the statement.
    """

    names: tuple[str, ...]
    generated: sparse.csr_array
    reference: sparse.csr_array

    @cached_property
    def both(self) -> sparse.csr_array:
        """Sparse float64 (N, K), 1 where both reports make the statement."""
        return self.generated.multiply(self.reference).tocsr()

    def f1_by_report(self) -> np.ndarray:
        """Return float64 (N,): the F1 of each report, 1 where neither makes a statement."""
        sizes = self.generated.sum(axis=1) + self.reference.sum(axis=1)
        shared = np.asarray(self.both.sum(axis=1), dtype=np.float64)
        return np.where(sizes > 0, 2.0 * shared / np.maximum(sizes, 1.0), 1.0)

    def figures(self) -> dict[str, float | None]:
        """Return the metrics of ``AGREEMENT_METRICS`` and ``BY_REPORT_METRIC``."""
        weights = np.ones((1, self.reference.shape[0]))
        values = {name: _number(row[0]) for name, row in self.weighted(weights).items()}
        return {**values, BY_REPORT_METRIC: float(self.f1_by_report().mean())}

    def weighted(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return the metrics of ``AGREEMENT_METRICS`` when each report counts several times.

        Args:
            weights: (R, N) how often each report counts, in R draws.

        Returns:
            metric -> float64 (R,); NaN where no reference of a draw makes a statement. The macro F1
            of a draw is over the statements that a reference of the draw makes.
        """
        both, generated, reference = (
            (matrix.T @ weights.T).T for matrix in (self.both, self.generated, self.reference)
        )
        total = {"both": both.sum(1), "generated": generated.sum(1), "all": reference.sum(1)}
        has_any = total["all"] > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(
                total["generated"] > 0, total["both"] / np.maximum(total["generated"], 1e-300), 0.0
            )
            recall = total["both"] / total["all"]
            f1 = 2.0 * total["both"] / (total["generated"] + total["all"])
            by_name = 2.0 * both / (generated + reference)
        by_name[reference == 0] = np.nan
        num_names = np.count_nonzero(reference > 0, axis=1)
        macro = np.nansum(by_name, axis=1) / np.maximum(num_names, 1)
        columns = (precision, recall, f1, macro)
        return {
            name: np.where(has_any, column, np.nan)
            for name, column in zip(AGREEMENT_METRICS, columns, strict=True)
        }

    def by_statement(self) -> dict[str, dict[str, Any]]:
        """Return, for each statement, how often it stands where, and its figures."""
        columns = [
            np.asarray(matrix.sum(axis=0)).tolist()
            for matrix in (self.reference, self.generated, self.both)
        ]
        return {
            name: {
                "n_reference": int(reference),
                "n_generated": int(generated),
                "precision": both / generated if generated else None,
                "recall": both / reference if reference else None,
                "f1": 2.0 * both / (generated + reference) if reference else None,
            }
            for name, reference, generated, both in zip(self.names, *columns, strict=True)
        }

    @property
    def num_silent_references(self) -> int:
        """How many references make no statement that the reader knows."""
        return int(np.count_nonzero(np.asarray(self.reference.sum(axis=1)) == 0))


def compare_statements(
    predictions: Sequence[str], references: Sequence[str], statements: Statements
) -> Agreement:
    """Read both reports' statements; equal texts are read once."""
    known = {text: statements(text) for text in dict.fromkeys([*predictions, *references])}
    return agreement_of([known[text] for text in predictions], [known[text] for text in references])


def agreement_of(
    generated: Sequence[frozenset[str]], reference: Sequence[frozenset[str]]
) -> Agreement:
    """Return the agreement of N sets of statements with the N that are right."""
    names = tuple(sorted({name for found in (*generated, *reference) for name in found}))
    return Agreement(
        names,
        _matrix(generated, names, len(generated)),
        _matrix(reference, names, len(reference)),
    )


def _matrix(
    found: Iterable[frozenset[str]], names: tuple[str, ...], num_reports: int
) -> sparse.csr_array:
    places = {name: place for place, name in enumerate(names)}
    cells = list(_cells(found, places))
    rows, columns = (
        (np.array(part, dtype=np.int64) for part in zip(*cells, strict=True))
        if (cells)
        else (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    )
    values = np.ones(len(rows), dtype=np.float64)
    return sparse.csr_array((values, (rows, columns)), shape=(num_reports, len(names)))


def _cells(found: Iterable[frozenset[str]], places: dict[str, int]) -> Iterator[tuple[int, int]]:
    for row, members in enumerate(found):
        for name in sorted(members):
            yield row, places[name]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
