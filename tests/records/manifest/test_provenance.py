"""Whose patients are whose, and what may meet: checkpoints against manifests of one family."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import CheckpointError, ManifestError
from ecg_fairseq.records.datasets.physionet_2021 import ChallengeChoice, challenge_dataset
from ecg_fairseq.records.datasets.ptb_xl_files import read_ptb_xl
from ecg_fairseq.records.manifest.patient_hashes import patient_hashes, shared_patients
from ecg_fairseq.records.manifest.provenance import (
    Provenance,
    Stage,
    check,
    check_resumed,
    check_tokenizer,
    provenance_of,
)
from ecg_fairseq.records.preparation.manifest_writer import write_records
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.signal.recipes import get_recipe

RECIPE = {"name": "r", "hash": "1" * 64}
PTB_XL_FAMILY = ("ptb_xl", "ecg_qa_ptbxl", "heartllm_ptbxl", "ptb_xl_plus")
MIMIC_FAMILY = (
    "mimic_iv_ecg", "ecg_qa_mimic_iv_ecg", "heartllm_mimic_iv_ecg", "ecg_chat_mimic_iv_ecg",
)  # fmt: skip
Rows = list[tuple[str, str, str]]


def write(folder: Path, dataset: str, rows: Rows, source: str = "", **meta) -> Provenance:
    """Write what provenance reads of a manifest: (record, patient, split) rows and meta.json."""
    folder.mkdir(parents=True)
    table = [RecordRow(record, who, split, source=source or record) for record, who, split in rows]
    write_records(folder / "records.tsv", table)
    facts = {
        "dataset": dataset,
        "recipe": RECIPE,
        "split": {"hash": f"split of {rows}"},
        "layout": {"strips": [{"lead": "I"}, {"lead": "II"}]},
        "data_sha256": "d" * 64,
    }
    (folder / "meta.json").write_text(json.dumps(facts | meta))
    return provenance_of(folder)


def stored(trained: Provenance) -> Provenance:
    """Return what a checkpoint that was trained on these data says."""
    state = trained.to_state()
    assert Provenance.from_state(json.loads(json.dumps(trained.to_state(True)))).to_state() == state
    return Provenance.from_state(state)


@pytest.fixture
def ptb_xl(tmp_path: Path) -> Provenance:
    """Patients 10 and 20 are trained on, 30 is tested on."""
    rows = [("1", "10", "train"), ("2", "20", "train"), ("3", "20", "train"), ("4", "30", "test")]
    return write(tmp_path / "ptb_xl", "ptb_xl", rows)


@pytest.mark.parametrize(("first", "second"), [PTB_XL_FAMILY[:2], MIMIC_FAMILY[:2]])
def test_ids_of_tables_that_pad_and_round(first, second, tmp_path):
    left = write(tmp_path / "a", first, [("00001", "0017.0", "train")])
    right = write(tmp_path / "b", second, [("1", "17", "train")])
    found, wanted = left.training_patients(), right.training_patients()
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in wanted.items()}
    # The first 8 bytes of `printf ptb_xl:patient:17 | sha256sum`.
    if first == "ptb_xl":
        assert found["ptb_xl:patient"].tolist() == [0x206796745F9B9CCD]


@pytest.mark.parametrize("dataset", PTB_XL_FAMILY)
@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_family_of_ptb_xl_shares_patients(dataset, split, ptb_xl, tmp_path):
    leaks = write(tmp_path / "a", dataset, [("9", "20", split), ("8", "30", "train")])
    with pytest.raises(CheckpointError, match=r"c was trained on 1 of the patients .* of ptb_xl"):
        check(stored(ptb_xl), leaks, "c")
    check(stored(ptb_xl), leaks, "c", external_test=True)
    sound = write(tmp_path / "b", dataset, [("4", "30", split), ("1", "10", "train")])
    check(stored(ptb_xl), sound, "c")


@pytest.mark.parametrize("dataset", MIMIC_FAMILY)
def test_the_family_of_mimic_shares_patients(dataset, ptb_xl, tmp_path):
    trained = write(tmp_path / "m", "mimic_iv_ecg", [("40000001", "10000032", "train")])
    leaks = write(tmp_path / "a", dataset, [("40000002", "10000032", "test")])
    with pytest.raises(CheckpointError, match="of mimic_iv_ecg"):
        check(stored(trained), leaks, "c")
    check(stored(ptb_xl), leaks, "c")


def test_the_challenges_copy_without_patients_is_compared_by_recording(ptb_xl, tmp_path):
    place = "ptb-xl/g1/x"
    leaks = write(tmp_path / "a", "physionet_2021", [("HR00003", "HR00003", "valid")], place)
    with pytest.raises(CheckpointError, match="of ptb_xl"):
        check(stored(ptb_xl), leaks, "c")
    trained = write(tmp_path / "b", "physionet_2021", [("HR00004", "HR00004", "train")], place)
    with pytest.raises(CheckpointError, match="of ptb_xl"):
        check(stored(trained), ptb_xl, "c")
    sound = write(tmp_path / "c", "physionet_2021", [("HR00004", "HR00004", "test")], place)
    check(stored(ptb_xl), sound, "c")
    other = write(tmp_path / "d", "physionet_2021", [("E00003", "E00003", "test")], "georgia/g1/x")
    check(stored(ptb_xl), other, "c")


def test_the_challenges_copy_with_patients_is_compared_by_patient(ptb_xl, tmp_path):
    """Another recording of a patient who was trained on."""
    rows = [("HR00077", "20", "test")]
    leaks = write(tmp_path / "a", "physionet_2021", rows, "ptb-xl/g1/HR00077")
    with pytest.raises(CheckpointError, match="of ptb_xl"):
        check(stored(ptb_xl), leaks, "c")


def test_a_dropped_recording_tells_whose_it_is(tmp_path):
    """ECG-QA drops recordings of patients on two splits; the challenge may know just these."""
    rows = [("5", "50", "valid"), ("6", "50", ""), ("7", "60", "train")]
    present = write(tmp_path / "a", "ecg_qa_ptbxl", rows)
    place = "ptb-xl/g1/HR00006"
    trained = write(tmp_path / "b", "physionet_2021", [("HR00006", "HR00006", "train")], place)
    with pytest.raises(CheckpointError, match="of ptb_xl"):
        check(stored(trained), present, "c")


@pytest.mark.parametrize("dataset", ["ptb", "incart"])
def test_ids_that_cannot_be_compared_count_as_shared(dataset, tmp_path):
    own = write(tmp_path / "own", dataset, [("a", "patient001", "train"), ("b", "p2", "test")])
    source = {"ptb": "ptb", "incart": "st_petersburg_incart"}[dataset]
    copy = write(tmp_path / "copy", "physionet_2021", [("S1", "S1", "test")], f"{source}/g1/S1")
    with pytest.raises(CheckpointError, match=f"of {dataset} under other ids"):
        check(stored(own), copy, "c")
    check(stored(own), copy, "c", external_test=True)
    same = write(tmp_path / "same", dataset, [("S1", "S1", "train")], f"{source}/g1/S1")
    with pytest.raises(CheckpointError, match=f"trained on 1 .* of {dataset} that"):
        check(stored(same), copy, "c")


def test_simulated_layouts_give_the_ids_that_are_expected(tmp_path):
    """The challenge's copy of PTB-XL, read by the datasets' own modules."""
    from ecg_fairseq.records.simulated.cohort import CohortSettings
    from ecg_fairseq.records.simulated.layouts.physionet_2021 import write_layout
    from ecg_fairseq.records.simulated.layouts.ptb_xl import write_layout as write_ptb_xl

    write_layout(tmp_path / "challenge", CohortSettings(20, seed=3))
    write_ptb_xl(tmp_path / "raw", CohortSettings(20, seed=3))
    copied = challenge_dataset(tmp_path / "challenge", ChallengeChoice()).sources
    copies = [item for item in copied if item.source.startswith("ptb-xl/")]
    original = read_ptb_xl(tmp_path / "raw")
    for name, items in (("physionet_2021", copied), ("ptb_xl", original)):
        rows = [
            RecordRow(item.record_id, item.patient_id, "train", source=item.source)
            for item in items
        ]
        (tmp_path / name).mkdir()
        write_records(tmp_path / name / "records.tsv", rows)
    ours, theirs = (
        patient_hashes(tmp_path / name, name, ("train",)) for name in ("ptb_xl", "physionet_2021")
    )
    numbers = {str(int(item.record_id.removeprefix("HR"))) for item in copies}
    common = numbers & {item.record_id for item in original}
    assert common
    assert shared_patients(ours, theirs) == {"ptb_xl": len(common)}
    assert len(theirs["ptb_xl:record"]) == len(copies)
    assert sum(len(found) for found in theirs.values()) == len(copied)


def test_equal_ids_of_other_datasets_are_other_patients(tmp_path):
    trained = write(tmp_path / "a", "code_15", [("1", "10", "train")])
    check(stored(trained), write(tmp_path / "b", "ludb", [("1", "10", "test")]), "c")


def test_patients_of_all_stages_are_kept(ptb_xl, tmp_path):
    """An encoder of PTB-XL, finetuned on others: its patients stay untested."""
    second = write(tmp_path / "b", "code_15", [("1", "10", "train"), ("2", "11", "test")])
    finetuned = stored(second.after(stored(ptb_xl)))
    assert finetuned.earlier == (Stage("ptb_xl", ptb_xl.split_hash, has_patients=True),)
    check(finetuned, second, "c")
    third = write(tmp_path / "c", "ecg_qa_ptbxl", [("1", "10", "test")])
    with pytest.raises(CheckpointError, match="of ptb_xl"):
        check(finetuned, third, "c")
    # The short cut of equal splits is not for what was trained on something else before.
    present = replace(third, split_hash=finetuned.split_hash)
    with pytest.raises(CheckpointError, match="of ptb_xl"):
        check(finetuned, present, "c")
    resumed = second.continued(finetuned)
    assert resumed.to_state() == finetuned.to_state()


def test_equal_splits_are_a_short_cut(ptb_xl):
    (ptb_xl.manifest / "records.tsv").unlink()
    trained = Provenance(dataset="ptb_xl", recipe=RECIPE, split_hash=ptb_xl.split_hash)
    check(trained, ptb_xl, "c")
    with pytest.raises(ManifestError, match=r"records\.tsv cannot be read"):
        check(replace(trained, split_hash="x", patients={"a:patient": np.zeros(1)}), ptb_xl, "c")


def test_older_checkpoints_are_judged_by_their_split():
    ours = Provenance("a+b", RECIPE, split_hash="s")
    same = {"dataset": "a+b", "recipe": RECIPE, "split_hash": "s"}
    older = Provenance.from_state
    check(older(same), ours, "c")
    check(older({**same, "recipe": json.dumps(RECIPE)}), ours, "c")
    check(older({}), ours, "c")
    check(older({**same, "dataset": "c", "split_hash": "x"}), ours, "c")
    for dataset in ("b+c", None):
        other = older({**same, "dataset": dataset, "split_hash": "x"})
        with pytest.raises(CheckpointError, match="may have been trained on"):
            check(other, ours, "c")
        check(other, ours, "c", external_test=True)
    with pytest.raises(CheckpointError, match=r"recipe r2 .*--recipe r2"):
        check(older({**same, "recipe": {"name": "r2", "hash": "2"}}), ours, "c", True)
    for dataset in ("heartllm_ptbxl", "physionet_2021"):
        with pytest.raises(CheckpointError, match="may have been trained on"):
            check(
                older({**same, "dataset": dataset}),
                replace(ours, dataset="ptb_xl", split_hash="x"),
                "c",
            )


def test_an_older_stage_is_judged_by_its_split_in_every_later_stage(ptb_xl, tmp_path):
    older = Provenance("ptb_xl", RECIPE, split_hash="another")
    second = write(tmp_path / "b", "code_15", [("1", "10", "train"), ("2", "11", "test")])
    finetuned = stored(second.after(older))
    check(finetuned, second, "c")
    with pytest.raises(CheckpointError, match="split another of ptb_xl"):
        check(finetuned, ptb_xl, "c")
    check(stored(second.after(replace(older, split_hash=ptb_xl.split_hash))), ptb_xl, "c")


def test_foreign_checkpoints_warn_once(ptb_xl, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            check(Provenance.from_state({}), ptb_xl, "foreign.pt")
    assert caplog.text.count("foreign.pt does not say how its signals were prepared") == 1


def test_external_test_lifts_nothing_but_patients(ptb_xl):
    trained = stored(replace(ptb_xl, tokenizer="a" * 64))
    present = replace(ptb_xl, tokenizer="a" * 64)
    check(trained, present, "c", external_test=True)
    changes = {
        "leads I, II, it would read II, I": {"leads": ("II", "I")},
        "recipe r .*--recipe r": {"recipe": {"name": "q", "hash": "2" * 64}},
        "was trained with ECG tokenizer aaaa": {"tokenizer": "b" * 64},
    }
    for message, change in changes.items():
        with pytest.raises(CheckpointError, match=message):
            check(trained, replace(present, **change), "c", external_test=True)
    with pytest.raises(ManifestError, match="recipe q"):
        check_tokenizer({"name": "q", "hash": "2" * 64}, None, ptb_xl, external_test=True)
    with pytest.raises(ManifestError, match="trained on split zzz"):
        check_tokenizer(RECIPE, "zzz", ptb_xl)
    check_tokenizer(RECIPE, "zzz", ptb_xl, external_test=True)


def test_versions_of_a_recipe_that_differ_in_lengths_only_may_meet(ptb_xl):
    def made_with(name: str) -> Provenance:
        recipe = get_recipe(name)
        return replace(ptb_xl, recipe={"name": recipe.name, "hash": recipe.hash()})

    for first, second in (("ecg_fm", "ecg_fm@1"), ("ecg_encoder@1", "ecg_encoder")):
        check(stored(made_with(first)), made_with(second), "c")
        check_resumed(stored(made_with(first)), made_with(second), "c")
        check_tokenizer(made_with(first).recipe, None, made_with(second))
    for first, second in (("ecg_byte@1", "ecg_byte"), ("ecg_fm@1", "ecg_fm_reference")):
        with pytest.raises(CheckpointError, match=f"--recipe {first}"):
            check(stored(made_with(first)), made_with(second), "c")
        with pytest.raises(CheckpointError, match="trained on other data"):
            check_resumed(stored(made_with(first)), made_with(second), "c")
        with pytest.raises(ManifestError, match="was made for recipe"):
            check_tokenizer(made_with(first).recipe, None, made_with(second))


def test_leads_are_compared_by_name_and_order(ptb_xl):
    def reading(*leads: str, pads_leads: bool = False) -> Provenance:
        return ptb_xl.reading(leads or None, pads_leads)

    limb = stored(reading("I", "II", "III"))
    with pytest.raises(CheckpointError, match="leads I, II, III, it would read V1, V2, V3"):
        check(limb, reading("V1", "V2", "V3"), "c")
    check(limb, reading("I", "II", "III"), "c")
    check(stored(reading()), reading("I", "II"), "c")
    # In twelve rows each lead keeps its place, whichever are there.
    check(stored(reading("I", pads_leads=True)), reading("V1", pads_leads=True), "c")


def test_a_training_is_resumed_on_its_own_data(ptb_xl, tmp_path):
    present = replace(ptb_xl, tokenizer="a" * 64)
    before = stored(present)
    check_resumed(before, replace(present, manifest=tmp_path / "moved"), "last.pt")
    check_resumed(Provenance.from_state({}), present, "last.pt")
    older = {"recipe": json.dumps(RECIPE), "split_hash": ptb_xl.split_hash}
    check_resumed(Provenance.from_state(older), present, "last.pt")
    changes = {
        "dataset ptb_xl there, code_15 here": {"dataset": "code_15"},
        "recipe r .* there, q .* here": {"recipe": {"name": "q", "hash": "2" * 64}},
        "leads I, II there, I here": {"leads": ("I",)},
        "ECG tokenizer aaaaaaaaaaaa there, bbbbbbbbbbbb here": {"tokenizer": "b" * 64},
        "split .* there, other here": {"split_hash": "other"},
        "signals and questions dddddddddddd there, eeeeeeeeeeee here": {"data_sha256": "e" * 64},
    }
    for message, change in changes.items():
        with pytest.raises(CheckpointError, match=f"{message}.*finetune_from_model=last.pt"):
            check_resumed(before, replace(present, **change), "last.pt")


@pytest.mark.parametrize(
    "change",
    [{"patients": {"a:patient": b"123"}}, {"recipe": {"name": "r"}}, {"earlier": [{"who": 1}]},
     {"patients": 5}, {"recipe": "{"}],
)  # fmt: skip
def test_states_that_were_changed_are_refused(change, ptb_xl):
    with pytest.raises(CheckpointError, match="c does not say properly"):
        Provenance.from_state({**ptb_xl.to_state(), **change}, "c")


def test_damaged_tables_are_named(ptb_xl):
    table = ptb_xl.manifest / "records.tsv"
    table.write_text(table.read_text() + "5\t6\n")
    with pytest.raises(ManifestError, match=r"records\.tsv line 6: 2 columns, expected 13"):
        ptb_xl.training_patients()
    table.write_text("record\n")
    with pytest.raises(ManifestError, match=r"starts with columns \['record'\]"):
        ptb_xl.training_patients()
