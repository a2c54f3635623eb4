"""The PhysioNet challenge as cohorts: every record, label and quirk of the real and made files."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.physionet_2021 import ChallengeChoice, challenge_dataset
from ecg_fairseq.records.datasets.physionet_2021_files import (
    CSN,
    RECOMMENDED,
    SOURCES,
    parse_sources,
)
from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.labels.snomed_codes import SCORED_CLASSES, parse_codes, snomed_label_set
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.leakage import find_leaks
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.readers.amplitude_check import amplitude_notes
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts.physionet_2021 import write_layout
from ecg_fairseq.signal.recipes import get_recipe

# data/physionet-challenge-2021/SOURCE.md
REAL_COUNTS = {
    "cpsc_2018": 8,
    "georgia": 12,
    "ptb-xl": 10,
    "chapman_shaoxing": 10,
    "ningbo": 10,
    "cpsc_2018_extra": 7,
    "ptb": 1,
}


@pytest.fixture(scope="module")
def real(shared_dir: Path) -> Path:
    return shared_dir / "data/physionet-challenge-2021"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated challenge of twenty patients."""
    folder = tmp_path_factory.mktemp("challenge") / "raw"
    write_layout(folder, CohortSettings(20, seed=3))
    return folder


def prepared(raw_dataset, out: Path, recipe: str = "ecg_fm", **more) -> Manifest:
    options = PrepareOptions(out, get_recipe(recipe), progress="silent", **more)
    prepare(raw_dataset, options)
    return Manifest.load(out)


def by_id(raw_dataset) -> dict:
    return {source.record_id: source for source in raw_dataset.sources}


def codes(source) -> list[str]:
    return json.loads(source.labels_json).get("snomed", [])


def test_real_counts_and_codes_are_those_of_the_source_sheet(real):
    raw_dataset = challenge_dataset(real, ChallengeChoice(label_set="all"))
    assert len(raw_dataset.sources) == 58
    assert raw_dataset.notes["records_per_source"] == REAL_COUNTS
    assert raw_dataset.left_out == []
    assert len({code for source in raw_dataset.sources for code in codes(source)}) == 49
    assert len(raw_dataset.label_set.labels) == 49
    assert {len(codes(source)) for source in raw_dataset.sources} == set(range(1, 8))


