"""Who may import whom (design, section 2), checked on the source; and life without fairseq."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "ecg_fairseq"

# A room may import rooms of its own level and below. compat and optim know fairseq, hence level 2.
LEVELS = {
    "signal": 0,
    "records": 1,
    "tokenizer": 1,
    "evaluation": 1,
    "plot": 1,
    "networks": 1,
    "data": 2,
    "models": 2,
    "tasks": 2,
    "criterions": 2,
    "optim": 2,
    "compat": 2,
    "config": 2,
    "cli": 3,
    "manifests": 3,
    "scripts": 3,
}
SHARED_BY_ALL = {"", "errors", "files", "moved_modules", "progress"}
FAIRSEQ_FREE_ROOMS = [room for room, level in LEVELS.items() if level <= 1]
FORBIDDEN_LIBRARIES = {
    **{room: {"fairseq", "fairseq_cli"} for room in FAIRSEQ_FREE_ROOMS},
    "records": {"fairseq", "fairseq_cli", "torch"},
}
# ecg_bpe holds the compiled inner loops; without it signal/ runs on numpy and scipy alone.
SIGNAL_LIBRARIES = {"numpy", "scipy", "pywt", "ecg_bpe"}


def python_files(*folders: Path) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*.py")
        if "__pycache__" not in path.parts
    )


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the absolute name of everything a file imports, at any depth of nesting."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join(base + ([node.module] if node.module else []))
            yield from (f"{prefix}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(name.value) for name in node.args[:1] if isinstance(name, ast.Constant))


def room_of(module: str) -> str | None:
    """Return the room of one of our modules ('' for the package itself), None for a library."""
    parts = module.split(".")
    if parts[0] in ("manifests", "scripts"):
        return parts[0]
    if parts[0] != "ecg_fairseq":
        return None
    inner = parts[1] if len(parts) > 1 else ""
    # `from ecg_fairseq import __version__` names an attribute, not a room.
    return "" if inner.startswith("__") else inner


def forbidden_imports(path: Path) -> list[str]:
    """Return one sentence for every import of a file that the design forbids."""
    room = room_of(module_name(path)) or ""
    found = []
    for target in imported_modules(path):
        target_room, library = room_of(target), target.split(".")[0]
        if target_room is None:
            if library in FORBIDDEN_LIBRARIES.get(room, ()):
                found.append(f"{room} never imports {library}: {target}")
            if room == "signal" and library not in SIGNAL_LIBRARIES | sys.stdlib_module_names:
                found.append(f"signal imports {sorted(SIGNAL_LIBRARIES)} only: {target}")
        elif target_room not in SHARED_BY_ALL | set(LEVELS):
            found.append(f"no such room: {target}")
        elif target_room in LEVELS and room in SHARED_BY_ALL:
            found.append(f"the shared modules import no room: {target}")
        elif target_room in LEVELS and LEVELS[target_room] > LEVELS[room]:
            found.append(f"{room} must not import {target_room}, which stands above it: {target}")
        found += other_system(path, target)
    return found


# Rooms of networks/ that all systems build on; they import no system.
SHARED_NETWORKS = {"layers", "encoders", "language_model"}


def other_system(path: Path, target: str) -> list[str]:
    """Return a sentence when a system or a shared room of networks/ imports another system.

    The single modules beside the systems know them all.
    """
    own, wanted = module_name(path).split("."), target.split(".")
    if own[:2] != ["ecg_fairseq", "networks"] or wanted[:2] != own[:2]:
        return []
    if len(own) < 3 or len(wanted) < 3 or wanted[2] in SHARED_NETWORKS | {own[2]}:
        return []
    networks = PROJECT / "ecg_fairseq" / "networks"
    if (networks / f"{wanted[2]}.py").exists() or (networks / f"{own[2]}.py") == path:
        return []
    return [f"the system {own[2]} must not import the system {wanted[2]}: {target}"]


def test_every_module_keeps_to_its_room() -> None:
    files = python_files(PACKAGE, PROJECT / "manifests", PROJECT / "scripts")
    assert files
    wrong = [
        f"{path.relative_to(PROJECT)}: {line}" for path in files for line in forbidden_imports(path)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_room_has_a_level() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if list(path.glob("*.py"))}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert rooms | modules <= set(LEVELS) | SHARED_BY_ALL


@pytest.mark.parametrize(
    ("where", "line", "reason"),
    [
        ("signal/x.py", "import torch", "signal imports"),
        ("signal/x.py", "from ecg_fairseq.records.record import EcgRecord", "stands above"),
        ("records/x.py", "def f():\n    import torch.nn", "never imports torch"),
        ("evaluation/x.py", "from fairseq import utils", "never imports fairseq"),
        ("plot/x.py", "import importlib\nimportlib.import_module('fairseq.tasks')", "fairseq"),
        ("tokenizer/x.py", "from ecg_fairseq.compat import check", "stands above"),
        ("tokenizer/x.py", "from ..data import collate", "stands above"),
        ("models/x.py", "from ecg_fairseq.cli import main", "stands above"),
        ("networks/a/x.py", "from ecg_fairseq.networks.b import layer", "must not import the sys"),
        ("networks/a/x.py", "from ..b.model import layer", "must not import the system b"),
        ("x.py", "from ecg_fairseq.signal import leads", "import no room"),
        ("records/x.py", "import scripts.bench", "stands above"),
    ],
)
def test_each_kind_of_fault_is_seen(
    where: str, line: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PROJECT", tmp_path)
    path = tmp_path / "ecg_fairseq" / where
    path.parent.mkdir(parents=True)
    path.write_text(line)
    if where == "x.py":  # errors, files and progress are the modules beside the rooms
        path = path.rename(path.with_name("files.py"))
    assert any(reason in fault for fault in forbidden_imports(path)), forbidden_imports(path)


def test_allowed_imports_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PROJECT", tmp_path)
    path = tmp_path / "ecg_fairseq" / "networks" / "a" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import torch\nfrom ecg_fairseq import __version__\nfrom ..layers.attention import Heads\n"
        "from . import config\nfrom ecg_fairseq.signal.leads import CANONICAL_LEADS\n"
    )
    assert forbidden_imports(path) == []


IMPORT_ALL_BUT = """
import importlib, sys

