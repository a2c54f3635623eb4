"""How much memory may be taken, on made-up machines and under a limit of this one."""

import subprocess
import sys
from pathlib import Path

import pytest

from ecg_fairseq.free_memory import free_memory

MIB = 1 << 20


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 9999999 kB\nMemAvailable:   1048576 kB\nHugePages: 0\n"}
CASES = {
    "machine": ({}, 1024),
    "version 2, own group": (
        {
            "proc/self/cgroup": "0::/job/step\n",
            "sys/fs/cgroup/job/step/memory.max": f"{300 * MIB}\n",
            "sys/fs/cgroup/job/step/memory.current": f"{100 * MIB}\n",
        },
        200,
    ),
    "version 2, a group above": (
        {
            "proc/self/cgroup": "0::/job/step\n",
            "sys/fs/cgroup/job/memory.max": f"{150 * MIB}\n",
            "sys/fs/cgroup/job/memory.current": f"{100 * MIB}\n",
            "sys/fs/cgroup/job/step/memory.max": "max\n",
            "sys/fs/cgroup/job/step/memory.current": "5\n",
        },
        50,
    ),
    "version 2, in a container": (
        {
            "proc/self/cgroup": "0::/../../host/path\n",
            "sys/fs/cgroup/memory.max": f"{64 * MIB}\n",
            "sys/fs/cgroup/memory.current": "0\n",
        },
        64,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "5:cpu:/a\n4:hugetlb,memory:/job\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{90 * MIB}\n",
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{100 * MIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "0\n",
        },
        0,
    ),
    "damaged": ({"proc/self/cgroup": "x\n"}, 1024),
}


@pytest.mark.parametrize("name", CASES)
def test_the_smallest_limit_counts(tmp_path, name):
    files, expected = CASES[name]
    assert free_memory(machine(tmp_path, MEMINFO | files)) == expected * MIB


def test_what_cannot_be_known_is_none(tmp_path):
    assert free_memory(tmp_path) is None


@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_process_count(kind):
    code = f"""
import resource
from ecg_fairseq.free_memory import free_memory
resource.setrlimit(resource.{kind}, (600 << 20, resource.RLIM_INFINITY))
print(free_memory())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 100 * MIB < int(done.stdout) < 600 * MIB


def test_tokenizer_training_refuses_what_a_limit_does_not_leave(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("abcd" * 500_000 + "\n")
    code = f"""
import resource, sys
from ecg_fairseq.cli.main import main
from ecg_fairseq.tokenizer.training import check_memory
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (100 << 20), resource.RLIM_INFINITY))
sys.exit(main(["tokenizer", "train", "--input", {str(text)!r}, "--num-merges", "5",
               "--out", {str(tmp_path / "t.json")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "MiB are free; train on a part with --sample" in done.stderr
    assert "Traceback" not in done.stderr
