"""PTB-XL's label sets, as its benchmarks use them (Strodthoff et al., IEEE JBHI 25(5), 2021).

A statement counts wherever it is listed, whatever its likelihood: 0 stands for "not stated" there,
above all with rhythms. Superclass, subclass and diagnostic go by the statements' ``diagnostic``
mark, form and rhythm by their own. A record without any statement of the kind is unlabelled and
takes no part, as in the benchmarks; columns are in the order of ``scp_statements.csv``.
"""

from argparse import ArgumentParser
from collections.abc import Collection, Mapping
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.ptb_xl_files import ScpStatement, read_scp_statements
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.record_row import RecordRow

LABEL_SETS = ("superclass", "subclass", "diagnostic", "form", "rhythm", "all")
NO_LABELS = "none"
LABEL_SET_CHOICES = (*LABEL_SETS, NO_LABELS)


def add_label_set_option(parser: ArgumentParser, default: str) -> None:
    """Declare ``--label-set`` for datasets that have PTB-XL's statements."""
    text = f"PTB-XL labels for the columns of labels/y.npy (default {default})"
    parser.add_argument("--label-set", choices=LABEL_SET_CHOICES, default=default, help=text)


def ptb_xl_label_set(folder: Path, name: str) -> LabelSet | None:
    """Return a label set of PTB-XL, or None for ``none``.

    Args:
        folder: PTB-XL's folder, which holds ``scp_statements.csv``.
        name: one of :data:`LABEL_SET_CHOICES`.

    Raises:
        ManifestError: unknown name; the table is missing or of another form.
    """
    if name not in LABEL_SET_CHOICES:
        raise ManifestError(f"--label-set {name!r}; expected one of {', '.join(LABEL_SET_CHOICES)}")
    return None if name == NO_LABELS else label_set_of(name, read_scp_statements(folder))


def label_set_of(name: str, statements: Mapping[str, ScpStatement]) -> LabelSet:
    """Return the label set ``name`` over a table of statements."""
    labels_of = {code: _label(name, code, item) for code, item in statements.items()}
    label_of_code = {code: label for code, label in labels_of.items() if label}

    def positives(row: RecordRow) -> Collection[str] | None:
        codes = row.labels.get("scp_codes", {})
        return {label_of_code[code] for code in codes if code in label_of_code} or None

    return LabelSet(name, tuple(dict.fromkeys(label_of_code.values())), positives)


def _label(name: str, code: str, statement: ScpStatement) -> str:
    """Return the column that a code belongs to, empty for none."""
    if name == "superclass":
        return statement.superclass if statement.is_diagnostic else ""
    if name == "subclass":
        return statement.subclass if statement.is_diagnostic else ""
    belongs = {
        "diagnostic": statement.is_diagnostic,
        "form": statement.is_form,
        "rhythm": statement.is_rhythm,
        "all": True,
    }
    return code if belongs[name] else ""
