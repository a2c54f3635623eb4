"""``ecg-fairseq describe NAME``: every field of a registered task, model, criterion or schedule;
``describe --config NAME``: the settings of a YAML together with the shared files that it names.

fairseq's own ``--help`` prints core options only and stops before a plug-in's (fact sheet
fairseq-modern, section 4), so the registered dataclasses are walked here instead.
"""

import argparse
import dataclasses
import enum
import importlib
import inspect
import json
import logging
import pkgutil
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ecg_fairseq.errors import EcgError, MissingDependencyError

# The rooms whose modules register something when imported.
REGISTERING_ROOMS = ("tasks", "models", "criterions", "optim")


class UnknownNameError(EcgError):
    """Nothing is registered under the name that was given."""


@dataclass(frozen=True)
class Registered:
    """One thing in a fairseq registry.

    Attributes:
        kind: ``task``, ``model``, ``criterion``, ``lr_scheduler``, ...
        name: what YAMLs put in ``_name``.
        cls: the class.
        config: its configuration dataclass, or None for fairseq's oldest components.
    """

    kind: str
    name: str
    cls: type
    config: type | None

    @property
    def is_ours(self) -> bool:
        """Whether the class comes from this package."""
        return self.cls.__module__.split(".")[0] == "ecg_fairseq"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name, ``--config`` with what belongs to it, and ``--json``."""
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument(
        "name", metavar="NAME", nargs="?", help="for example ecg_qa, ecg_llm or adam"
    )
    wanted.add_argument(
        "--config", metavar="YAML", help="print the settings of a YAML, as of --config-name"
    )
    parser.add_argument("--config-dir", metavar="DIR", help="folder of a YAML of your own")
    parser.add_argument(
        "--with-defaults", action="store_true", help="with --config: what it leaves unsaid, too"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per match")


def run(arguments: argparse.Namespace) -> int:
    """Print the fields of everything registered under the name, or the settings of a YAML."""
    if arguments.config is not None:
        return _print_settings(arguments)
    if arguments.config_dir or arguments.with_defaults:
        raise EcgError("--config-dir and --with-defaults belong to --config NAME")
    everything = list(registered())
    matches = [entry for entry in everything if entry.name == arguments.name]
    if not matches:
        ours = ", ".join(f"{entry.kind} {entry.name}" for entry in everything if entry.is_ours)
        raise UnknownNameError(
            f"nothing is registered under {arguments.name!r}; this package registers: "
            f"{ours or 'nothing'}; fairseq's own names (adam, cosine, ...) work too"
        )
    for entry in matches:
        rows = list(field_rows(entry.config)) if entry.config else []
        if arguments.json:
            print(json.dumps({"kind": entry.kind, "name": entry.name, "fields": rows}))
        else:
            print("\n".join(report(entry, rows)))
    return 0


def _print_settings(arguments: argparse.Namespace) -> int:
    """Print a YAML with what it shares; a form that hydra reads again."""
    from ecg_fairseq.cli.composed_settings import as_yaml, composed_settings, full_settings

    if arguments.with_defaults:
        list(registered())
        settings = full_settings(arguments.config, arguments.config_dir)
    else:
        settings = composed_settings(arguments.config, arguments.config_dir)
    if arguments.json:
        print(json.dumps(settings))
        return 0
    print(as_yaml(settings), end="")
    return 0


def registered() -> Iterator[Registered]:
    """Import the package's registering rooms, then yield fairseq's registries entry by entry.

    Raises:
        MissingDependencyError: fairseq (or what it needs) does not import.
    """
    logging.getLogger("fairseq").setLevel(logging.WARNING)  # hints about optional packages
    try:
        from fairseq import models, registry, tasks
    except (
        Exception
    ) as error:  # vanilla fairseq raises ValueError on import, a broken torch OSError
        raise MissingDependencyError(
            f"fairseq does not import ({type(error).__name__}: {error}); "
            "`ecg-fairseq doctor` says what to type"
        ) from error
    import_registering_rooms()
    yield from _entries("task", tasks.TASK_REGISTRY, tasks.TASK_DATACLASS_REGISTRY)
    yield from _entries("model", models.MODEL_REGISTRY, models.MODEL_DATACLASS_REGISTRY)
    for kind, tables in registry.REGISTRIES.items():
        yield from _entries(kind, tables["registry"], tables["dataclass_registry"])


def import_registering_rooms() -> None:
    """Import every module of the rooms that register something (absent rooms are skipped)."""
    package = importlib.import_module("ecg_fairseq")
    present = {module.name for module in pkgutil.iter_modules(package.__path__)}
    for room in REGISTERING_ROOMS:
        if room not in present:
            continue
        folder = importlib.import_module(f"ecg_fairseq.{room}")
        for module in pkgutil.iter_modules(folder.__path__, f"ecg_fairseq.{room}."):
            importlib.import_module(module.name)


def _entries(kind: str, classes: dict, configs: dict) -> Iterator[Registered]:
    for name, cls in classes.items():
        yield Registered(kind, name, cls, configs.get(name))


def field_rows(config: type, prefix: str = "") -> Iterator[dict[str, Any]]:
    """Yield {name, type, default, choices, help} for every field; nested configs with dots.

    ``default`` is ``"required"`` for a mandatory field and ``"${group.key}"`` for one that follows
    another group's value.
    """
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name == "_name":
            continue
        hint = hints.get(field.name, field.type)
        if inspect.isclass(hint) and dataclasses.is_dataclass(hint):
            yield from field_rows(hint, f"{prefix}{field.name}.")
            continue
        yield {
            "name": prefix + field.name,
            "type": type_name(hint),
            "default": default_of(field),
            "choices": choices_of(hint),
            "help": " ".join(str(field.metadata.get("help", "")).split()),
        }


def type_name(hint: Any) -> str:
    """Return a type as one would write it: ``int``, ``List[str]``, ``Optional[float]``."""
    if choices_of(hint):
        return "choice"
    if typing.get_origin(hint) is None and inspect.isclass(hint):
        return hint.__name__
    return str(hint).replace("typing.", "")


def choices_of(hint: Any) -> list[str] | None:
    """Return the allowed values of an enumeration (fairseq's ChoiceEnum), else None."""
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return [str(member.value) for member in hint]
    return None


def default_of(field: dataclasses.Field) -> Any:
    """Return a field's default as a JSON value, or ``"required"``."""
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        value = field.default
    if value is dataclasses.MISSING or value == "???":  # omegaconf's mark of a mandatory value
        return "required"
    if isinstance(value, enum.Enum):
        return value.value
    return value if isinstance(value, str | int | float | list | dict | None) else str(value)


def report(entry: Registered, rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines that are printed for one registered thing."""
    lines = [f"{entry.kind} {entry.name}  ({entry.cls.__module__}.{entry.cls.__qualname__})"]
    summary = inspect.cleandoc(entry.cls.__doc__ or "")
    if summary:
        lines.append(f"  {summary.splitlines()[0]}")
    if entry.config is None:
        lines.append("  no dataclass: usable through fairseq-train only, not from a YAML")
    elif not rows:
        lines.append("  has no fields")
    for row in rows:
        default = "required" if row["default"] == "required" else f"= {row['default']!r}"
        lines.append(f"  {row['name']}: {row['type']} {default}")
        if row["choices"]:
            lines.append(f"      one of {', '.join(row['choices'])}")
        if row["help"]:
            lines.append(f"      {row['help']}")
    return lines
