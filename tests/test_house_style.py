"""House rules that a formatter does not know: sizes, docstrings, and nothing of one machine."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
CODE = (".py", ".rs", ".sh", ".pyi")
TEXT = (*CODE, ".md", ".toml", ".yaml", ".yml", ".json", ".cfg", ".ipynb", ".html")
SKIPPED_FOLDERS = {
    ".git", ".venv", "target", "build", "dist", "outputs", "__pycache__", "node_modules",
    ".ruff_cache", ".mypy_cache", ".pytest_cache", ".hypothesis",
}  # fmt: skip
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
MAX_SCRIPT_LINES = 80

# Written so that no pattern matches its own line.
ONE_MACHINE = re.compile(r"(?<![\w.:/])/(?:work|root|home|Users)/\w")
REGISTRY_HOST = re.compile(r"pypi\.org|python[h]osted|download\.pytorch|crates\.io|conda\.io")
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b")


def project_files(suffixes: tuple[str, ...]) -> list[Path]:
    """Return the project's own files; folders that tools make are left out."""
    found = []
    pending = [PROJECT]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            if path.is_dir():
                made = path.name in SKIPPED_FOLDERS or path.name.endswith(".egg-info")
                if not made and not path.name.startswith("quickstart_out"):
                    pending.append(path)
            elif path.suffix in suffixes or (path.parent.name == ".ci" and ".sh" in suffixes):
                found.append(path)
    return found


def shipped_python() -> list[Path]:
    folders = ("ecg_fairseq", "hydra_plugins", "manifests", "scripts")
    return [
        path for path in project_files((".py",)) if path.relative_to(PROJECT).parts[0] in folders
    ]


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(PROJECT)}:{line}"


def lines_matching(pattern: re.Pattern[str], suffixes: tuple[str, ...]) -> list[str]:
    return [
        f"{where(path, number)}: {line.strip()[:100]}"
        for path in project_files(suffixes)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_files_are_short() -> None:
    lengths = {
        str(path.relative_to(PROJECT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in project_files(CODE)
    }
    assert lengths
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}


def thin_scripts() -> list[Path]:
    dispatchers = [PROJECT / "scripts" / name for name in ("bench.py", "parity.py")]
    return dispatchers + sorted((PROJECT / "manifests").glob("*.py"))


@pytest.mark.parametrize("path", thin_scripts(), ids=lambda path: path.name)
def test_scripts_are_thin(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_SCRIPT_LINES


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's number of lines without its docstring."""
    length = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        length -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return length


def test_functions_are_short() -> None:
    long_ones = [
        f"{where(path, function.lineno)} {function.name}: {body_length(function)} lines"
        for path in shipped_python()
        for function in functions_of(ast.parse(path.read_text(encoding="utf-8")))
        if body_length(function) > MAX_FUNCTION_LINES
    ]
    assert not long_ones, "\n".join(long_ones)


def undocumented(node: ast.AST, inside: str = "") -> Iterator[tuple[int, str]]:
    """Yield (line, name) of public classes, functions and methods without a docstring."""
    for child in getattr(node, "body", []):
        is_class = isinstance(child, ast.ClassDef)
        if not is_class and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if child.name.startswith("_"):
            continue
        if ast.get_docstring(child) is None:
            yield child.lineno, inside + child.name
        if is_class:
            yield from undocumented(child, f"{child.name}.")


def test_public_things_have_docstrings() -> None:
    missing = []
    for path in shipped_python():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if ast.get_docstring(tree) is None and tree.body:
            missing.append(f"{where(path, 1)} the module")
        missing += [f"{where(path, line)} {name}" for line, name in undocumented(tree)]
    assert not missing, "\n".join(missing)


def test_no_paths_of_one_machine() -> None:
    assert not (found := lines_matching(ONE_MACHINE, TEXT)), "\n".join(found)


def test_no_package_registry_hosts() -> None:
    # Cargo.lock, which cargo writes, names its registry and is not among the suffixes.
    assert not (found := lines_matching(REGISTRY_HOST, TEXT)), "\n".join(found)


def test_nothing_is_marked_unfinished() -> None:
    assert not (found := lines_matching(UNFINISHED, CODE)), "\n".join(found)


def test_no_module_is_called_utils() -> None:
    names = {"utils", "util", "helpers", "misc", "common"}
    assert not [path for path in shipped_python() if path.stem in names]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (ONE_MACHINE, "data = '/ho" + "me/ann/data'"),
        (ONE_MACHINE, "cd /wo" + "rk/main"),
        (REGISTRY_HOST, "--index-url https://py" + "pi.org/simple"),
        (UNFINISHED, "# TO" + "DO later"),
    ],
)
def test_each_pattern_can_fail(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize("text", ["https://example.org/home/x", "a/work/b", "../root/x"])
def test_other_paths_are_fine(text: str) -> None:
    assert not ONE_MACHINE.search(text)


def test_long_function_and_missing_docstring_are_seen() -> None:
    tree = ast.parse(
        "def f():\n    '''one'''\n" + "    x = 1\n" * 60 + "class A:\n  def b(self): 1"
    )
    assert [body_length(function) > MAX_FUNCTION_LINES for function in functions_of(tree)] == [
        True,
        False,
    ]
    assert [name for _, name in undocumented(tree)] == ["A", "A.b"]
