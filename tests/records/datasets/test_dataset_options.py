"""Choices made of parsed options: every field from the option of its name, or as given."""

import argparse
from dataclasses import dataclass

import pytest

from ecg_fairseq.records.datasets.options import add_split_option, choice_from


@dataclass(frozen=True)
class ToyChoice:
    split: str
    visits: tuple[int, ...] = ()
    seed: int = 7


def test_fields_come_from_the_options_of_their_names() -> None:
    arguments = argparse.Namespace(split="patient", visit=[2, 3], seed=1, other="x")
    choice = choice_from(ToyChoice, arguments, visits=tuple(arguments.visit))
    assert choice == ToyChoice("patient", (2, 3), 1)


def test_a_field_without_an_option_is_a_fault_not_a_default() -> None:
    with pytest.raises(AttributeError, match="visits"):
        choice_from(ToyChoice, argparse.Namespace(split="patient", seed=1))


def test_the_first_split_rule_is_the_default_and_others_are_refused() -> None:
    parser = argparse.ArgumentParser()
    add_split_option(parser, ("folds", "patient"))
    assert parser.parse_args([]).split == "folds"
    assert parser.parse_args(["--split", "patient"]).split == "patient"
    with pytest.raises(SystemExit):
        parser.parse_args(["--split", "file"])
