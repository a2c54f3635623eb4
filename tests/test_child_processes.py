"""Stages of the quickstart end with it, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {scripts!r})
from steps.child_process import child_process, end_on_termination
end_on_termination()
# A stage that has started a process of its own.
code = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); " \\
       "print(p.pid, flush=True); p.wait()"
with child_process([sys.executable, "-c", code], stdout=-1, text=True) as child:
    print(child.pid, child.stdout.readline().strip(), flush=True)
    child.wait()
"""


def _is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_children_end_with_their_parent(project_dir, number):
    code = PARENT.format(scripts=str(project_dir / "scripts"))
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child, grandchild = map(int, parent.stdout.readline().split())
    assert _is_running(child)
    os.kill(parent.pid, number)
    parent.wait(timeout=20)
    deadline = time.monotonic() + 10
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(child)
    if number == signal.SIGKILL:
        os.kill(grandchild, signal.SIGKILL)  # workers of our stages watch their parent themselves
    else:
        assert not _is_running(grandchild)
