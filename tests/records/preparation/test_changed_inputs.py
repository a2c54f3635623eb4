"""Changed input files are noticed, each by the shard that was made from it."""

import os

import numpy as np
import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation import changed_inputs as input_state
from ecg_fairseq.records.preparation import shard_jobs
from ecg_fairseq.records.preparation.changed_inputs import input_states
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.source_record import SourceRecord
from ecg_fairseq.signal.recipes import get_recipe


@pytest.fixture
def read(monkeypatch):
    """Shards of four records; the ids of those that are read are listed."""
    monkeypatch.setattr(
        "ecg_fairseq.records.preparation.prepare.records_per_shard", lambda count: 4
    )
    names = []
    real = shard_jobs.load_source
    monkeypatch.setattr(
        shard_jobs, "load_source", lambda source: names.append(source.record_id) or real(source)
    )
    return names


def options(out, **more) -> PrepareOptions:
    return PrepareOptions(out, get_recipe("ecg_byte_beat"), progress="silent", **more)


def change(ptb_xl, number: int) -> None:
    ptb_xl.signals[number] = ptb_xl.signals[number] // 2
    ptb_xl.write()
    # All files are new: only the changed one may look so.
    for other in ptb_xl.signals:
        if other != number:
            for path in (ptb_xl.header(other), ptb_xl.header(other).with_suffix(".dat")):
                os.utime(path, (1e9, 1e9))


def test_a_changed_file_costs_its_own_shard(ptb_xl, tmp_path, read, capsys):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    change(ptb_xl, 1)
    prepare(raw_dataset, options(tmp_path / "m"))
    (tmp_path / "m/meta.json").unlink()
    read.clear()
    change(ptb_xl, 1)
    os.utime(ptb_xl.header(6), (2e9, 2e9))
    prepare(raw_dataset, options(tmp_path / "m"))
    assert sorted(map(int, read)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "the input of 2 shards changed" in capsys.readouterr().err
    prepare(raw_dataset, options(tmp_path / "whole"))
    found, wanted = Manifest.load(tmp_path / "m"), Manifest.load(tmp_path / "whole")
    for name in wanted.records:
        np.testing.assert_array_equal(found.segment(name), wanted.segment(name))
    assert found.meta["data_sha256"] == wanted.meta["data_sha256"]


def test_a_finished_manifest_is_not_changed_unasked(ptb_xl, tmp_path, read):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    change(ptb_xl, 12)
    prepare(raw_dataset, options(tmp_path / "m"))
    change(ptb_xl, 12)
    with pytest.raises(ManifestError, match="other input"):
        prepare(raw_dataset, options(tmp_path / "m"))
    assert (tmp_path / "m/meta.json").exists()
    read.clear()
    prepare(raw_dataset, options(tmp_path / "m", overwrite=True))
    assert read == ["9", "10", "11", "12"]


def test_a_first_run_asks_about_no_file_before_it_reads_it(ptb_xl, tmp_path, monkeypatch):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    asked = []
    real = input_state._state
    monkeypatch.setattr(input_state, "_state", lambda path: asked.append(path) or real(path))
    monkeypatch.setattr(
        "ecg_fairseq.records.preparation.prepare.records_per_shard", lambda count: 4
    )
    prepare(raw_dataset, options(tmp_path / "m", shard=(1, 3)))
    wanted = {source.path for source in raw_dataset.sources[4:8]}
    assert {os.path.splitext(path)[0] for path in asked} == wanted


@pytest.mark.parametrize(
    ("names", "path", "counts"),
    [
        (("a.hea", "a.dat"), "a", True),
        (("a.hea", "a.mat"), "a", True),
        (("a.hea", "a.dat"), "a.hea", True),
        (("a.npy",), "a.npy", True),
        (("a.xml",), "a.xml:2", True),
        (("b.hea",), "a", False),
    ],
)
def test_all_forms_of_a_record_s_files_count(tmp_path, names, path, counts):
    for name in names:
        (tmp_path / name).write_bytes(b"1")
    source = SourceRecord("1", "p", str(tmp_path / path))
    (before,) = input_states([[source]])
    assert input_states([[source], [source, source]]) == [before, before]
    for name in names:
        old = input_states([[source]])
        (tmp_path / name).write_bytes(b"12")
        assert (input_states([[source]]) != old) is counts


def test_files_that_a_killed_run_left_are_removed(ptb_xl, tmp_path):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    prepare(raw_dataset, options(tmp_path / "m"))
    left = [
        ".train.tsv.abc_1234",
        "store/.shard-00000.npy.12345678",
        ".prepare/.plan.json.a1b2c3d4",
    ]
    kept = [".hidden", ".train.tsv.bak", ".thesis.docx.abc_1234"]
    for name in [*left, *kept]:
        (tmp_path / "m" / name).write_text("x")
    (tmp_path / "m/meta.json").unlink()
    prepare(raw_dataset, options(tmp_path / "m", overwrite=True))
    assert not [name for name in left if (tmp_path / "m" / name).exists()]
    assert all((tmp_path / "m" / name).exists() for name in kept)
