"""Who may import whom (design, section 2), checked on the source; and life without fairseq."""

import subprocess
import sys
from pathlib import Path

import pytest
from import_graph import (
    OPEN_END,
    UNKNOWN,
    circles,
    import_graph,
    imported_modules,
    loads_by_path,
    module_name,
    python_files,
)

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
SHARED_BY_ALL = {
    "",
    "errors",
    "files",
    "folder_lock",
    "free_memory",
    "moved_modules",
    "progress",
    "terminal",
}
# Within a room: sub-rooms and single modules, from the ground up; equals may import each other as
# long as no circle comes of it.
SYSTEM = 2
INNER_LEVELS = {
    "records": {
        **dict.fromkeys(("record", "record_row", "source_record", "readers"), 0),
        **dict.fromkeys(("labels", "questions", "reports"), 1),
        "manifest": 2,
        "segments": 3,
        "preparation": 4,
        "datasets": 5,
        "simulated": 6,
    },
    "networks": {
        **dict.fromkeys(("checkpoint_file", "conversion", "layers"), 0),
        **dict.fromkeys(("encoders", "language_model"), 1),
    },
    "data": {"tokens": 1, "signals": 1, "questions": 2},
    "evaluation": {**dict.fromkeys(("answers", "labels", "survival", "signals"), 1), "reports": 2},
}
# What the tables above do not name: folders of networks/ are systems, and the single modules beside
# them know them all; those of records/ keep old names alive; in data/ and evaluation/ they serve
# the sub-rooms.
OTHER_FOLDERS = {"records": 7, "networks": SYSTEM, "data": 1, "evaluation": 1}
OTHER_MODULES = {"records": 7, "networks": 3, "data": 0, "evaluation": 0}
MOST_MODULES = 15
# One file a named thing: a reader looks for the name, not through the list.
ROOMS_OF_NAMED_THINGS = ("cli", "datasets", "readers", "layouts", "criterions")
FAIRSEQ_FREE_ROOMS = [room for room, level in LEVELS.items() if level <= 1]
FORBIDDEN_LIBRARIES = {
    **{room: {"fairseq", "fairseq_cli"} for room in FAIRSEQ_FREE_ROOMS},
    "records": {"fairseq", "fairseq_cli", "torch"},
}
# ecg_bpe holds the compiled inner loops; without it signal/ runs on numpy and scipy alone.
SIGNAL_LIBRARIES = {"numpy", "scipy", "pywt", "ecg_bpe"}


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
    own = module_name(path, PROJECT)
    room = room_of(own) or ""
    found = []
    if loads_by_path(path):
        found.append(f"{room} loads Python files by path; import them by name")
    for target in imported_modules(path, PROJECT):
        target_room, library = room_of(target), target.split(".")[0]
        if target == UNKNOWN:
            # Old names of any room lead on from there; its table is tested name by name.
            if room != "moved_modules" and LEVELS.get(room, 0) < LEVELS["cli"]:
                found.append(f"{room} makes an import whose name is not in the source")
        elif target_room is None:
            if library in FORBIDDEN_LIBRARIES.get(room, ()):
                found.append(f"{room} never imports {library}: {target}")
            if room == "signal" and library not in SIGNAL_LIBRARIES | sys.stdlib_module_names:
                found.append(f"signal imports {sorted(SIGNAL_LIBRARIES)} only: {target}")
        elif target_room == OPEN_END:
            if room != "moved_modules" and LEVELS.get(room, 0) < LEVELS["cli"]:
                found.append(f"{room} may import any room: {target}")
        elif target_room not in SHARED_BY_ALL | set(LEVELS):
            found.append(f"no such room: {target}")
        elif target_room in LEVELS and room in SHARED_BY_ALL:
            found.append(f"the shared modules import no room: {target}")
        elif target_room in LEVELS and LEVELS[target_room] > LEVELS[room]:
            found.append(f"{room} must not import {target_room}, which stands above it: {target}")
        else:
            found += forbidden_within_a_room(own, target)
    return found


