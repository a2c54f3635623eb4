"""A preparation typed again, interrupted, or beside another one."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.data.signals.label_source import LabelSource
from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import read_json, write_json
from ecg_fairseq.folder_lock import locked_folder
from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.manifest.content_check import ContentCheck, check_contents
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation import prepare as prepare_module
from ecg_fairseq.records.preparation.manifest_writer import set_tokenizer
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.segments.segment_list import SegmentList
from ecg_fairseq.signal.recipes import get_recipe


def options(out, **more) -> PrepareOptions:
    return PrepareOptions(
        **{"out": out, "recipe": get_recipe("ecg_byte"), "progress": "silent", **more}
    )


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def out(ptb_xl, tmp_path):
    """A finished manifest with a registered tokenizer and a token cache."""
    ptb_xl.write()
    folder = tmp_path / "m"
    prepare(ptb_xl_dataset(ptb_xl.folder), options(folder))
    (tmp_path / "tok.json").write_text('{"sha256": "a"}')
    set_tokenizer(folder, tmp_path / "tok.json")
    (folder / "tokens").mkdir()
    (folder / "tokens/abc.ids.npy").write_bytes(b"ids")
    return folder


def test_the_tokenizer_stays_registered(ptb_xl, out):
    before = contents(out)
    prepare(ptb_xl_dataset(ptb_xl.folder), options(out))
    assert contents(out) == before
    assert Manifest.load(out).meta["tokenizer"]["path"] == "../tok.json"


def test_the_tokenizer_outlives_an_interruption(ptb_xl, out, monkeypatch):
    before = contents(out)

    def killed(folder, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_module, "write_manifest", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(ptb_xl_dataset(ptb_xl.folder), options(out))
    assert not (out / "meta.json").exists()
    monkeypatch.undo()
    prepare(ptb_xl_dataset(ptb_xl.folder), options(out))
    assert contents(out) == before


def test_a_tokenizer_of_other_signals_is_not_kept(ptb_xl, out, capsys):
    ptb_xl.signals[3] = ptb_xl.signals[3] + 1
    ptb_xl.write()
    before = contents(out)
    with pytest.raises(ManifestError, match="give --overwrite"):
        prepare(ptb_xl_dataset(ptb_xl.folder), options(out))
    prepare(ptb_xl_dataset(ptb_xl.folder), options(out, overwrite=True))
    assert Manifest.load(out).meta["tokenizer"] is None
    assert "the signals changed, so the ECG tokenizer ../tok.json is" in capsys.readouterr().err
    assert not (out / "tokens").exists()
    assert contents(out).keys() <= before.keys()


def test_a_tokenizer_of_other_splits_is_refused(ptb_xl, out):
    for row in ptb_xl.rows:
        row["strat_fold"] = {"1": "9", "9": "10", "10": "1"}.get(row["strat_fold"], "1")
    ptb_xl.write_tables()
    before = contents(out)
    with pytest.raises(ManifestError, match="the splits that it was trained on would change"):
        prepare(ptb_xl_dataset(ptb_xl.folder), options(out))
    assert contents(out) == before


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def cut(path, place):
    path.write_bytes(path.read_bytes()[:place])


def lengthen(path, place):
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("damage", [flip, cut, lengthen])
def test_a_damaged_shard_is_noticed_and_healed_by_the_same_command(ptb_xl, out, damage, capsys):
    shard = out / "store/shard-00000.npy"
    before = contents(out)
    damage(shard, -400)
    with pytest.raises(ManifestError, match=r"shard-00000\.npy .*typed again"):
        check_contents(out)
    with pytest.raises(ManifestError, match=r"shard-00000\.npy .*typed again"):
        ContentCheck(out).finish()
    capsys.readouterr()
    assert main(["inspect", str(out), *(["--no-signals"] if damage is not flip else [])]) == 1
    assert "DAMAGED: store shard" in capsys.readouterr().out
    prepare(ptb_xl_dataset(ptb_xl.folder), options(out))
    assert "1 shards are damaged, they are made anew" in capsys.readouterr().err
    assert contents(out) == before
    ContentCheck(out).finish()


def test_a_table_of_records_sorted_otherwise_is_refused(out):
    header, *lines = (out / "records.tsv").read_text().splitlines(keepends=True)
    (out / "records.tsv").write_text("".join([header, *reversed(lines)]))
    with pytest.raises(ManifestError, match="edited, sorted or copied from another manifest"):
        check_contents(out)
    meta = read_json(out / "meta.json", ManifestError, "meta")
    del meta["records_sha256"]  # as earlier versions wrote it
    write_json(out / "meta.json", meta)
    check_contents(out)


@pytest.fixture
def labelled(ptb_xl, tmp_path):
    """A manifest of segments with labels."""
    ptb_xl.write()
    words = [str(ptb_xl.folder), "--recipe", "ecg_fm", "--progress", "silent"]
    assert prepare_dataset("ptb_xl", [*words, "--out", str(tmp_path / "m")]) == 0
    return tmp_path / "m"


def test_labels_follow_their_table_of_records(labelled, caplog):
    folder = SegmentFolder.open(labelled)
    assert LabelSource.find(folder, None) is not None
    assert not caplog.records
    header, *lines = (labelled / "records.tsv").read_text().splitlines(keepends=True)
    (labelled / "records.tsv").write_text("".join([header, *reversed(lines)]))
    with pytest.raises(ManifestError, match="row i is the label of record i; make the manifest"):
        LabelSource.find(folder, None)
    (labelled / "labels/y.json").unlink()  # as earlier versions wrote it
    assert LabelSource.find(folder, None) is not None
    assert "does not say of which records it is" in caplog.text


def test_changed_labels_are_said(labelled, caplog, capsys):
    path = labelled / "labels/y.npy"
    assert main(["inspect", str(labelled)]) == 0
    assert "was changed after" not in capsys.readouterr().err
    np.save(path, 1 - np.load(path))
    assert main(["inspect", str(labelled)]) == 0
    assert "was changed after the preparation wrote it" in capsys.readouterr().err
    LabelSource.find(SegmentFolder.open(labelled), None)
    assert "was changed after the preparation wrote it" in caplog.text


def test_a_copied_manifest_reads_its_own_signals(labelled, tmp_path, caplog):
    copy = tmp_path / "copy"
    shutil.copytree(labelled, copy)
    shard = np.load(copy / "store/shard-00000.npy")
    np.save(copy / "store/shard-00000.npy", shard + 1)
    for name in ("train.tsv", "cmsc/train.tsv"):
        assert str(labelled) in (copy / name).read_text()
    own = SegmentList.load(copy / "train.tsv").read(0).signal
    np.testing.assert_array_equal(own, SegmentList.load(labelled / "train.tsv").read(0).signal + 1)
    assert f"using {copy}, where the list lies" in caplog.text


def test_a_list_in_no_manifest_says_whose_signals_it_reads(labelled, tmp_path, caplog):
    (tmp_path / "lists").mkdir()
    shutil.copy(labelled / "train.tsv", tmp_path / "lists/train.tsv")
    assert len(SegmentList.load(tmp_path / "lists/train.tsv"))
    assert "lies in no manifest folder, so the signals of the manifest" in caplog.text


@pytest.mark.parametrize(
    "bad", ["a\tb", "a\nb", "a\rb", "a\u2028b", "a\u2029b", "a\x85b", "a\udc80"]
)
@pytest.mark.parametrize("field", ["record_id", "patient_id"])
def test_ids_that_no_line_can_hold_are_refused(ptb_xl, tmp_path, bad, field):
    from dataclasses import replace

    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    raw_dataset.sources[2] = replace(raw_dataset.sources[2], **{field: bad})
    with pytest.raises(ManifestError, match="ids are one line of text"):
        prepare(raw_dataset, options(tmp_path / "m"))
    assert not (tmp_path / "m").exists()


def test_a_second_preparation_is_refused_and_changes_nothing(ptb_xl, out):
    code = (
        "import sys, time\nfrom ecg_fairseq.folder_lock import locked_folder\n"
        "with locked_folder(sys.argv[1], 'preparation of toy'):\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    before = contents(out)
    with pytest.raises(EcgError, match=f"is being written by process {holder.pid} on "):
        prepare(ptb_xl_dataset(ptb_xl.folder), options(out, overwrite=True))
    assert contents(out) == before
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    prepare(ptb_xl_dataset(ptb_xl.folder), options(out))
    with locked_folder(out, "simulate"):
        pass
    assert not list(out.glob(".lock*"))


def test_a_merge_killed_writing_its_plan_is_taken_up(ptb_xl, tmp_path):
    raw, part, merged = str(ptb_xl.write()), tmp_path / "part", tmp_path / "merged"
    words = ["--recipe", "ecg_byte", "--progress", "silent"]
    assert prepare_dataset("ptb_xl", [raw, "--out", str(part), *words, "--shard", "0/1"]) == 0
    (merged / ".prepare").mkdir(parents=True)
    (merged / ".prepare/.plan.json.a1b2c3d4").write_text("{")
    write_json(merged / ".lock", {"pid": 999999999, "host": os.uname().nodename})
    assert main(["merge", str(part), "--out", str(merged)]) == 0
    assert not list(merged.rglob(".*.a1b2c3d4"))
    assert not (merged / ".lock").exists()
    (tmp_path / "other/.prepare").mkdir(parents=True)
    (tmp_path / "other/own.txt").write_text("mine")
    assert main(["merge", str(part), "--out", str(tmp_path / "other")]) == 1
    assert (tmp_path / "other/own.txt").read_text() == "mine"


def test_leftovers_of_a_killed_simulation_are_removed(tmp_path, capsys):
    words = ["simulate", "--out", str(tmp_path / "c"), "--patients", "1", "--workers", "1"]
    (tmp_path / "c").mkdir()
    (tmp_path / "c/.simulation.json.a1b2c3d4").write_text("{")
    assert main(words) == 0
    left = [
        tmp_path / "c/records500/00000/.00001_hr.dat.4711",
        tmp_path / "c/.ptbxl_database.csv.a1b2c3d4",
    ]
    for path in left:
        path.write_bytes(b"half")
    own = tmp_path / "c/.notes.txt"
    own.write_text("mine")
    before = {name for name in contents(tmp_path / "c") if not name.endswith(("4711", "c3d4"))}
    assert main(words) == 0
    assert set(contents(tmp_path / "c")) == before
    assert own.exists()


def test_leftovers_of_a_killed_tokenizer_training_are_removed(tmp_path):
    (tmp_path / "text").write_text("abcabcabc\nabcab\n")
    (tmp_path / ".tok.json.a1b2c3d4").write_text("{")
    (tmp_path / ".other.json.a1b2c3d4").write_text("{")
    words = ["--input", str(tmp_path / "text"), "--num-merges", "2", "--progress", "silent"]
    assert main(["tokenizer", "train", *words, "--out", str(tmp_path / "tok.json")]) == 0
    assert json.loads((tmp_path / "tok.json").read_text())
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == [".other.json.a1b2c3d4", "text", "tok.json"]
