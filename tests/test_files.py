"""Atomic files: nothing half-written stands under a final name, whatever goes wrong."""

import errno
import io
import json
import os
import stat

import pytest

from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import (
    atomic_write,
    read_json,
    sha256_of_file,
    sha256_of_json,
    write_json,
)
from ecg_fairseq.progress import track


def test_a_complete_write_replaces_the_old_file(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    for text in ("first\n", "second\n"):
        with atomic_write(path) as stream:
            stream.write(text)
    assert path.read_text() == "second\n"
    assert os.listdir(path.parent) == ["file.txt"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_pipe_or_a_device_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(pipe) as stream:
        stream.write("through\n")
    assert os.read(reader, 100) == b"through\n"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_an_exception_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half():
        with atomic_write(path) as stream:
            stream.write("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(EcgError, match=r"No space left.*nothing was written"),
        atomic_write(tmp_path / "file.bin", "wb") as stream,
    ):
        stream.write(b"x" * 100)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(EcgError, match="cannot write"), atomic_write(tmp_path / "taken" / "x"):
        pass


def test_json_errors_name_file_and_purpose(tmp_path):
    with pytest.raises(ManifestError, match="manifest description not found"):
        read_json(tmp_path / "none.json", ManifestError, "manifest description")
    (tmp_path / "cut.json").write_text('{"a": [1, 2')
    with pytest.raises(ManifestError, match="cannot be read as JSON"):
        read_json(tmp_path / "cut.json", ManifestError, "manifest description")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ManifestError, match="cannot be read as JSON"):
        read_json(tmp_path / "deep.json", ManifestError, "manifest description")


def test_hashes_depend_on_content_only(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"b": 1, "a": "ü"}
    assert sha256_of_json({"b": 1, "a": 2}) == sha256_of_json({"a": 2, "b": 1})
    assert sha256_of_json({"a": 1}) != sha256_of_json({"a": 2})
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of_file(tmp_path / "empty").startswith("e3b0c44298fc1c14")


def test_progress_lines_tell_rate_and_time_left(monkeypatch):
    import ecg_fairseq.progress as progress

    clock = iter(range(0, 100, 6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    assert list(track(range(3), 3, "records", "json")) == [0, 1, 2]
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["done"] for line in lines] == [1, 2, 3]
    assert lines[0] == {
        "progress": "records",
        "done": 1,
        "total": 3,
        "per_second": 0.17,
        "seconds_left": 12.0,
    }
    assert list(track([1], 1, "records", "silent")) == [1]