def forbidden_within_a_room(own: str, target: str) -> list[str]:
    """Return a sentence when a file imports what stands above it in its own room."""
    if own.split(".")[:2] != target.split(".")[:2] or room_of(own) not in INNER_LEVELS:
        return []
    room = room_of(own) or ""
    inner, wanted = inner_room(own), inner_room(target)
    if not inner or not wanted or inner == wanted:
        return []
    level, wanted_level = inner_level(room, inner), inner_level(room, wanted)
    if wanted_level > level:
        return [f"{room}/{inner} must not import {wanted}, which stands above it: {target}"]
    if room == "networks" and level == wanted_level == SYSTEM:
        return [f"the system {inner} must not import the system {wanted}: {target}"]
    return []


def inner_room(module: str) -> str:
    """Return the sub-room (or the single module) of a room that a module is, empty for the room."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 else ""


def inner_level(room: str, inner: str) -> int:
    """Return the level of a sub-room or a single module."""
    if inner in INNER_LEVELS[room]:
        return INNER_LEVELS[room][inner]
    is_folder = (PROJECT / "ecg_fairseq" / room / inner).is_dir()
    return OTHER_FOLDERS[room] if is_folder else OTHER_MODULES[room]


def test_every_module_keeps_to_its_room() -> None:
    files = python_files(PACKAGE, PROJECT / "manifests", PROJECT / "scripts")
    assert files
    wrong = [
        f"{path.relative_to(PROJECT)}: {line}" for path in files for line in forbidden_imports(path)
    ]
    assert not wrong, "\n".join(wrong)


def test_files_import_each_other_in_no_circle() -> None:
    assert circles(import_graph(PROJECT, "ecg_fairseq")) == []


def crowded_rooms(package: Path) -> list[str]:
    """Return the folders that hold more modules than a reader takes in at a glance."""
    rooms = {path.parent for path in python_files(package)} - {
        folder for name in ROOMS_OF_NAMED_THINGS for folder in package.rglob(name)
    }
    counts = {room: len([p for p in room.glob("*.py") if p.stem != "__init__"]) for room in rooms}
    return [
        f"{room.relative_to(package)}: {count} modules, at most {MOST_MODULES}; make sub-rooms"
        for room, count in sorted(counts.items())
        if count > MOST_MODULES
    ]


def test_no_room_is_crowded() -> None:
    assert crowded_rooms(PACKAGE) == []


def test_every_sub_room_has_a_level() -> None:
    for room in ("records", "data", "evaluation"):
        folders = {path.name for path in (PACKAGE / room).iterdir() if list(path.glob("*.py"))}
        assert folders <= set(INNER_LEVELS[room]), room


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
        ("tasks/x.py", "import importlib\nimportlib.import_module(f'ecg_fairseq.{n}')", "any room"),
        ("data/x.py", "importlib.import_module(f'ecg_fairseq.cli.{n}')", "stands above"),
        ("data/x.py", "import_module('ecg_fairseq.' + room + '.x')", "any room"),
        ("plot/x.py", "import_module('..cli.main', __package__)", "stands above"),
        ("plot/x.py", "__import__('fairseq')", "never imports fairseq"),
        ("models/x.py", "import importlib\nimportlib.import_module(name)", "not in the source"),
        ("cli/x.py", "importlib.util.spec_from_file_location('a', 'b.py')", "by path"),
        ("records/labels/x.py", "from ..preparation import raw_dataset", "stands above"),
        ("records/questions/x.py", "from ecg_fairseq.records import manifest", "stands above"),
        ("records/manifest/x.py", "from ..segments.lists import a", "stands above"),
        ("records/segments/x.py", "def f():\n    from ..preparation import a", "stands above"),
        ("records/preparation/x.py", "from ..datasets.registry import DATASETS", "stands above"),
        ("records/datasets/x.py", "from ecg_fairseq.records.simulated.plan import a", "stands ab"),
        ("records/readers/x.py", "from ..labels.label_set import LabelSet", "stands above"),
        ("records/readers/x.py", "from ..read import read_record", "stands above"),
        ("networks/layers/x.py", "from ..encoders.heads import Head", "stands above"),
        ("networks/encoders/x.py", "from ..a.model import layer", "stands above"),
        ("networks/language_model/x.py", "from ..a.model import layer", "stands above"),
        ("networks/a/x.py", "from ..trained import open_trained", "stands above"),
        ("networks/a/x.py", "import_module(f'ecg_fairseq.networks.b.{x}')", "the system b"),
        ("data/signals/x.py", "from ..questions.question_dataset import a", "stands above"),
        ("evaluation/x.py", "from .answers.scores import a", "stands above"),
    ],
)
def test_each_kind_of_fault_is_seen(
    where: str, line: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PROJECT", tmp_path)
    path = tmp_path / "ecg_fairseq" / where
    path.parent.mkdir(parents=True)
    for system in ("a", "b"):
        (tmp_path / "ecg_fairseq" / "networks" / system).mkdir(parents=True, exist_ok=True)
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


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("records/simulated/layouts/__init__.py", "import_module(f'{__name__}.{x}')"),
        ("records/datasets/x.py", "import_module(f'ecg_fairseq.records.datasets.{x}')"),
        ("records/read.py", "from .readers.any_format import read_record"),
        ("networks/trained.py", "from .a.model import A\nfrom .encoders.heads import Head"),
        ("networks/a/x.py", "from ..encoders.heads import Head\nfrom ..checkpoint_file import a"),
        ("data/questions/x.py", "from ..signals.segment import a\nfrom ..sized import b"),
        ("cli/x.py", "import importlib\nimportlib.import_module(name)"),
    ],
)
def test_downward_imports_pass(
    where: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PROJECT", tmp_path)
    (tmp_path / "ecg_fairseq/networks/a").mkdir(parents=True)
    path = tmp_path / "ecg_fairseq" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)
    assert forbidden_imports(path) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a": "from p.b import x", "b": "def f():\n    from p import a"}, ["p.a", "p.b"]),
        ({"a": "from . import b", "b": "import p.c", "c": "from .a import x"}, "p.a p.b p.c"),
        ({"a": "import_module(f'p.{x}')", "b": "from p.a import y"}, ["p.a", "p.b"]),
        ({"__init__": "from .a import x", "a": "from p import y"}, ["p", "p.a"]),
        ({"a": "from p.b import x", "b": "from p.c import a", "c": "from p import d"}, []),
        ({"a": "import_module(f'{__package__}.{x}')", "b": "import torch"}, []),
    ],
)
def test_circles_are_found(
    files: dict[str, str], expected: list[str] | str, tmp_path: Path
) -> None:
    (tmp_path / "p").mkdir()
    for name in {"__init__", *files}:
        (tmp_path / "p" / f"{name}.py").write_text(files.get(name, ""))
    wanted = expected.split() if isinstance(expected, str) else expected
    assert circles(import_graph(tmp_path, "p")) == ([wanted] if wanted else [])


def test_a_crowded_room_is_seen(tmp_path: Path) -> None:
    for room, count in (("tasks", 15), ("plot", 16), ("cli", 40), ("records/readers", 17)):
        (tmp_path / room).mkdir(parents=True)
        for number in range(count):
            (tmp_path / room / f"m{number}.py").touch()
        (tmp_path / room / "__init__.py").touch()
    assert crowded_rooms(tmp_path) == ["plot: 16 modules, at most 15; make sub-rooms"]


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
    return [
        module_name(path, PROJECT) for path in python_files(*(PACKAGE / room for room in rooms))
    ]


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
