"""Which lists task.data stands for, and what they say of their origin."""

import json
from pathlib import Path

import pytest

from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.provenance import Provenance

META = {
    "dataset": "toy",
    "recipe": {"name": "ecg_fm", "hash": "a" * 64},
    "split": {"hash": "b" * 64},
    "layout": {"strips": [{"lead": "I"}, {"lead": "II"}]},
}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest folder with plain and CMSC lists."""
    folder = tmp_path / "manifest"
    (folder / "cmsc").mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(META))
    for name in ("train", "test"):
        (folder / f"{name}.tsv").touch()
    (folder / "cmsc" / "train.tsv").touch()
    return folder


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder of fairseq-signals' lists: plain ones in ``segmented``, CMSC ones in ``cmsc``."""
    for name in ("segmented", "cmsc"):
        (tmp_path / "foreign" / name).mkdir(parents=True)
        (tmp_path / "foreign" / name / "valid.tsv").touch()
    return tmp_path / "foreign"


def test_a_manifest_is_its_own_folder_of_plain_lists(manifest: Path) -> None:
    folder = SegmentFolder.open(str(manifest))
    assert (folder.path, folder.manifest) == (manifest, manifest)
    assert folder.tsv("test") == manifest / "test.tsv"
    assert folder.dataset == "toy"
    assert folder.recipe == META["recipe"]
    assert folder.split_hash == "b" * 64
    assert folder.provenance.leads == ("I", "II")


@pytest.mark.parametrize("inside", [".", "cmsc"])
def test_cmsc_lists_are_found_from_the_manifest_and_from_within(
    manifest: Path, inside: str
) -> None:
    folder = SegmentFolder.open(manifest / inside, "cmsc")
    assert (folder.path, folder.manifest) == (manifest / "cmsc", manifest)
    assert folder.split_hash == "b" * 64


def test_paths_are_whole_wherever_the_process_stands(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(manifest.parent)
    assert SegmentFolder.open("manifest").path == manifest


def test_segmented_of_a_manifest_is_the_manifest_itself(manifest: Path) -> None:
    """Settings made for fairseq-signals name it; a manifest has its plain lists at the top."""
    folder = SegmentFolder.open(manifest / "segmented")
    assert (folder.path, folder.manifest) == (manifest, manifest)
    (manifest / "segmented").mkdir()
    assert SegmentFolder.open(manifest / "segmented").path == manifest / "segmented"


@pytest.mark.parametrize(
    ("inside", "kind"), [("segmented", "plain"), ("cmsc", "cmsc"), ("segmented", "identification")]
)
def test_a_foreign_folder_is_taken_as_it_stands_and_says_nothing(
    foreign: Path, inside: str, kind: str
) -> None:
    folder = SegmentFolder.open(foreign / inside, kind)
    assert (folder.path, folder.manifest) == (foreign / inside, None)
    assert folder.tsv("valid").name == "valid.tsv"
    assert (folder.dataset, folder.recipe, folder.split_hash) == (None, None, None)


def test_missing_folders_are_refused(foreign: Path, manifest: Path) -> None:
    for data in (foreign / "nowhere", foreign.parent / "segmented", manifest / "train.tsv"):
        with pytest.raises(ManifestError, match=r"task\.data=.* is not a folder; give a manifest"):
            SegmentFolder.open(data)


def test_missing_kinds_of_lists_are_refused_with_what_it_takes(manifest: Path) -> None:
    with pytest.raises(ManifestError, match=r"no identification/ lists: no patient .* two record"):
        SegmentFolder.open(manifest, "identification")
    (manifest / "cmsc" / "train.tsv").unlink()
    (manifest / "cmsc").rmdir()
    with pytest.raises(ManifestError, match=r"no cmsc/ lists: no recording has two segments"):
        SegmentFolder.open(manifest, "cmsc")


def test_a_missing_list_is_refused_with_those_there_are(manifest: Path, foreign: Path) -> None:
    with pytest.raises(ManifestError, match=r"valid\.tsv does not exist; .* lists of: test, train"):
        SegmentFolder.open(manifest).tsv("valid")
    with pytest.raises(ManifestError, match=r"has lists of: nothing$"):
        SegmentFolder(foreign).tsv("train")


def test_folders_are_equal_by_place_whatever_was_read_of_them(manifest: Path) -> None:
    opened = SegmentFolder.open(manifest)
    assert opened == SegmentFolder(manifest, manifest, Provenance())
    assert opened != SegmentFolder.open(manifest, "cmsc")
