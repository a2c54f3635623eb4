"""An installed wheel is enough: without the checkout it simulates, prepares and opens a dataset.

The wheel goes into a fresh environment that sees the libraries of the one the tests run in, but
not this checkout.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

SHIPPED_FOLDERS = ("ecg_fairseq", "hydra_plugins")
BUILD_FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
OPEN = """
import json, sys
import ecg_fairseq
from ecg_fairseq.records.manifest.folder import Manifest

manifest = Manifest.load(sys.argv[1])
manifest.store.verify()
print(json.dumps({
    "package": ecg_fairseq.__file__,
    "dataset": manifest.meta["dataset"],
    "records": len(manifest.records),
    "questions": len(manifest.questions("train")),
}))
"""
COMPOSE = """
import json
from hydra import compose, initialize
from omegaconf import OmegaConf

with initialize(version_base=None, config_path=None):
    settings = compose("ecg_byte_qa_tiny")
print(json.dumps({"task": settings.task._name, "user_dir": settings.common.user_dir}))
"""


def run(words: list[str], cwd: Path) -> str:
    """Run a command that knows nothing of this checkout; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{words}\n{result.stdout[-2000:]}\n{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, project_dir: Path) -> Path:
    """Build from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in SHIPPED_FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(project_dir / name, source / name, ignore=ignored)
    for name in BUILD_FILES:
        shutil.copy(project_dir / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--quiet"]
    run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(source)], folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; return its folder of programs."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    run([*pip, "--no-deps", "--quiet", "--no-compile", str(wheel)], folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is searched last, and .pth files in it (of an editable install) are not
    # read: libraries are found there, the checkout is not.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n")
    return folder / "bin"


@pytest.mark.slow
def test_the_wheel_holds_every_file(wheel: Path, project_dir: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
    wanted = {
        str(path.relative_to(project_dir))
        for folder in SHIPPED_FOLDERS
        for path in (project_dir / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert wanted - shipped == set()
    outside = {name for name in shipped if name.split("/")[0] not in SHIPPED_FOLDERS}
    assert {name for name in outside if ".dist-info/" not in name} == set()


@pytest.mark.slow
def test_a_dataset_is_prepared_and_opened_without_the_checkout(
    environment: Path, tmp_path: Path
) -> None:
    command = str(environment / "ecg-fairseq")
    run([command, "simulate", "--out", "raw", "--patients", "12", "--workers", "1"], tmp_path)
    prepare = [command, "prepare", "ptb_xl", "raw", "--recipe", "ecg_byte_beat"]
    prepare += ["--questions", "from-labels", "--progress", "silent"]
    printed = run([*prepare, "--out", "manifest"], tmp_path)
    summary = json.loads(printed.splitlines()[-1])
    for part in range(2):
        run([*prepare, "--out", f"part{part}", "--shard", f"{part}/2"], tmp_path)
    run([command, "merge", "part0", "part1", "--out", "merged"], tmp_path)
    for name in ("manifest", "merged"):
        opened = json.loads(run([str(environment / "python"), "-c", OPEN, name], tmp_path))
        assert Path(opened["package"]).is_relative_to(environment.parent)
        assert opened["dataset"] == "ptb_xl"
        assert opened["records"] == summary["records"] + summary["skipped"] > 11
        assert opened["questions"] > 0


@pytest.mark.slow
def test_training_settings_are_found_without_the_checkout(
    environment: Path, tmp_path: Path
) -> None:
    found = json.loads(run([str(environment / "python"), "-c", COMPOSE], tmp_path))
    assert found["task"] == "ecg_qa"
    assert Path(found["user_dir"]).is_relative_to(environment.parent)
