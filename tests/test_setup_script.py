"""scripts/setup.sh with a pretended interpreter: order, fast path, and failures without a stamp.

The stand-in for .venv/bin/python writes down what it was asked and makes the wheels that pip would,
so these tests install nothing and need no network.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

PRETENDED_PYTHON = r"""#!/usr/bin/env bash
here=$(cd "$(dirname "$0")" && pwd)
printf '%s\n' "$*" >>"$here/calls.log"
case "$*" in
    *"$(cat "$here/fails" 2>/dev/null || echo nothing-fails)"*) cat "$here/says"; exit 1 ;;
    *"fairseq-fixed=="*"!="*) exit 1 ;;  # not installed yet
    *"found = tuple"*) exec python3 "$@" ;;
    *"pip wheel"*fairseq-fixed*) touch "${here%/bin}/setup-wheels/fairseq_fixed-0-py3.whl" ;;
    *"pip wheel"*rust_bpe*) touch "${here%/bin}/setup-wheels/ecg_bpe-0-py3.whl" ;;
    *"pip index versions torch"*) cat "$here/offers" 2>/dev/null ;;
    *torch.version.cuda*) echo "torch 2.13.0, a CPU build; GPUs visible: 0" ;;
    *--version*) echo "Python 3.11.0" ;;
esac
"""


@dataclass
class Clone:
    """A copy of what setup.sh reads, with a pretended .venv."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / ".venv" / "bin"

    @property
    def stamp(self) -> Path:
        return self.folder / ".venv" / ".setup-stamp"

    def run(self, *options: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", "scripts/setup.sh", *options],
            cwd=self.folder,
            env=clean_environment() | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self) -> list[str]:
        log = self.bin / "calls.log"
        return log.read_text().splitlines() if log.exists() else []

    def fail_on(self, words: str, message: str = "it broke") -> None:
        (self.bin / "fails").write_text(words)
        (self.bin / "says").write_text(message + "\n")


def clean_environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("ECG_TORCH", "CXX", "CUDA_HOME")}
    return kept | {"PYTHON": sys.executable}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    for name in ("setup.py", "pyproject.toml", "scripts/setup.sh"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, target)
    (tmp_path / "rust_bpe" / "src").mkdir(parents=True)
    (tmp_path / "rust_bpe" / "Cargo.toml").write_text("[package]\n")
    (tmp_path / "rust_bpe" / "src" / "lib.rs").write_text("// code\n")
    clone = Clone(tmp_path)
    clone.bin.mkdir(parents=True)
    for name, text in (
        ("python", PRETENDED_PYTHON),
        ("ecg-fairseq", "#!/bin/sh\necho doctor $*\n"),
    ):
        (clone.bin / name).write_text(text)
        (clone.bin / name).chmod(0o755)
    return clone


def without_rust(tmp_path: Path) -> str:
    """Return a PATH with the tools that setup.sh uses, and no cargo."""
    folder = tmp_path / "tools"
    folder.mkdir()
    wanted = "bash cat env find sort xargs sha256sum cut tr dirname grep tail awk mkdir rm mv flock"
    for tool in (*wanted.split(), "g++", "touch", "sed", "readlink", "ls", "python3"):
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    return str(folder)


def has_rust() -> bool:
    return shutil.which("cargo") is not None and shutil.which("rustc") is not None


def test_whole_run_in_order_then_fast_path(clone: Clone) -> None:
    # The stand-in answers to any version, so the script must not be told of a PYTHON.
    result = clone.run(PYTHON="")
    assert result.returncode == 0, result.stderr
    pip = [call for call in clone.calls() if re.match("-m pip (install|wheel)", call)]
    assert pip[0] == "-m pip install torch>=2.6,<2.17"
    assert "setuptools" in pip[1]
    assert "numpy" in pip[1]
    fairseq = next(call for call in pip if "pip wheel" in call and "fairseq-fixed==" in call)
    assert "--no-build-isolation --no-deps" in fairseq
    package = next(call for call in pip if " -e " in call)
    assert "--config-settings editable_mode=compat" in package
    assert "setup-constraints.txt" in package
    assert "a CPU build" in result.stdout
    assert "doctor" in result.stdout
    assert clone.stamp.read_text().strip() == clone.run("--print-stamp", PYTHON="").stdout.strip()

    num_calls = len(clone.calls())
    again = clone.run(PYTHON="")
    assert again.returncode == 0
    assert "nothing changed" in again.stdout
    assert len(clone.calls()) == num_calls, "the fast path installed something"


