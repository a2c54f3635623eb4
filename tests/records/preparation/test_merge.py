"""Parts written apart and merged equal a single run byte for byte; wrong parts are refused."""

import json
import shutil

import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json, write_json
from ecg_fairseq.records.datasets.registry import dataset_module
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.merge import merge

PREPARATION = "ecg_fairseq.records.preparation"

NUM_PARTS = 3
NUM_RECORDS = 40


def run_script(raw, out, *more, name="ptb_xl", recipe="ecg_byte_beat"):
    words = [str(raw), "--out", str(out), "--recipe", recipe, "--progress", "silent"]
    words += ["--questions", "from-labels", *map(str, more)]
    assert prepare_dataset(name, words) == 0


def contents(folder):
    """Every file's bytes; the first line of a segment list names the folder itself."""
    root = str(folder.resolve()).encode()
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(root, b"ROOT")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def parts(ptb_xl, tmp_path, monkeypatch):
    """Three parts of a preparation of 40 records, one of them unreadable."""
    for number in range(13, NUM_RECORDS + 1):
        ptb_xl.signals[number] = ptb_xl.signals[number % 12 + 1] + number
        ptb_xl.rows.append(
            {
                **ptb_xl.row(number % 12 + 1),
                "ecg_id": str(number),
                "patient_id": f"{100 + number}.0",
                "filename_lr": f"records100/00000/{number:05d}_lr",
                "filename_hr": f"records500/00000/{number:05d}_hr",
            }
        )
    ptb_xl.write()
    ptb_xl.header(20).with_suffix(".dat").write_bytes(b"short")
    for part in range(NUM_PARTS):
        # Started from different folders, so that relative paths differ.
        monkeypatch.chdir(tmp_path if part else ptb_xl.folder)
        raw = "ptb-xl" if part else "."
        run_script(raw, tmp_path / f"part{part}", "--shard", f"{part}/{NUM_PARTS}")
    monkeypatch.chdir("/")
    return [tmp_path / f"part{part}" for part in range(NUM_PARTS)]


def test_merged_parts_equal_a_single_run(parts, ptb_xl, tmp_path, capsys):
    run_script(ptb_xl.folder, tmp_path / "single")
    arguments = [str(parts[2]), str(parts[0]), str(parts[1]), "--out", str(tmp_path / "merged")]
    capsys.readouterr()
    assert main(["merge", *arguments]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["records"], summary["skipped"]) == (NUM_RECORDS - 1, 1)
    assert contents(tmp_path / "merged") == contents(tmp_path / "single")
    manifest = Manifest.load(tmp_path / "merged")
    manifest.store.verify()
    assert manifest.meta["counts"]["questions"]["train"] > 0
    # Once more: an interrupted merge is taken up the same way.
    (tmp_path / "merged/meta.json").unlink()
    merge(parts, tmp_path / "merged", dataset_module)
    assert contents(tmp_path / "merged") == contents(tmp_path / "single")


def test_a_part_keeps_its_command_as_earlier_versions_wrote_it(parts, ptb_xl, tmp_path):
    command = json.loads((tmp_path / "part0/.prepare/command.json").read_text())
    words = [".", "--out", str(tmp_path / "part0"), "--recipe", "ecg_byte_beat"]
    words += ["--progress", "silent", "--questions", "from-labels", "--shard", "0/3"]
    assert command == {"script": "ptb_xl", "arguments": words, "folder": str(ptb_xl.folder)}


def test_labels_and_pairs_are_merged_too(ptb_xl, tmp_path, monkeypatch):
    ptb_xl.row(12)["patient_id"] = "111.0"
    ptb_xl.write()
    (tmp_path / "table.csv").write_text("ecg_id,AF\n1,1\n2,0\n11,1\n")
    monkeypatch.setattr(
        "ecg_fairseq.records.preparation.prepare.records_per_shard", lambda count: 4
    )
    monkeypatch.setattr(f"{PREPARATION}.merge.records_per_shard", lambda count: 4)
    monkeypatch.chdir(tmp_path)
    labelled = ("--label-table", "table.csv")
    for part in range(2):
        shard = ("--shard", f"{part}/2")
        run_script("ptb-xl", tmp_path / f"p{part}", *labelled, *shard, recipe="ecg_fm")
    run_script("ptb-xl", tmp_path / "single", *labelled, recipe="ecg_fm")
    monkeypatch.chdir("/")
    merge([tmp_path / "p1", tmp_path / "p0"], tmp_path / "merged", dataset_module)
    found = contents(tmp_path / "merged")
    assert found == contents(tmp_path / "single")
    assert {"labels/y.npy", "cmsc/train.tsv", "identification/test_probe.tsv"} <= set(found)


