"""PTB-XL+: median beats of either maker, their unit, the tables, and damaged folders."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.csv_table import number_of
from ecg_fairseq.records.datasets.ptb_xl_labels import ptb_xl_label_set
from ecg_fairseq.records.datasets.ptb_xl_plus import PtbXlPlusChoice, ptb_xl_plus_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.derived_signals import typical_beat
from ecg_fairseq.records.simulated.layouts.ptb_xl_plus import write_layout
from ecg_fairseq.signal.recipes import get_recipe

SETTINGS = CohortSettings(patients=40, seed=3, question_types=("single-verify",))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plus")
    write_layout(folder, SETTINGS)
    return folder


@pytest.fixture
def links(layout, tmp_path) -> Path:
    """A copy of the layout whose files may be changed; headers and tables are real copies."""
    import shutil

    shutil.copytree(layout, tmp_path / "raw")
    return tmp_path / "raw"


def cohort_of(folder: Path, **choice):
    return ptb_xl_plus_dataset(folder, folder / "ptb-xl", PtbXlPlusChoice(**choice))


def made(folder: Path, out: Path, recipe: str = "dual_attention", **choice) -> Manifest:
    prepare(cohort_of(folder, **choice), PrepareOptions(out, get_recipe(recipe), progress="silent"))
    return Manifest.load(out)


@pytest.mark.parametrize(("maker", "missing"), [("12sl", {"7", "32", "57"}), ("unig", {"9"})])
def test_beats_of_either_maker_come_in_millivolts(layout, tmp_path, capsys, maker, missing):
    manifest = made(layout, tmp_path / "m", beats=maker)
    assert manifest.meta["stored_unit"] == "uV"
    assert "taken as uV" in capsys.readouterr().err
    assert {row.record_id for row in manifest.records.values() if not row.is_ok} == missing
    assert manifest.shape == (12, 608)
    raw_dataset = cohort_of(layout, beats=maker)
    source = next(source for source in raw_dataset.sources if source.record_id == "5")
    whole = read_record(layout / "ptb-xl/records500/00000/00005_hr")
    beat = typical_beat(whole.signal, 500.0)
    stored = read_record(source.path)
    np.testing.assert_allclose(stored.signal * source.unit_mv, beat, atol=2e-4)
    # Standardised, so the unit does not show; four zeros on either side of 600 samples.
    segment = manifest.segment("5")
    assert not segment[:, :4].any()
    wanted = (beat - beat.mean(1, keepdims=True)) / beat.std(1, keepdims=True)
    np.testing.assert_allclose(segment[:, 4:604], wanted, atol=5e-3)


@pytest.mark.parametrize(
    "recipe", ["dual_attention", "dual_attention_pretraining", "dual_attention_reference"]
)
def test_the_dual_attention_recipes_take_beats(layout, tmp_path, recipe):
    manifest = made(layout, tmp_path / "m", recipe, fraction=0.3)
    assert manifest.meta["counts"]["segments"] == manifest.meta["counts"]["records"] > 5


def test_the_unit_is_applied_to_what_recipes_see(layout):
    from ecg_fairseq.records.preparation.raw_dataset import load_source

    guessed, believed = cohort_of(layout), cohort_of(layout, unit="mV")
    assert (guessed.sources[0].unit_mv, believed.sources[0].unit_mv) == (0.001, 1.0)
    signal = load_source(guessed.sources[0]).signal
    assert 0.3 < np.ptp(signal, axis=1).max() < 10
    np.testing.assert_allclose(load_source(believed.sources[0]).signal, signal * 1000, rtol=1e-5)


def test_headers_that_are_right_are_believed(links, capsys):
    for header in links.glob("median_beats/12sl/*/*.hea"):
        header.write_text(header.read_text().replace("100(0)/mV", "100(0)/uV"))
    raw_dataset = cohort_of(links)
    assert raw_dataset.sources[0].unit_mv == 1.0
    assert raw_dataset.notes["stored_unit"] == "mV"
    assert 0.2 < raw_dataset.notes["height_as_stored"] < 4
    assert capsys.readouterr().err == ""


def test_labels_folds_and_features_are_joined_by_id(layout, tmp_path):
    with open(layout / "features/12sl_features.csv", newline="") as stream:
        table = {row["ecg_id"]: row for row in csv.DictReader(stream)}
    names = list(next(iter(table.values())))
    assert names.index("ecg_id") == 24
    assert list(table)[:3] == ["1", "64", "63"]
    manifest = made(layout, tmp_path / "m")
    for name, row in manifest.records.items():
        if row.is_ok:
            features = row.labels["features_12sl"]
            # Cells that are empty, as where no beat rate could be measured, are left out.
            assert features.get("HR__Global") == number_of(table[name]["HR__Global"])
            assert features["R_AxisFrontal_Global"] == float(table[name]["R_AxisFrontal_Global"])
            assert not any("_Amp_" in column for column in features)
            assert "superclass" in row.labels or "rhythm" in row.labels
            assert row.labels["statements_12sl"][0] in ("NSR", "AFIB")
            assert row.report
    folds = {row.split for row in manifest.records.values() if row.is_ok}
    assert folds == {"train", "valid", "test"}
    everything = cohort_of(layout, features="all", beats="unig", feature_table="12sl")
    labels = json.loads(everything.sources[0].labels_json)
    assert len(labels["features_12sl"]) == 26
    nothing = json.loads(cohort_of(layout, features="none").sources[0].labels_json)
    assert "features_12sl" not in nothing


def test_label_files_are_ptb_xls(layout, tmp_path):
    label_set = ptb_xl_label_set(layout / "ptb-xl", "rhythm")
    raw_dataset = ptb_xl_plus_dataset(layout, layout / "ptb-xl", PtbXlPlusChoice(), label_set)
    prepare(
        raw_dataset,
        PrepareOptions(tmp_path / "m", get_recipe("dual_attention"), progress="silent"),
    )
    manifest = Manifest.load(tmp_path / "m")
    y = np.load(tmp_path / "m/labels/y.npy")
    names = manifest.meta["labels"]["names"]
    for values, row in zip(y, manifest.records.values(), strict=True):
        if row.is_ok:
            found = {name for name, value in zip(names, values, strict=True) if value}
            assert found == set(row.labels["rhythm"])


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_layout(layout, tmp_path):
    write_layout(tmp_path / "two", SETTINGS, workers=2)
    for path in layout.rglob("*"):
        if path.is_file():
            other = tmp_path / "two" / path.relative_to(layout)
            assert other.read_bytes() == path.read_bytes(), path


def test_the_script(layout, tmp_path, project_dir):
    command = [sys.executable, str(project_dir / "manifests/ptb_xl_plus.py"), str(layout)]
    command += ["--ptb-xl", str(layout / "ptb-xl"), "--recipe", "dual_attention"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "m")], capture_output=True, text=True, check=True
    )
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["records"], summary["skipped"], summary["segments"]) == (61, 3, 61)
    assert Manifest.load(tmp_path / "m").meta["labels"]["set"] == "superclass"


def test_real_ptb_xl_with_made_beats(shared_dir, layout):
    """Real PTB-XL, made beats: ids that only one of both knows are left out or passed over."""
    raw_dataset = ptb_xl_plus_dataset(layout, shared_dir / "data/ptb-xl", PtbXlPlusChoice())
    assert len(raw_dataset.sources) + len(raw_dataset.left_out) == 316
    assert {source.record_id for source in raw_dataset.sources} <= {str(n) for n in range(1, 65)}
    assert raw_dataset.left_out[-1][2] == "12sl gives no median beat of it"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"beats": "ge"}, "--beats 'ge'"),
        ({"unit": "V"}, "--unit 'V'"),
        ({"features": "some"}, "--features 'some'"),
        ({"feature_table": "x"}, "--feature-table 'x'"),
        ({"split": "x"}, "--split 'x'"),
    ],
)
def test_unknown_options(layout, choice, message):
    with pytest.raises(ManifestError, match=message):
        cohort_of(layout, **choice)


def test_damaged_folders(links, tmp_path):
    def refused(message: str) -> None:
        with pytest.raises(ManifestError, match=message):
            cohort_of(links)

    statements = links / "labels/12sl_statements.csv"
    statements.write_text("ecg_id,statements\n1,__import__('os')\n")
    refused("record 1: statements .* is not a list")
    statements.unlink()
    (links / "features/12sl_features.csv").write_text("HR__Global\n5\n")
    refused("has no column ecg_id")
    (links / "features/12sl_features.csv").unlink()
    assert cohort_of(links).sources
    twin = links / "median_beats/12sl/00000/000001_medians.hea"
    twin.write_text("x")
    refused("are of one recording")
    for path in links.glob("median_beats/12sl/*/*.hea"):
        path.unlink()
    refused("holds no NNNNN/NNNNN_medians.hea")
    (links / "median_beats").rename(links / "other")
    refused("not found; expected PTB-XL")