def test_torch_requirement_of_the_caller_is_passed_on(clone: Clone) -> None:
    clone.run(PYTHON="", ECG_TORCH="torch==2.13.0 --no-cache-dir")
    assert "-m pip install torch==2.13.0 --no-cache-dir" in clone.calls()


@pytest.mark.parametrize(
    ("offers", "wanted"),
    [
        ("2.17.0+cpu, 2.13.0+cu130, 2.13.0+cpu, 2.12.0+cpu", "torch==2.13.0+cpu"),
        ("2.13.0, 2.12.0", "torch>=2.6,<2.17"),
        ("2.5.1+cpu", "torch>=2.6,<2.17"),
    ],
)
def test_a_machine_without_a_gpu_takes_a_cpu_build_that_is_offered(
    clone: Clone, offers: str, wanted: str
) -> None:
    (clone.bin / "offers").write_text(f"torch (2.13.0)\nAvailable versions: {offers}\n")
    clone.run(PYTHON="")
    has_gpu = any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()
    expected = "torch>=2.6,<2.17" if has_gpu else wanted
    assert f"-m pip install {expected}" in clone.calls()


def test_a_linked_environment_of_another_clone_is_left_alone(
    clone: Clone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / ".venv"
    (clone.folder / ".venv").rename(other)
    (other / ".setup-folder").write_text(f"{other.parent}\n")
    (clone.folder / ".venv").symlink_to(other)
    before = sorted(path.name for path in other.rglob("*"))
    result = clone.run(PYTHON="")
    assert result.returncode == 1
    assert f"environment of {other.parent}" in result.stderr
    assert sorted(path.name for path in other.rglob("*")) == before


def test_a_linked_environment_that_nobody_owns_is_left_alone_too(
    clone: Clone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / ".venv"
    (clone.folder / ".venv").rename(other)
    (clone.folder / ".venv").symlink_to(other)
    result = clone.run(PYTHON="")
    assert result.returncode == 1
    assert "Remove the link" in result.stderr
    assert clone.calls() == []


def test_a_linked_environment_of_this_clone_serves(
    clone: Clone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("large_disk") / ".venv"
    (clone.folder / ".venv").rename(other)
    (other / ".setup-folder").write_text(f"{clone.folder.resolve()}\n")
    (clone.folder / ".venv").symlink_to(other)
    result = clone.run(PYTHON="")
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not has_rust(), reason="no Rust compiler on PATH")
def test_rust_core_is_built_when_cargo_is_there(clone: Clone) -> None:
    result = clone.run(PYTHON="")
    assert any("pip wheel" in call and "./rust_bpe" in call for call in clone.calls())
    assert any("ecg_bpe-0-py3.whl" in call for call in clone.calls())
    assert "Python twin" not in result.stdout


@pytest.mark.skipif(not has_rust(), reason="no Rust compiler on PATH")
def test_rust_core_that_does_not_build_leaves_the_twin(clone: Clone) -> None:
    clone.fail_on("./rust_bpe", "error: this Rust is too old")
    result = clone.run(PYTHON="")
    assert result.returncode == 0, result.stderr
    assert "WARNING" in result.stdout
    assert "Python twin" in result.stdout
    assert "this Rust is too old" in result.stderr


def test_without_rust_the_twin_serves_and_nothing_is_installed(
    clone: Clone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = without_rust(tmp_path_factory.mktemp("path"))
    result = clone.run(PATH=path, PYTHON=sys.executable)
    assert result.returncode == 1, "the pretended .venv has another version than PYTHON"
    (clone.bin / "python").write_text(
        PRETENDED_PYTHON.replace("Python 3.11.0", f"Python {sys.version.split()[0]}")
    )
    result = clone.run(PATH=path, PYTHON=sys.executable)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Python twin") == 1
    assert not any("rust_bpe" in call or "maturin" in call for call in clone.calls())
    assert "rustup" not in (PROJECT / "scripts" / "setup.sh").read_text().replace(
        "A rustup shim without a toolchain", ""
    )


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("pip install torch", "torch"),
        ("pip install pip", "tools"),
        ("pip wheel --no-build-isolation --no-deps -w", "fairseq-build"),
        ("pip install --no-build-isolation", "package"),
    ],
)
def test_failed_step_leaves_no_stamp(clone: Clone, words: str, step: str) -> None:
    clone.stamp.write_text("of an older set-up\n")
    clone.fail_on(words, "fatal error: something")
    result = clone.run(PYTHON="")
    assert result.returncode == 1
    assert f"step '{step}' failed" in result.stderr
    assert "fatal error: something" in result.stderr
    assert not clone.stamp.exists()


def test_failed_doctor_leaves_no_stamp(clone: Clone) -> None:
    (clone.bin / "ecg-fairseq").write_text("#!/bin/sh\nexit 1\n")
    assert clone.run(PYTHON="").returncode == 1
    assert not clone.stamp.exists()


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("ERROR: No matching distribution found for torch", "no network"),
        ("NewConnectionError: Temporary failure in name resolution", "PIP_INDEX_URL"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
    ],
)
def test_failures_are_explained(clone: Clone, message: str, hint: str) -> None:
    clone.fail_on("pip install torch", message)
    assert hint in clone.run(PYTHON="").stderr


