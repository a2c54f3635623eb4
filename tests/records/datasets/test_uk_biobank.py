"""UK Biobank's resting ECGs: made-up files only."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.uk_biobank import UkBiobankChoice, uk_biobank_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts.uk_biobank import write_layout
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort, simulate_case
from ecg_fairseq.signal.recipes import get_recipe

SETTINGS = CohortSettings(patients=30, seed=5)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uk_biobank")
    write_layout(folder, SETTINGS)
    return folder


def made(folder: Path, out: Path, recipe: str, **choice) -> Manifest:
    raw_dataset = uk_biobank_dataset(folder, UkBiobankChoice(**choice))
    prepare(
        raw_dataset,
        PrepareOptions(out, get_recipe(recipe), progress="silent", max_skip_fraction=0.2),
    )
    return Manifest.load(out)


def test_the_files_hold_the_simulated_signals(layout):
    planned = plan_cohort(SETTINGS.patients, SETTINGS.seed)[0]
    record = read_record(layout / "ecg/1000001_20205_2_0.xml")
    signal = simulate_case(draw_case(planned, SETTINGS.seed), SETTINGS.seed, 500).signal
    np.testing.assert_allclose(record.signal, signal, atol=0.0026)
    assert record.patient_id == "1000001"


def test_rhythms_and_medians(layout, tmp_path):
    rhythm = made(layout, tmp_path / "r", "ecg_fm")
    median = made(layout, tmp_path / "m", "dual_attention", waveform="median")
    assert list(rhythm.records) == list(median.records)
    assert median.shape == (12, 608)
    for manifest, block in ((rhythm, "StripData"), (median, "MedianSamples")):
        skipped = [row for row in manifest.records.values() if not row.is_ok]
        assert skipped
        for row in skipped:
            assert f"0 blocks {block}" in row.reason
            assert f"<{block}>" not in (layout / row.source).read_text("latin-1")
    assert {row.num_segments for row in rhythm.records.values() if row.is_ok} == {2}
    # One participant on one side, whatever the visit.
    sides = {}
    for row in rhythm.records.values():
        assert row.record_id.startswith(f"{row.patient_id}_")
        if row.is_ok:
            assert sides.setdefault(row.patient_id, row.split) == row.split
    assert {row.labels["instance"] for row in rhythm.records.values()} == {2, 3}
    only = uk_biobank_dataset(layout, UkBiobankChoice(instances=(2,)))
    assert {source.record_id[-4:] for source in only.sources} == {"_2_0"}


def test_the_table_of_participants(layout, tmp_path):
    table = tmp_path / "p.csv"
    table.write_text(
        "eid,sex,age,status,duration,smoker,site,report\n"
        "1000001,0,61,1,120,yes,Leeds,all right\n"
        "1000002.0,1,55,0,900,,Leeds,\n"
        "1000003,,x,0,901,no,Bristol,\n"
        "9999999,Male,70,1,3,yes,Leeds,\n"
    )
    manifest = made(layout, tmp_path / "m", "ecg_fm", participants=table, instances=(2,))
    assert manifest.meta["labels"]["names"] == ["status"]
    first, second, third, other = (manifest.records[f"100000{n}_2_0"] for n in (1, 2, 3, 4))
    assert (first.age, first.sex, first.report) == (61, "female", "all right")
    assert (second.sex, third.sex, third.age) == ("male", "", None)
    assert first.labels == {
        **{"status": 1.0, "duration": 120.0, "smoker": "yes", "site": "Leeds", "instance": 2},
    }
    assert second.labels["status"] == 0.0
    assert "status" not in other.labels
    y = np.load(tmp_path / "m/labels/y.npy")[:, 0]
    np.testing.assert_array_equal(y[:4], [1, 0, 0, np.nan])
    assert manifest.meta["records_of_participants_not_listed"] == 27
    listed = uk_biobank_dataset(layout, UkBiobankChoice(participants=table, must_be_listed=True))
    assert {source.patient_id for source in listed.sources} == {"1000001", "1000002", "1000003"}
    assert "does not list this participant" in listed.left_out[0][2]


def test_sides_of_a_column(layout, tmp_path):
    table = tmp_path / "p.csv"
    lines = [f"{1000000 + n},{('train', 'valid', 'test')[n % 3]}" for n in range(1, 31)]
    table.write_text("eid,split\n" + "\n".join(lines) + "\n")
    choice = UkBiobankChoice(participants=table, split="column")
    sides = {
        source.patient_id: source.split for source in uk_biobank_dataset(layout, choice).sources
    }
    assert (sides["1000001"], sides["1000002"], sides["1000003"]) == ("valid", "test", "train")
    table.write_text("eid,split\n1000001,exam\n")
    with pytest.raises(ManifestError, match="participant 1000001: column split holds 'exam'"):
        uk_biobank_dataset(layout, choice)


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_layout(layout, tmp_path):
    write_layout(tmp_path / "two", SETTINGS, workers=2)
    names = sorted(path.relative_to(layout) for path in layout.rglob("*") if path.is_file())
    assert len(names) > 35
    for name in names:
        assert (tmp_path / "two" / name).read_bytes() == (layout / name).read_bytes()


def test_the_script(layout, tmp_path, project_dir):
    command = [sys.executable, str(project_dir / "manifests/uk_biobank.py"), str(layout)]
    command += ["--participants", str(layout / "participants.csv"), "--only-listed"]
    command += ["--waveform", "median", "--recipe", "dual_attention", "--instance", "2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "m")], capture_output=True, text=True, check=True
    )
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["records"] + summary["skipped"] == 30
    manifest = Manifest.load(tmp_path / "m")
    reasons = [row.reason for row in manifest.records.values() if not row.is_ok]
    assert sum("does not list" in reason for reason in reasons) == 2
    assert manifest.meta["waveform"] == "median"


def test_a_changed_file_is_prepared_again(layout, tmp_path):
    shutil.copytree(layout / "ecg", tmp_path / "ecg")
    made(tmp_path / "ecg", tmp_path / "m", "dual_attention", waveform="median")
    before = Manifest.load(tmp_path / "m").segment("1000001_2_0").copy()
    source = (layout / "ecg/1000002_20205_2_0.xml").read_text("latin-1")
    (tmp_path / "ecg/1000001_20205_2_0.xml").write_text(source, "latin-1")
    raw_dataset = uk_biobank_dataset(tmp_path / "ecg", UkBiobankChoice(waveform="median"))
    options = PrepareOptions(
        tmp_path / "m",
        get_recipe("dual_attention"),
        progress="silent",
        max_skip_fraction=0.2,
        overwrite=True,
    )
    prepare(raw_dataset, options)
    assert not np.array_equal(Manifest.load(tmp_path / "m").segment("1000001_2_0"), before)


def test_damaged_folders_and_tables(layout, tmp_path):
    def refused(message: str, folder: Path = layout, **choice) -> None:
        with pytest.raises(ManifestError, match=message):
            uk_biobank_dataset(folder, UkBiobankChoice(**choice))

    refused("folder not found", tmp_path / "nix")
    refused("no EID_20205_INSTANCE_ARRAY.xml of instance 9", instances=(9,))
    refused("--waveform 'x'", waveform="x")
    refused("need --participants", split="column")
    refused("need --participants", must_be_listed=True)
    table = tmp_path / "p.csv"
    refused("table of participants not found", participants=table)
    for text, message in (
        ("id\n1\n", "has no column eid"),
        ("eid\n", "no lines below its header"),
        ("eid\n5\n5\n", "line 3: eid '5' is listed twice"),
        ("eid,a\n,5\n", "eid '' is empty"),
        ("eid\n5\n", "lists none of the participants"),
    ):
        table.write_text(text)
        refused(message, participants=table)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a/1_20205_2_0.xml", "b/1_20205_2_0.xml", "a/notes.xml"):
        (tmp_path / name).write_text("<x/>")
    refused("have one name", tmp_path)
