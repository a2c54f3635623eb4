"""The kill campaign at toy size."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["preparations", "merge", "training"])
def test_killed_commands_end_as_if_nobody_had_interrupted(project_dir, tmp_path, name):
    script = project_dir / "scripts/kill_campaign.py"
    words = [sys.executable, str(script), str(tmp_path), "--kills", "3", "--only", name]
    result = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert "0 faults" in result.stdout.splitlines()[-1]


def test_unknown_scenarios_are_bad_usage(project_dir, tmp_path):
    script = project_dir / "scripts/kill_campaign.py"
    words = [sys.executable, str(script), str(tmp_path), "--only", "training,nothing"]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 2
    assert "unknown scenarios nothing" in result.stderr
