"""Merges folders that ``--shard i/n`` wrote apart into the manifest that a single run writes.

Every part keeps its shards, the plan they follow, and the command that made it. The merged folder
gets the shards of all parts (linked where the file system allows, else copied, and checked), and
the same script then finishes it as it finishes a single run: sides, statistics and questions need
all records. Only scripts of this project's ``manifests/`` folder are run, whatever a part says.
"""

import argparse
import contextlib
import importlib.util
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import ecg_fairseq
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import read_json, sha256_of_file, write_json
from ecg_fairseq.records.manifest.store import shard_file
from ecg_fairseq.records.preparation.changed_inputs import input_states
from ecg_fairseq.records.preparation.folder import PLAN_FILE, preparation_plan
from ecg_fairseq.records.preparation.prepare import prepare, records_per_shard
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.preparation.shard_jobs import WORK_FOLDER, done_file

COMMAND_FILE = "command.json"
_SCRIPT_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
# A part may differ from the others in these, and the merged run takes none of them.
_OWN_OPTIONS = ("shard", "out", "workers", "progress", "overwrite", "debug", "dry_run")


@dataclass(frozen=True)
class _Part:
    folder: Path
    plan: dict[str, Any]
    command: dict[str, Any]


def scripts_folder() -> Path:
    """Return the ``manifests/`` folder of the checkout that is installed."""
    return Path(ecg_fairseq.__file__).resolve().parents[1] / "manifests"


def write_command(folder: Path, script: Path | str, argv: Sequence[str]) -> None:
    """Note which dataset script made a part, with which arguments and where it was started."""
    command = {"script": Path(script).stem, "arguments": list(argv), "folder": os.getcwd()}
    write_json(folder / WORK_FOLDER / COMMAND_FILE, command)


def merge(parts: Sequence[Path], out: Path, workers: int = 1) -> dict[str, Any]:
    """Merge parts into ``out``; return {records, skipped, segments, seconds}.

    Raises:
        ManifestError: a part is missing, unfinished or damaged, parts do not belong together, the
            raw data changed, or ``out`` holds something else.
        EcgError: the disk is full or cannot be written.
    """
    from ecg_fairseq.records.preparation.command_line import dataset_from, options_from

    found = [_open_part(folder) for folder in parts]
    _check_same(found)
    chosen = _choose_shards(found)
    # The dataset first: where the raw data are gone, nothing is to be written.
    module = _script(found[0])
    arguments = _arguments(module, found[0], out, workers)
    raw_dataset = dataset_from(arguments, module.make_dataset)
    options = options_from(arguments)
    if preparation_plan(raw_dataset, options) != found[0].plan or _is_changed(raw_dataset, chosen):
        raise ManifestError(
            f"the raw data or this program changed since {found[0].folder} was written; write all "
            "parts anew"
        )
    _check_out(out, found)
    write_json(out / WORK_FOLDER / PLAN_FILE, found[0].plan)
    for index, folder in chosen.items():
        _take_shard(index, folder, out)
    return prepare(raw_dataset, options)


def _is_changed(raw_dataset: RawDataset, chosen: dict[int, Path]) -> bool:
    """Say whether the files that some shard was made from are not as they were."""
    size = records_per_shard(len(raw_dataset.sources))
    states = input_states(
        [raw_dataset.sources[index * size : (index + 1) * size] for index in chosen]
    )
    made = [read_json(done_file(folder, i), ManifestError, "shard") for i, folder in chosen.items()]
    return any(item.get("inputs") != state for item, state in zip(made, states, strict=True))


def _open_part(folder: Path) -> _Part:
    if not folder.is_dir():
        raise ManifestError(f"part not found: {folder}; give folders written with --shard i/n")
    work = folder / WORK_FOLDER
    plan = read_json(work / PLAN_FILE, ManifestError, "preparation plan")
    command = read_json(work / COMMAND_FILE, ManifestError, "command of a part (--shard i/n)")
    is_command = isinstance(command, dict) and isinstance(command.get("arguments"), list)
    if not isinstance(plan, dict) or not is_command or not isinstance(plan.get("num_records"), int):
        raise ManifestError(f"{work} is damaged; write this part anew with --shard i/n")
    return _Part(folder, plan, command)


def _check_same(parts: Sequence[_Part]) -> None:
    first = parts[0]
    options = _options(first)
    for part in parts[1:]:
        names = [name for name in first.plan if part.plan.get(name) != first.plan[name]]
        others = _options(part)
        names += [name for name in options if others.get(name) != options[name]]
        if names or part.plan.keys() != first.plan.keys():
            raise ManifestError(
                f"{first.folder} and {part.folder} are parts of different preparations (they "
                f"differ in {', '.join(names) or 'their plans'}); give the parts of one"
            )


