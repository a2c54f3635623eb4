"""Which of our files imports which: read from the source, without importing anything.

Imports at any depth count, those under ``TYPE_CHECKING`` too, and those that importlib makes, as
far as the source shows their names.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

# Ends the name of an import of which only the beginning is in the source.
OPEN_END = "*"
UNKNOWN = "?"
_IMPORTERS = ("import_module", "__import__")
_BY_PATH = ("spec_from_file_location", "SourceFileLoader", "run_path")


def python_files(*folders: Path) -> list[Path]:
    """Return all Python files below folders, sorted."""
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*.py")
        if "__pycache__" not in path.parts
    )


def module_name(path: Path, project: Path) -> str:
    """Return the dotted name of a file; that of its folder for ``__init__.py``."""
    parts = path.relative_to(project).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, project: Path) -> Iterator[str]:
    """Yield the absolute name of everything a file imports.

    ``import_module(f"a.b.{name}")`` gives ``a.b.*``, a name that is not in the source ``?``.
    """
    own = module_name(path, project)
    package = own.split(".") if path.name == "__init__.py" else own.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join(base + ([node.module] if node.module else []))
            yield from (f"{prefix}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in _IMPORTERS and node.args:
            name = _beginning(node.args[0], own, ".".join(package)) or UNKNOWN
            yield _absolute(name, package)


def _absolute(name: str, package: list[str]) -> str:
    """Return a name without its leading dots: one means the file's own folder."""
    dots = len(name) - len(name.lstrip("."))
    base = package[: len(package) - dots + 1] if dots else []
    return ".".join([*base, name.lstrip(".")])


def loads_by_path(path: Path) -> bool:
    """Say whether a file loads Python files by their path instead of by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return any(isinstance(node, ast.Call) and _called(node) in _BY_PATH for node in ast.walk(tree))


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def _beginning(node: ast.expr, own: str, package: str) -> str:
    """Return the text of an expression as far as it is known, with ``*`` where it goes on."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name) and node.id in ("__name__", "__package__"):
        return own if node.id == "__name__" else package
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left = _beginning(node.left, own, package)
        return left if not left or left.endswith(OPEN_END) else _joined(left, node.right)
    if isinstance(node, ast.JoinedStr):
        known = ""
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            text = _beginning(inner, own, package)
            if not text:
                return f"{known}{OPEN_END}" if known else ""
            known += text
        return known
    return ""


def _joined(left: str, right: ast.expr) -> str:
    return left + (str(right.value) if isinstance(right, ast.Constant) else OPEN_END)


def import_graph(project: Path, package: str) -> dict[str, set[str]]:
    """Return module -> modules of the same package that it imports.

    ``from a.b import c`` is an import of ``a.b.c`` where that is a file, else of ``a.b``; an import
    of which only the beginning is known is one of every file that may be meant.
    """
    files = {module_name(path, project): path for path in python_files(project / package)}
    return {
        name: {target for line in imported_modules(path, project) for target in _meant(line, files)}
        - {name}
        for name, path in files.items()
    }


def _meant(name: str, files: Mapping[str, Path]) -> list[str]:
    if name.endswith(OPEN_END):
        beginning = name.removesuffix(OPEN_END)
        dots = beginning.count(".")
        return [file for file in files if file.startswith(beginning) and file.count(".") == dots]
    parent = name.rpartition(".")[0]
    return [name] if name in files else [parent] if parent in files else []


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other in a circle (Tarjan's components)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in number:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], number[target])
        if lowest[node] == number[node]:
            place = stack.index(node)
            group, stack[place:] = stack[place:], []
            if len(group) > 1 or node in graph.get(node, ()):
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found
