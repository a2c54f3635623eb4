"""Every dataset is asked to prepare the raw folder of every other one, and refuses."""

import shutil
from pathlib import Path

import pytest

from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.records.datasets.registry import DATASETS
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import LAYOUTS, layout_writer

# Layout -> the datasets that it does hold; own_data takes whatever records there are.
HOLDS = {
    "ptb_xl": ("ptb_xl", "ecg_qa"),
    "mimic_iv_ecg": ("mimic_iv_ecg", "ecg_qa", "ecg_chat"),
    "physionet_2021": (
        *("physionet_2021", "cpsc_2018", "cpsc_2018_extra", "csn"),
        *("georgia", "ptb", "incart"),
    ),
    "heartllm": ("heartllm", "ptb_xl"),
}
ANYTHING = ("own_data",)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every layout of a few patients, in folders whose names tell nothing."""
    root = tmp_path_factory.mktemp("raw")
    for number, layout in enumerate(sorted(LAYOUTS)):
        settings = CohortSettings(1 if layout == "incart" else 2, seed=3)
        layout_writer(layout)(root / f"folder{number}", settings, 1)
    return root


def attempt(name: str, folder: Path, raw: Path, out: Path) -> int:
    words = [str(folder), "--out", str(out), "--recipe", "ecg_fm", "--progress", "silent"]
    others = {
        "ecg_qa": "--ptb-xl",
        "heartllm": "--ptb-xl",
        "ptb_xl_plus": "--ptb-xl",
        "ecg_chat": "--mimic-iv-ecg",
    }
    if name in others:
        layout = "mimic_iv_ecg" if name == "ecg_chat" else "ptb_xl"
        words += [others[name], str(raw / f"folder{sorted(LAYOUTS).index(layout)}")]
    return prepare_dataset(name, words)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_dataset_refuses_the_folder_of_another(layout, raw, tmp_path, capsys):
    folder = raw / f"folder{sorted(LAYOUTS).index(layout)}"
    for name in sorted(set(DATASETS) - {layout, *HOLDS.get(layout, ()), *ANYTHING}):
        assert attempt(name, folder, raw, tmp_path / name) == 1, name
        assert not (tmp_path / name).exists(), name
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert error.count("\n") <= 3, error


@pytest.mark.parametrize("called", ["ptb-xl", "ptb", "georgia", "training/ptb-xl"])
def test_a_folders_name_does_not_make_it_the_challenges_copy(called, raw, tmp_path, capsys):
    source = raw / f"folder{sorted(LAYOUTS).index('ptb_xl')}"
    shutil.copytree(source, tmp_path / "raw" / called)
    folder = tmp_path / "raw" / called
    for given in (folder, tmp_path / "raw"):
        for name in ("physionet_2021", "ptb", "georgia"):
            assert attempt(name, given, raw, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "is not a folder of the challenge's" in error
    assert "the first is 00001_lr" in error


def test_records_of_others_among_them_are_left_out_with_a_reason(raw, tmp_path):
    training = raw / f"folder{sorted(LAYOUTS).index('physionet_2021')}" / "training"
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in training.rglob("*.*"):
        if path.stem in ("E00001", "HR00001"):
            shutil.copy(path, flat)
    assert attempt("georgia", flat, raw, tmp_path / "m") == 0
    skipped = (tmp_path / "m/skipped.tsv").read_text().splitlines()[1:]
    assert skipped == [
        "HR00001\tnot called like a record of the challenge's georgia (E00001); is it another "
        "dataset's?"
    ]
    lines = (tmp_path / "m/records.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[0] for line in lines] == ["E00001", "HR00001"]