def _options(part: _Part) -> dict[str, Any]:
    arguments = _parse(_script(part), part)
    return {name: value for name, value in vars(arguments).items() if name not in _OWN_OPTIONS} | {
        "script": part.command.get("script")
    }


def _script(part: _Part) -> ModuleType:
    """Load the dataset script of a part from this project's own folder."""
    name = str(part.command.get("script"))
    path = scripts_folder() / f"{name}.py"
    if not _SCRIPT_NAME.fullmatch(name) or not path.is_file():
        raise ManifestError(
            f"{part.folder} was written by the script {name[:60]!r}, which is not in "
            f"{scripts_folder()}; merge with the checkout that wrote it"
        )
    specification = importlib.util.spec_from_file_location(f"manifest_script_{name}", path)
    if specification is None or specification.loader is None:
        raise ManifestError(f"{path} cannot be loaded; check the checkout")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _parse(module: ModuleType, part: _Part) -> argparse.Namespace:
    """Return a part's arguments, with paths relative to where it was started made absolute."""
    try:
        arguments = module.build_parser().parse_args([str(word) for word in _words(part)])
    except SystemExit as error:
        raise ManifestError(
            f"{part.folder} was written with arguments that this version does not know; write the "
            "parts anew"
        ) from error
    for name, value in vars(arguments).items():
        if isinstance(value, Path) and not value.is_absolute():
            setattr(arguments, name, Path(str(part.command.get("folder", ""))) / value)
    return arguments


def _words(part: _Part) -> list[Any]:
    return list(part.command["arguments"])


def _arguments(module: ModuleType, part: _Part, out: Path, workers: int) -> argparse.Namespace:
    arguments = _parse(module, part)
    arguments.out, arguments.workers = out, workers
    arguments.shard, arguments.overwrite = None, False
    return arguments


def _choose_shards(parts: Sequence[_Part]) -> dict[int, Path]:
    """Return shard index -> folder that has it; ManifestError when one is missing or differs."""
    num_records = parts[0].plan["num_records"]
    total = -(-num_records // records_per_shard(num_records))
    chosen: dict[int, Path] = {}
    for index in range(total):
        having = [part.folder for part in parts if done_file(part.folder, index).is_file()]
        if len({str(_stated(index, folder)) for folder in having}) > 1:
            raise ManifestError(
                f"shard {index} differs between {', '.join(map(str, having))}; write one of these "
                "parts anew"
            )
        if having:
            chosen[index] = having[0]
    missing = sorted(set(range(total)) - set(chosen))
    if missing:
        shown = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
        raise ManifestError(
            f"{len(missing)} of {total} shards are in none of the parts (numbers {shown}); part i "
            "of n holds the shards i, i+n, i+2n, ...: run the missing --shard i/n, or give its "
            "folder too"
        )
    return chosen


def _stated(index: int, folder: Path) -> tuple[str, str]:
    """Return (file, SHA-256) of a finished shard as its part states them."""
    path = done_file(folder, index)
    value = read_json(path, ManifestError, "finished shard")
    try:
        return str(value["shard"]["file"]), str(value["shard"]["sha256"])
    except (KeyError, TypeError) as error:
        raise ManifestError(f"{path} is damaged; write this part anew") from error


def _check_out(out: Path, parts: Sequence[_Part]) -> None:
    """Refuse a folder with other content; an earlier merge of the same parts is taken up."""
    if any(out.exists() and out.samefile(part.folder) for part in parts):
        raise ManifestError(f"--out {out} is one of the parts; choose a new folder")
    if not out.exists() or not any(out.iterdir()):
        return
    plan_path = out / WORK_FOLDER / PLAN_FILE
    has_plan = plan_path.is_file()
    if not has_plan or read_json(plan_path, ManifestError, "preparation plan") != parts[0].plan:
        raise ManifestError(f"{out} is not empty; choose another --out")


def _take_shard(index: int, folder: Path, out: Path) -> None:
    """Link or copy one shard and its ``done`` file, and compare the bytes with their SHA-256."""
    name, wanted = _stated(index, folder)
    if name != shard_file(index):
        raise ManifestError(f"{done_file(folder, index)} names {name!r}; write this part anew")
    source, target = folder / name, out / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(source, target)
        if sha256_of_file(target) != wanted:
            target.unlink()
            raise ManifestError(f"{source} was changed after it was written; write this part anew")
        _link_or_copy(done_file(folder, index), done_file(out, index))
    except OSError as error:
        raise EcgError(
            f"cannot bring {source} to {out}: {error.strerror or error}; free some space or choose "
            "another --out, then run the same command again"
        ) from error


def _link_or_copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.link(source, temporary)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()  # replacing a link by a link to the same file leaves it behind