def test_wrong_parts_are_refused_and_nothing_is_written(parts, ptb_xl, tmp_path, capsys):
    out = tmp_path / "merged"
    assert main(["merge", *map(str, parts[:2]), "--out", str(out)]) == 1
    assert "1 of 3 shards are in none of the parts (numbers 2)" in capsys.readouterr().err
    with pytest.raises(ManifestError, match="not found"):
        merge([*parts, tmp_path / "nix"], out, dataset_module)
    with pytest.raises(ManifestError, match="one of the parts"):
        merge(parts, parts[0], dataset_module)
    (tmp_path / "other").mkdir()
    with pytest.raises(ManifestError, match=r"command of a part|plan"):
        merge([*parts, tmp_path / "other"], out, dataset_module)
    run_script(ptb_xl.folder, tmp_path / "seed", "--shard", "2/3", "--seed", "5")
    with pytest.raises(ManifestError, match="differ in seed"):
        merge([*parts[:2], tmp_path / "seed"], out, dataset_module)
    run_script(ptb_xl.folder, tmp_path / "int16", "--shard", "2/3", "--dtype", "int16")
    with pytest.raises(ManifestError, match="differ in dtype"):
        merge([*parts[:2], tmp_path / "int16"], out, dataset_module)
    assert not out.exists()
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(ManifestError, match="not empty"):
        merge(parts, out, dataset_module)


def test_parts_that_spell_one_folder_differently_are_merged(parts, ptb_xl, tmp_path, monkeypatch):
    # The parts of the fixture were given the folder as "." and as "ptb-xl".
    (tmp_path / "link").symlink_to(ptb_xl.folder)
    monkeypatch.chdir(tmp_path)
    spelled = (f"{ptb_xl.folder}/", "./part0/../ptb-xl", "link", "link/records500/..")
    for number, raw in enumerate(spelled):
        run_script(raw, f"again{number}", "--shard", "2/3")
    monkeypatch.chdir("/")
    run_script(ptb_xl.folder, tmp_path / "single")
    for number in range(len(spelled)):
        out = tmp_path / f"merged{number}"
        merge([*parts[:2], tmp_path / f"again{number}"], out, dataset_module)
        assert contents(out) == contents(tmp_path / "single")


def test_parts_of_two_folders_are_still_refused(parts, ptb_xl, tmp_path):
    shutil.copytree(ptb_xl.folder, tmp_path / "copy-of-ptb-xl")
    run_script(tmp_path / "copy-of-ptb-xl", tmp_path / "other", "--shard", "2/3")
    with pytest.raises(ManifestError, match="raw_dir"):
        merge([*parts[:2], tmp_path / "other"], tmp_path / "merged", dataset_module)


def test_a_refused_merge_leaves_nothing_behind(parts, tmp_path):
    shard = parts[1] / "store/shard-00001.npy"
    shard.write_bytes(shard.read_bytes()[:-4])
    with pytest.raises(ManifestError, match="changed after it was written"):
        merge(parts, tmp_path / "merged", dataset_module)
    assert not (tmp_path / "merged").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="changed after it was written"):
        merge(parts, tmp_path / "empty", dataset_module)
    assert not list((tmp_path / "empty").iterdir())


def test_a_merge_refused_for_skipped_records_leaves_their_list(parts, tmp_path):
    for part in parts:
        path = part / ".prepare/command.json"
        command = read_json(path, ManifestError, "command")
        command["arguments"] += ["--max-skip-fraction", "0"]
        write_json(path, command)
    for _ in range(2):  # the list does not keep a second try away
        with pytest.raises(ManifestError, match="max-skip-fraction"):
            merge(parts, tmp_path / "merged", dataset_module)
        assert [path.name for path in (tmp_path / "merged").iterdir()] == ["skipped.tsv"]


def test_damaged_parts_and_changed_raw_data_are_found(parts, ptb_xl, tmp_path):
    other = tmp_path / "copy"
    shutil.copytree(parts[1], other)
    shard = other / "store/shard-00001.npy"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ManifestError, match="changed after it was written"):
        merge([parts[0], other, parts[2]], tmp_path / "merged", dataset_module)
    ptb_xl.signals[3] = ptb_xl.signals[3][:, ::-1].copy()
    ptb_xl.write()
    with pytest.raises(ManifestError, match="raw data or this program changed"):
        merge(parts, tmp_path / "again", dataset_module)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("script", ["../evil", "evil", "/tmp/evil.py", "", 7])
def test_only_scripts_of_this_project_are_run(parts, tmp_path, script):
    path = parts[0] / ".prepare/command.json"
    write_json(path, {**read_json(path, ManifestError, "command"), "script": script})
    with pytest.raises(ManifestError, match="which is not in"):
        merge(parts, tmp_path / "merged", dataset_module)