@pytest.mark.parametrize(("recipe", "skipped"), [("ecg_fm", 0), ("ecg_byte_10s", 0)])
def test_all_real_records_pass_both_recipes(real, tmp_path, recipe, skipped):
    manifest = prepared(challenge_dataset(real, ChallengeChoice()), tmp_path / "m", recipe)
    counts = manifest.meta["counts"]
    assert (counts["records"], counts["skipped"]) == (58 - skipped, skipped)
    window_s = 5 if recipe == "ecg_fm" else 10
    for row in manifest.records.values():
        record = read_record(real / "training" / row.source)
        assert row.fs_hz == record.fs_hz
        assert row.num_segments == int(record.seconds // window_s)
    assert manifest.record_row("Q1847").num_segments == 51.908 // window_s
    assert manifest.record_row("S0001").fs_hz == 1000
    assert np.isfinite(manifest.segment("JS11438")).all()
    if recipe == "ecg_fm":
        assert not manifest.segment("JS11438")[6:].any()


def test_real_records_equal_wfdbs_values(real):
    import wfdb

    paths = sorted((real / "training").rglob("*.hea"))
    assert len(paths) == 58
    for path in paths:
        ours, theirs = read_record(path), wfdb.rdrecord(str(path.with_suffix("")))
        assert np.abs(ours.signal.T - theirs.p_signal).max() <= 1e-6, path
        assert list(ours.leads) == theirs.sig_name
        assert ours.fs_hz == theirs.fs


def test_headers_with_a_mat_name_equal_wfdb_once_the_name_is_put_right(real, tmp_path):
    import wfdb

    raw_dataset = challenge_dataset(real / "quirks", ChallengeChoice(sources=("georgia",)))
    assert [source.record_id for source in raw_dataset.sources] == ["E00271", "E09657"]
    assert codes(raw_dataset.sources[1]) == ["164889003", "425623009", "164934002", "164873001"]
    for source in raw_dataset.sources:
        name = source.record_id
        shutil.copy(f"{source.path}.mat", tmp_path)
        text = Path(f"{source.path}.hea").read_text()
        (tmp_path / f"{name}.hea").write_text(text.replace(f"{name}.mat 12", f"{name} 12", 1))
        theirs = wfdb.rdrecord(str(tmp_path / name))
        assert np.abs(read_record(source.path).signal.T - theirs.p_signal).max() <= 1e-6


def test_comments_in_both_spellings(real):
    records = by_id(challenge_dataset(real, ChallengeChoice()))
    first, second = records["JS00001"], records["E07500"]
    assert (first.age, first.sex, codes(first)) == (
        85.0,
        "male",
        ["164889003", "59118001", "164934002"],
    )
    assert (second.age, second.sex) == (78.0, "male")
    assert codes(second) == ["67741000119109", "426177001"]
    assert second.source == "georgia/g1/E07500"
    assert records["HR06000"].sex == "female"


def test_scored_classes_of_real_records(real):
    raw_dataset = challenge_dataset(real, ChallengeChoice())
    labels = raw_dataset.label_set
    assert len(labels.labels) == 26
    found = {
        source.record_id: labels.positives(
            RecordRow(source.record_id, "", labels_json=source.labels_json)
        )
        for source in raw_dataset.sources
    }
    assert found["JS00001"] == {"AF", "CRBBB|RBBB", "TAb"}
    assert found["JS13888"] == {"AFL", "LAD"}
    assert found["A0005"] == set()  # its one code was not scored: a row of zeros
    single = snomed_label_set("challenge_2021_uncombined", ())
    row = RecordRow("x", "x", labels_json='{"snomed": ["59118001", "713427006"]}')
    assert single.positives(row) == {"RBBB", "CRBBB"}
    assert labels.positives(RecordRow("x", "x")) is None


def test_the_table_of_scored_classes():
    assert len(SCORED_CLASSES) == 26
    all_codes = [item.code for members in SCORED_CLASSES for item in members]
    assert len(set(all_codes)) == 30
    names = [item.abbreviation for members in SCORED_CLASSES for item in members]
    assert len(set(names)) == 30
    assert [[item.code for item in members] for members in SCORED_CLASSES if len(members) > 1] == [
        ["733534002", "164909002"],
        ["713427006", "59118001"],
        ["284470004", "63593006"],
        ["427172004", "17338001"],
    ]
    assert len(snomed_label_set("challenge_2021_uncombined", ()).labels) == 30
    assert len(snomed_label_set("cpsc_2018", ()).labels) == 9
    with pytest.raises(ManifestError, match="--label-set"):
        snomed_label_set("nix", ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("164889003,59118001", ["164889003", "59118001"]),
        (" 164889003 , 164889003", ["164889003"]),
        ("Unknown", []),
        ("", []),
        ("164889003;59118001", []),
    ],
)
def test_codes_in_text(text, expected):
    assert parse_codes(text) == expected


def test_sources_by_name():
    assert parse_sources("ningbo, georgia") == ("georgia", "ningbo")
    assert parse_sources("csn") == CSN
    assert parse_sources("recommended") == RECOMMENDED
    assert parse_sources("all") == SOURCES
    assert set(SOURCES) - set(RECOMMENDED) == {"ptb", "st_petersburg_incart"}
    for wrong in ("georgia,nix", "", ","):
        with pytest.raises(ManifestError, match="--sources"):
            parse_sources(wrong)


