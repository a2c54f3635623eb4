"""Options that several datasets have, and choices made of parsed options."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

Choice = TypeVar("Choice")


def add_split_option(
    parser: argparse.ArgumentParser, rules: Sequence[str], text: str = "split rule"
) -> None:
    """Declare ``--split``; the first rule is the default."""
    parser.add_argument("--split", choices=tuple(rules), default=rules[0], help=text)


def choice_from(kind: type[Choice], arguments: argparse.Namespace, **given: Any) -> Choice:
    """Return a dataset's choice: every field has the value of the option of its name.

    Args:
        kind: a dataclass.
        arguments: parsed options.
        given: values of the fields that go by another name or are no option.
    """
    values = {
        field.name: getattr(arguments, field.name)
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name not in given
    }
    return kind(**values, **given)