blocked = set(sys.argv[1].split(","))

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
loaded = {name.split(".")[0] for name in sys.modules} & blocked
assert not loaded, loaded
"""


def failed_imports(blocked: str, modules: list[str]) -> str:
    """Import modules in one process that cannot import ``blocked``; return its complaints."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL_BUT, blocked, *modules],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def modules_of(*rooms: str) -> list[str]:
    return [module_name(path) for path in python_files(*(PACKAGE / room for room in rooms))]


def test_rooms_import_with_fairseq_absent() -> None:
    modules = modules_of(*FAIRSEQ_FREE_ROOMS)
    assert modules
    assert failed_imports("fairseq,fairseq_cli", modules) == ""


def test_records_and_signal_import_with_torch_absent_too() -> None:
    assert failed_imports("fairseq,fairseq_cli,torch", modules_of("signal", "records")) == ""


def test_signal_needs_numpy_scipy_and_pywavelets_only() -> None:
    blocked = "fairseq,torch,pandas,transformers,peft,wfdb,matplotlib,sklearn,h5py,soundfile"
    assert failed_imports(blocked, modules_of("signal")) == ""


def test_console_starts_without_fairseq_and_torch() -> None:
    modules = [f"ecg_fairseq.cli.{name}" for name in ("main", "doctor", "describe", "user_dir")]
    blocked = "fairseq,fairseq_cli,torch,numpy,pandas,transformers,hydra,omegaconf"
    assert failed_imports(blocked, modules) == ""


def test_package_itself_imports_nothing_heavy() -> None:
    code = "import sys, ecg_fairseq; print(sorted({'torch','numpy','fairseq'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert result.stdout.strip() == "[]"