def test_labels_files_of_the_made_challenge(made, tmp_path):
    choice = ChallengeChoice(sources=RECOMMENDED)
    manifest = prepared(challenge_dataset(made, choice), tmp_path / "m")
    y = np.load(tmp_path / "m/labels/y.npy")
    names = list(manifest.meta["labels"]["names"])
    assert y.shape == (len(manifest.records), 26)
    rows = {name: y[number] for number, name in enumerate(manifest.records)}
    assert np.isnan(rows["JS00002"]).all()  # no diagnosis
    for name, row in manifest.records.items():
        for code, label in (("164889003", "AF"), ("733534002", "CLBBB|LBBB")):
            if code in row.labels.get("snomed", ()):
                assert rows[name][names.index(label)] == 1
    assert np.nansum(y) > 20


def test_quirks_of_the_made_challenge(made, tmp_path, recwarn):
    raw_dataset = challenge_dataset(made, ChallengeChoice(sources=RECOMMENDED))
    records = by_id(raw_dataset)
    assert records["A0002"].age is None
    assert codes(records["JS00002"]) == []
    manifest = prepared(raw_dataset, tmp_path / "m")
    assert manifest.meta["counts"]["skipped"] == 0
    assert manifest.record_row("E00001").split == manifest.record_row("E00002").split
    assert (manifest.segment("E00001") == manifest.segment("E00002")).all()
    assert Path(f"{records['E00003'].path}.hea").read_text().startswith("E00003.mat 12 500 5000")
    flat = read_record(records["JS10649"].path).signal
    assert not flat[6:].any()
    assert flat[:6].any(axis=1).all()
    early = read_record(records["HR00002"].path).signal
    assert 0.3 < np.ptp(early, axis=1).max() < 8
    assert any("200 steps per mV" in str(item.message) for item in recwarn)
    assert {row.num_segments for row in manifest.records.values()} > {2, 5}


def test_half_an_hour_becomes_many_windows(made, tmp_path):
    raw_dataset = challenge_dataset(made, ChallengeChoice(sources=("st_petersburg_incart", "ptb")))
    manifest = prepared(raw_dataset, tmp_path / "m", dtype="int16")
    assert manifest.record_row("I0001").num_segments == 360
    assert manifest.record_row("I0001").fs_hz == 257
    assert manifest.record_row("S0001").num_segments == 7
    pairs = manifest.meta["pairs"]["cmsc"]
    assert (
        sum(pairs.values()) == 180 * manifest.meta["records_per_source"]["st_petersburg_incart"] + 3
    )


def test_folders_in_other_layouts(made, tmp_path):
    training = made / "training"
    one = ChallengeChoice(sources=("georgia",))
    wanted = by_id(challenge_dataset(made, one))
    assert len(wanted) == 3
    flat = tmp_path / "flat"
    shutil.copytree(training / "georgia/g1", flat)
    several = tmp_path / "WFDB_Ga"
    shutil.copytree(training / "georgia", several)
    (several / "g2").mkdir()
    for path in (several / "g1").glob("E00003.*"):
        path.rename(several / "g2" / path.name)
    for folder in (
        training,
        training / "georgia",
        training / "georgia/g1",
        flat,
        several,
        tmp_path,
    ):
        found = by_id(challenge_dataset(folder, one))
        assert {name: item.labels_json for name, item in found.items()} == {
            name: item.labels_json for name, item in wanted.items()
        }
    assert by_id(challenge_dataset(tmp_path, one))["E00003"].source == "georgia/g2/E00003"


def test_ecg_arrhythmia_tells_hospitals_by_number(made, tmp_path):
    folder = tmp_path / "ecg-arrhythmia/WFDBRecords/01/010"
    folder.mkdir(parents=True)
    for source, name in (("chapman_shaoxing", "JS00001"), ("ningbo", "JS10647")):
        for path in (made / "training" / source / "g1").glob(f"{name}.*"):
            shutil.copy(path, folder)
    (tmp_path / "ecg-arrhythmia/RECORDS").write_text("WFDBRecords/01/010/\n")
    raw_dataset = challenge_dataset(tmp_path / "ecg-arrhythmia", ChallengeChoice("csn", CSN))
    assert raw_dataset.notes["records_per_source"] == {"chapman_shaoxing": 1, "ningbo": 1}
    assert raw_dataset.left_out == []


