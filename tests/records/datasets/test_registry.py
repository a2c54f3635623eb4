"""The registry of datasets: complete, one line each, found by name, never loaded by path."""

import argparse
from pathlib import Path

import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.registry import DATASETS, dataset_module
from ecg_fairseq.records.preparation.command_line import preparation_parser


def test_every_script_is_a_dataset_and_every_dataset_has_a_script(project_dir: Path) -> None:
    assert {path.stem for path in (project_dir / "manifests").glob("*.py")} == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_offers_options_and_help(name: str) -> None:
    dataset = dataset_module(name)
    text = preparation_parser(dataset, f"ecg-fairseq prepare {name}").format_help()
    assert f"ecg-fairseq prepare {name} " in (dataset.__doc__ or "")
    assert dataset.RAW_HELP in " ".join(text.split())
    assert "``" not in text
    own = argparse.ArgumentParser()
    dataset.add_options(own)
    assert "--split" in own.format_help()
    assert callable(dataset.make_dataset)


@pytest.mark.parametrize("name", DATASETS)
def test_summaries_fit_a_line(name: str) -> None:
    summary = DATASETS[name].summary
    assert summary
    assert len(summary) < 60
    assert "\n" not in summary


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("ptbxl", "did you mean ptb_xl"),
        ("mimic-iv-ecg", "did you mean mimic_iv_ecg"),
        ("os.path", "there are code_15, cpsc_2018"),
        ("registry", "there are code_15, cpsc_2018"),
        ("", "there are code_15, cpsc_2018"),
    ],
)
def test_an_unknown_name_is_refused_with_advice(name: str, advice: str) -> None:
    with pytest.raises(ManifestError, match=advice):
        dataset_module(name)
