"""One writer a folder: the lock, who it names, and locks that nobody holds any more."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from ecg_fairseq import folder_lock
from ecg_fairseq.errors import EcgError
from ecg_fairseq.folder_lock import LOCK_FILE, locked_beside, locked_folder

HOLDER = """
import sys, time
from ecg_fairseq.folder_lock import locked_folder
with locked_folder(sys.argv[1], "preparation of toy", sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """Return a function that holds a folder's lock in another process."""
    started = []

    def hold(part=""):
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "out"), part]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()


def test_a_second_writer_is_refused_by_name(tmp_path, held):
    process = held()
    wanted = rf"process {process.pid} on {socket.gethostname()} \(preparation of toy\)"
    with pytest.raises(EcgError, match=wanted), locked_folder(tmp_path / "out", "simulate"):
        pass
    assert (tmp_path / "out" / LOCK_FILE).is_file()


def test_a_lock_whose_process_was_killed_is_taken_over(tmp_path, held):
    process = held()
    process.kill()
    process.wait()
    lock = tmp_path / "out" / LOCK_FILE
    assert json.loads(lock.read_text())["pid"] == process.pid
    with locked_folder(tmp_path / "out", "simulate"):
        assert json.loads(lock.read_text()) == {
            "pid": os.getpid(), "host": socket.gethostname(), "command": "simulate",
        }  # fmt: skip
    assert not lock.exists()
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_a_lock_of_another_host_counts_while_it_gives_signs(tmp_path):
    lock = tmp_path / LOCK_FILE
    content = json.dumps({"pid": 1, "host": "elsewhere", "command": "merge"})
    lock.write_text(content)
    refused = pytest.raises(EcgError, match=r"process 1 on elsewhere \(merge\)")
    with refused, locked_folder(tmp_path, "simulate"):
        pass
    assert lock.read_text() == content
    long_ago = time.time() - 2 * folder_lock._SECONDS_UNTIL_STALE
    os.utime(lock, (long_ago, long_ago))
    with locked_folder(tmp_path, "simulate"):
        pass
    assert not lock.exists()


def test_a_holder_gives_signs(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "_SECONDS_BETWEEN_SIGNS", 0.01)
    with locked_folder(tmp_path, "simulate"):
        lock = tmp_path / LOCK_FILE
        os.utime(lock, (1, 1))
        deadline = time.monotonic() + 5
        while lock.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lock.stat().st_mtime > 2


def test_parts_run_beside_each_other_but_not_beside_the_whole(tmp_path, held):
    held("0-of-2")
    with locked_folder(tmp_path / "out", "preparation", "1-of-2"):
        pass
    for part in ("", "0-of-2"):
        lock = locked_folder(tmp_path / "out", "preparation", part)
        with pytest.raises(EcgError, match="is being written by process"), lock:
            pass


def test_the_whole_excludes_parts(tmp_path, held):
    held()
    lock = locked_folder(tmp_path / "out", "preparation", "1-of-2")
    with pytest.raises(EcgError, match="is being written by process"), lock:
        pass


def test_a_command_within_a_command_keeps_the_lock(tmp_path):
    with locked_folder(tmp_path, "merge"):
        with locked_folder(tmp_path, "preparation"):
            pass
        assert (tmp_path / LOCK_FILE).exists()
    with locked_beside(tmp_path / "tok.json", "tokenizer"):
        assert (tmp_path / ".tok.json.lock").exists()
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EcgError, match="cannot write"), locked_folder(tmp_path / "file", "x"):
        pass