def test_what_is_missing_is_listed(made, tmp_path):
    folder = tmp_path / "georgia/g1"
    shutil.copytree(made / "training/georgia/g1", folder)
    (folder / "E00001.hea").unlink()
    for path in folder.glob("E00003.*"):
        path.unlink()
    (folder / "E00002.mat").write_bytes(b"cut")
    (folder / "._E00004.hea").write_bytes(b"\0\5")
    shutil.copy(folder / "E00002.hea", folder / "E00005.hea")
    shutil.copy(made / "training/georgia/g1/E00003.hea", folder / "E00006.hea")
    raw_dataset = challenge_dataset(tmp_path, ChallengeChoice(sources=("georgia",)))
    reasons = {name: reason for name, _, reason in raw_dataset.left_out}
    assert "no header E00001.hea" in reasons["E00001"]
    assert "RECORDS" in reasons["E00003"]
    assert len(reasons) == 2
    with pytest.raises(ManifestError, match="were skipped"):
        prepared(raw_dataset, tmp_path / "m")
    listed = (tmp_path / "m/skipped.tsv").read_text()
    assert "E00002" in listed


def test_ptb_xls_folder_gives_patients_and_folds(made, ptb_xl, tmp_path):
    ptb_xl.row(3)["patient_id"] = ptb_xl.row(1)["patient_id"]
    ptb_xl.row(4)["strat_fold"] = "10"
    choice = ChallengeChoice(ptb_xl=ptb_xl.write(), sources=RECOMMENDED)
    raw_dataset = challenge_dataset(made, choice)
    records = by_id(raw_dataset)
    assert records["HR00001"].patient_id == records["HR00003"].patient_id == "101"
    assert records["HR00004"].split == "test"
    assert records["HR00001"].split == "train"
    assert {item.split for item in records.values()} == {"train", "valid", "test"}
    manifest = prepared(raw_dataset, tmp_path / "m")
    assert manifest.record_row("HR00004").split == "test"
    assert manifest.meta["split"]["rule"] == "patient; ptb-xl by strat_fold"
    with pytest.raises(ManifestError, match="not found"):
        challenge_dataset(made, ChallengeChoice(ptb_xl=tmp_path / "nix"))


def test_leaks_between_a_source_and_the_whole_are_found(made, ptb_xl, tmp_path):
    csn = ChallengeChoice("csn", CSN)
    one = prepared(challenge_dataset(made, csn), tmp_path / "one", seed=0)
    folder = ptb_xl.write()
    choice = ChallengeChoice(ptb_xl=folder, sources=RECOMMENDED)
    whole = prepared(challenge_dataset(made, choice), tmp_path / "whole", seed=1)
    assert not find_leaks([one], has_signals=False)
    leaks = find_leaks([one, whole], has_signals=False)
    sides = {name: whole.record_row(name).split for name in one.records}
    moved = [name for name, row in one.records.items() if row.split != sides[name]]
    assert moved
    assert all(any(name in leak for leak in leaks) for name in moved)
    twin = prepared(ptb_xl_dataset(folder, split="patient", seed=3), tmp_path / "twin", seed=3)
    folds = {row.patient_id: row.split for row in whole.records.values()}
    strangers = [
        row.patient_id
        for row in twin.records.values()
        if folds.get(row.patient_id, row.split) != row.split
    ]
    found = " ".join(find_leaks([whole, twin], has_signals=False))
    assert strangers
    assert all(patient in found for patient in strangers)