def change(clone: Clone, name: str) -> None:
    with (clone.folder / name).open("a") as stream:
        stream.write("\n# changed\n")


@pytest.mark.parametrize(
    "name", ["setup.py", "pyproject.toml", "scripts/setup.sh", "rust_bpe/src/lib.rs"]
)
def test_changed_input_changes_the_stamp(clone: Clone, name: str) -> None:
    before = clone.run("--print-stamp").stdout
    assert re.fullmatch(r"[0-9a-f]{64}\n", before)
    change(clone, name)
    assert clone.run("--print-stamp").stdout not in ("", before)


def test_stamp_depends_on_torch_and_rust_only_besides(
    clone: Clone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = clone.run("--print-stamp").stdout
    assert clone.run("--print-stamp", ECG_TORCH="torch==2.6.0").stdout != before
    path = without_rust(tmp_path_factory.mktemp("path"))
    assert (clone.run("--print-stamp", PATH=path).stdout != before) == has_rust()
    (clone.folder / "rust_bpe" / "target").mkdir()
    (clone.folder / "rust_bpe" / "target" / "made.rs").write_text("// by a build script\n")
    (clone.folder / "rust_bpe" / "Cargo.lock").write_text("# by cargo\n")
    (clone.folder / "ecg_fairseq").mkdir()
    (clone.folder / "ecg_fairseq" / "new.py").write_text("# editable: nothing to install\n")
    assert clone.run("--print-stamp").stdout == before


def test_old_python_is_refused(clone: Clone, tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\ncase $1 in --version) echo Python 3.10.13;; *) exit 1;; esac\n")
    old.chmod(0o755)
    result = clone.run(PYTHON=str(old))
    assert result.returncode == 1
    assert "Python 3.10.13" in result.stderr
    assert "3.11, 3.12 or 3.13" in result.stderr
    assert clone.calls() == []


def test_missing_compiler_is_named(clone: Clone) -> None:
    result = clone.run(CXX="no-such-compiler -O2")
    assert result.returncode == 1
    assert "'no-such-compiler' was not found" in result.stderr
    assert clone.calls() == []


def test_check_installs_nothing(clone: Clone) -> None:
    result = clone.run("--check")
    assert result.returncode == 0, result.stderr
    assert clone.calls() == []


def test_foreign_environment_of_another_python_is_not_deleted(clone: Clone) -> None:
    result = clone.run(PYTHON=sys.executable)
    assert result.returncode == 1
    assert "was not made by this script" in result.stderr
    assert (clone.bin / "python").exists()


def test_unknown_option_is_bad_usage(clone: Clone) -> None:
    assert clone.run("--no-such").returncode == 2


def test_fairseq_pin_is_the_same_everywhere() -> None:
    script = (PROJECT / "scripts" / "setup.sh").read_text()
    packaging = (PROJECT / "setup.py").read_text()
    pins = {*re.findall(r"fairseq-fixed==[\w.]+", script + packaging)}
    doctor = (PROJECT / "ecg_fairseq" / "cli" / "doctor.py").read_text()
    assert len(pins | set(re.findall(r"fairseq-fixed==[\d.]+\d", doctor))) == 1


def test_distribution_never_asks_for_vanilla_fairseq() -> None:
    tree = ast.parse((PROJECT / "setup.py").read_text())
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    requirements = [word for word in words if isinstance(word, str) and " " not in word]
    assert not [word for word in requirements if re.match(r"fairseq(?![\w-])\S", word)]
