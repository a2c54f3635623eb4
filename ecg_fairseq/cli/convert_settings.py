"""fairseq-signals' YAML settings to ours: the second half of ``ecg-fairseq convert``.

fairseq-signals is a copy of fairseq with settings of its own; fairseq refuses a file with keys that
it does not know. Every key that is renamed, changed, added or left out is reported.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import atomic_write

SUFFIXES = (".yaml", ".yml")
_PLUGINS = ("model", "task", "criterion", "lr_scheduler", "optimizer")
_ORDER = (
    "hydra", "common", "common_eval", "checkpoint", "distributed_training", "dataset",
    "optimization", "optimizer", "lr_scheduler", "criterion", "task", "model",
)  # fmt: skip
# fairseq-signals' registered names that are others here: fairseq owns wav2vec2, clocs is not
# registered there either.
_NAMES = {"model": {"wav2vec2": "ecg_wav2vec2"}, "criterion": {"clocs": "cmsc"}}
# What every shipped YAML has: a run here needs it, whatever fairseq-signals' file says.
_NEEDED: dict[str, dict[str, Any]] = {
    "hydra": {"run": {"dir": "."}, "output_subdir": None},
    "common": {"user_dir": "${ecg_fairseq_dir:}"},
    "distributed_training": {"ddp_backend": "legacy_ddp"},
    "checkpoint": {"load_checkpoint_on_all_dp_ranks": True},
    "dataset": {"ignore_unused_valid_subsets": True},
}


@dataclass
class SettingsReport:
    """What happened to every key.

    Attributes:
        source: the file that was read.
        kept: how many settings were taken over.
        changes: one line for each other one.
    """

    source: str
    kept: int = 0
    changes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return one line for each change, then the summary."""
        return [*self.changes, f"{self.kept} settings kept, {len(self.changes)} changes"]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)


def convert_settings(source: Path | str, out: Path | str) -> SettingsReport:
    """Write a YAML for ``fairseq-hydra-train --config-dir DIR --config-name NAME``.

    Args:
        source: fairseq-signals' file.
        out: ``DIR/NAME.yaml``.

    Raises:
        EcgError: the file cannot be read, or a task, model or criterion is not known here.
    """
    import yaml

    source, out = Path(source), Path(out)
    if out.suffix not in SUFFIXES or (out.exists() and out.samefile(source)):
        raise EcgError(f"--out {out} must be another file that ends in .yaml: hydra looks for that")
    settings = _read(source)
    report = SettingsReport(str(source))
    converted = {name: _group(name, values, report) for name, values in settings.items()}
    converted = {name: values for name, values in converted.items() if values is not None}
    for name, values in _NEEDED.items():
        target = converted.setdefault(name, {})
        for key, value in values.items():
            if key not in target or target[key] != value:
                target[key] = value
                report.changes.append(f"set         {name}.{key}={value}")
    ordered = {name: converted[name] for name in _ORDER if name in converted}
    text = yaml.safe_dump({**ordered, **converted}, sort_keys=False, width=100)
    with atomic_write(out) as stream:
        stream.write(f"# @package _global_\n# Converted by ecg-fairseq from {source.name}.\n{text}")
    return report


def _read(source: Path) -> dict[str, Any]:
    import yaml

    try:
        settings = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise EcgError(f"settings {source} cannot be read: {error}") from error
    groups = settings if isinstance(settings, dict) else {}
    if not groups.get("task") or not isinstance(groups.get("model"), dict):
        raise EcgError(f"{source} has no task and model groups: it holds no training settings")
    return groups


def _group(name: str, values: Any, report: SettingsReport) -> dict[str, Any] | None:
    """Return a group with the settings that fairseq and this package know; None without any."""
    if name == "hydra":
        return values
    if not isinstance(values, dict):
        if values is not None:
            report.changes.append(f"left out    {name}={values!r}: not a group of settings")
        return None
    chosen = dict(values)
    if name in _PLUGINS:
        known = _known_by_plugin(name, chosen, report)
    else:
        known = _known_by_fairseq().get(name, KnownSettings())
        if not known:
            report.changes.append(f"left out    {name}: fairseq has no such group")
            return None
    for key in [key for key in chosen if key not in known]:
        value = chosen.pop(key)
        reason = known.retired.get(f"{name}.{key}", (None, "no such setting here"))[1]
        report.changes.append(f"left out    {name}.{key}={value!r}: {reason}")
    _change_values(name, chosen, report)
    report.kept += len(chosen)
    return chosen


class KnownSettings(set[str]):
    """Names of the settings of a group, and those that do nothing here with the reason why."""

    retired: Mapping[str, tuple[Any, str]] = MappingProxyType({})


def _known_by_plugin(group: str, values: dict[str, Any], report: SettingsReport) -> KnownSettings:
    """Return the fields of what ``_name`` names, which is renamed where it must be."""
    from ecg_fairseq.cli.describe import registered

    theirs = values.get("_name")
    ours = _NAMES.get(group, {}).get(theirs, theirs)
    found = [entry for entry in registered() if (entry.kind, entry.name) == (group, ours)]
    if not found or found[0].config is None:
        own = sorted(entry.name for entry in registered() if entry.kind == group and entry.is_ours)
        raise EcgError(f"{group}._name={theirs!r} is not known here; ours: {', '.join(own)}")
    if ours != theirs:
        values["_name"] = ours
        report.changes.append(f"renamed     {group}._name={theirs} -> {ours}")
    config = found[0].config
    known = KnownSettings({each.name for each in dataclasses.fields(config)} | {"_name"})
    known.retired = getattr(config, "retired", {})
    return known


def _known_by_fairseq() -> dict[str, KnownSettings]:
    """Return the settings of each of fairseq's own groups."""
    from fairseq.dataclass.configs import FairseqConfig

    # In fairseq-fixed the defaults of groups are their classes.
    kinds = {group.name: group.default for group in dataclasses.fields(FairseqConfig)}
    return {
        name: KnownSettings(known.name for known in dataclasses.fields(kind))
        for name, kind in kinds.items()
        if inspect.isclass(kind)
    }


def _change_values(group: str, values: dict[str, Any], report: SettingsReport) -> None:
    """Change the values that fairseq takes in another sense."""
    if group == "common" and values.get("log_format", "csv") in (None, "csv"):
        values["log_format"] = "json"
        report.changes.append(
            "set         common.log_format=json: its lines are written as metrics_*.csv, too"
        )
    if group == "distributed_training" and (values.get("distributed_port") or 0) > 0:
        port = values.pop("distributed_port")
        report.changes.append(
            f"left out    distributed_training.distributed_port={port}: with a port fairseq does "
            "not start the processes of one machine itself"
        )