def test_flat_leads_are_dropped_on_request(real, made, tmp_path):
    for folder, wanted in (
        (
            real,
            {"JS11438": "V1, V2, V3, V4, V5, V6", "JS20004": "V2, V4, V6", "JS20008": "V2, V4, V6"},
        ),
        (made, {"JS10648": "V2, V4, V6", "JS10649": "V1, V2, V3, V4, V5, V6"}),
    ):
        choice = ChallengeChoice(drops_flat_leads=True, sources=RECOMMENDED)
        raw_dataset = challenge_dataset(folder, choice)
        reasons = {name: reason for name, _, reason in raw_dataset.left_out}
        assert reasons == {name: f"constant lead {leads}" for name, leads in wanted.items()}
        assert not set(reasons) & set(by_id(raw_dataset))
    manifest = prepared(raw_dataset, tmp_path / "m")
    assert manifest.records["JS10649"].status == "skipped"


def test_wrong_gains_are_noted_and_left_alone(made, tmp_path, capsys):
    folder = tmp_path / "georgia"
    shutil.copytree(made / "training/georgia/g1", folder)
    for path in folder.glob("*.hea"):
        path.write_text(path.read_text().replace("1000/mV", "100/mV").replace("1000.0(0)", "100"))
    raw_dataset = challenge_dataset(folder, ChallengeChoice(sources=("georgia",)))
    note = raw_dataset.notes["amplitudes"]["georgia, 100/mV"]
    assert not note["is_plausible"]
    assert note["records"] == note["tried"] == 3
    assert "are their gains right?" in capsys.readouterr().err
    high = read_record(folder / "E00001").signal
    true = read_record(made / "training/georgia/g1/E00001").signal
    assert np.allclose(high, 10 * true, rtol=1e-5, atol=1e-6)


def test_right_gains_are_plausible(made, real):
    for folder in (made, real):
        notes = challenge_dataset(folder, ChallengeChoice()).notes["amplitudes"]
        assert notes
        assert all(note["is_plausible"] for note in notes.values()), notes
    assert amplitude_notes({"none": [str(real / "nix")]}) == {}


def test_fraction_keeps_the_columns_and_nests(made):
    whole = challenge_dataset(made, ChallengeChoice(label_set="all"))
    half = challenge_dataset(made, ChallengeChoice(label_set="all", fraction=0.5, seed=1))
    quarter = challenge_dataset(made, ChallengeChoice(label_set="all", fraction=0.25, seed=1))
    assert half.label_set.labels == whole.label_set.labels
    assert set(by_id(quarter)) < set(by_id(half)) < set(by_id(whole))


def test_folders_that_are_something_else_are_refused(made, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "ptb").mkdir()
    for folder, sources, message in (
        (tmp_path / "nix", SOURCES, "not found"),
        (tmp_path / "empty", SOURCES, "holds none of"),
        (tmp_path / "empty", ("georgia",), "no WFDB header"),
        (tmp_path / "ptb", ("georgia",), "holds none of georgia"),
        (made / "training/georgia", ("ptb",), "holds none of ptb"),
    ):
        with pytest.raises(ManifestError, match=message):
            challenge_dataset(folder, ChallengeChoice(sources=sources))
    shutil.copytree(made / "training/georgia", tmp_path / "part/georgia")
    with pytest.raises(ManifestError, match="there: georgia"):
        challenge_dataset(tmp_path / "part", ChallengeChoice(sources=("ptb",)))


def test_a_source_that_is_not_there_is_said(made, tmp_path, capsys):
    shutil.copytree(made / "training/georgia", tmp_path / "georgia")
    assert len(challenge_dataset(tmp_path, ChallengeChoice()).sources) == 3
    assert "ningbo" in capsys.readouterr().err


def test_every_source_is_counted_once(made):
    raw_dataset = challenge_dataset(made, ChallengeChoice())
    assert Counter(item.source.split("/")[0] for item in raw_dataset.sources).keys() == set(SOURCES)
    raw_dataset.check()
