"""Merges folders that ``--shard i/n`` wrote apart into the manifest that a single run writes.

Every part keeps its shards, the plan they follow, and the command that made it. The merged folder
gets the shards of all parts (linked where the file system allows, else copied, and checked), and
the preparation then finishes it as it finishes a single run: splits, statistics and questions need
all records. The dataset is made anew from the command that a part states; which datasets there are
is for the caller to say, so nothing else is run, whatever a part says.
"""

import argparse
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import read_json, remove_incomplete, write_json
from ecg_fairseq.folder_lock import is_lock, locked_folder
from ecg_fairseq.records.manifest.store import Shard, shard_file
from ecg_fairseq.records.preparation.changed_inputs import input_states
from ecg_fairseq.records.preparation.command_line import (
    dataset_from,
    options_from,
    preparation_parser,
)
from ecg_fairseq.records.preparation.folder import (
    COMMAND_FILE,
    PLAN_FILE,
    preparation_plan,
    remove,
)
from ecg_fairseq.records.preparation.manifest_writer import SKIPPED_FILE
from ecg_fairseq.records.preparation.prepare import prepare, records_per_shard
from ecg_fairseq.records.preparation.raw_dataset import DatasetModule, RawDataset
from ecg_fairseq.records.preparation.shard_jobs import WORK_FOLDER, done_file

# Returns the dataset of a name; ManifestError when there is none.
FindDataset = Callable[[str], DatasetModule]
# A part may differ from the others in these, and the merged run takes none of them.
_OWN_OPTIONS = ("shard", "out", "workers", "progress", "overwrite", "debug", "dry_run")


@dataclass(frozen=True)
class _Part:
    folder: Path
    plan: dict[str, Any]
    command: dict[str, Any]


def merge(
    parts: Sequence[Path], out: Path, find_dataset: FindDataset, workers: int = 1
) -> dict[str, Any]:
    """Merge parts into ``out``; return {records, skipped, segments, seconds}.

    Args:
        parts: folders written with ``--shard``.
        out: folder to write.
        find_dataset: gives the dataset that a part names.
        workers: processes.

    Raises:
        ManifestError: a part is missing, unfinished or damaged, parts do not belong together, the
            raw data changed, or ``out`` holds something else.
        EcgError: the disk is full or cannot be written.
    """
    found = [_open_part(folder) for folder in parts]
    _check_same(found, find_dataset)
    chosen = _choose_shards(found)
    # The dataset first: where the raw data are gone, nothing is to be written.
    dataset = _dataset(found[0], find_dataset)
    arguments = _parse(dataset, found[0])
    arguments.out, arguments.workers = out, workers
    arguments.shard, arguments.overwrite = None, False
    raw_dataset = dataset_from(arguments, dataset)
    options = options_from(arguments)
    if preparation_plan(raw_dataset, options) != found[0].plan or _is_changed(raw_dataset, chosen):
        raise ManifestError(
            f"the raw data or this program changed since {found[0].folder} was written; write all "
            "parts anew"
        )
    with locked_folder(out, "merge"):
        _check_out(out, found)
        with _nothing_left_when_refused(out):
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


def _check_same(parts: Sequence[_Part], find_dataset: FindDataset) -> None:
    first = parts[0]
    options = _options(first, find_dataset)
    for part in parts[1:]:
        names = [name for name in first.plan if part.plan.get(name) != first.plan[name]]
        others = _options(part, find_dataset)
        names += [name for name in options if others.get(name) != options[name]]
        if names or part.plan.keys() != first.plan.keys():
            raise ManifestError(
                f"{first.folder} and {part.folder} are parts of different preparations (they "
                f"differ in {', '.join(names) or 'their plans'}); give the parts of one"
            )


def _options(part: _Part, find_dataset: FindDataset) -> dict[str, Any]:
    arguments = _parse(_dataset(part, find_dataset), part)
    return {name: value for name, value in vars(arguments).items() if name not in _OWN_OPTIONS} | {
        "script": part.command.get("script")
    }


def _dataset(part: _Part, find_dataset: FindDataset) -> DatasetModule:
    name = str(part.command.get("script"))
    try:
        return find_dataset(name)
    except ManifestError as error:
        raise ManifestError(
            f"{part.folder} was written for the dataset {name[:60]!r}, which is not in this "
            f"version: {error}"
        ) from error


def _parse(dataset: DatasetModule, part: _Part) -> argparse.Namespace:
    """Return a part's arguments; however a path was spelled, it is the one that it leads to.

    Paths are relative to where the part was started.
    """
    words = [str(word) for word in part.command["arguments"]]
    try:
        arguments = preparation_parser(dataset).parse_args(words)
    except SystemExit as error:
        raise ManifestError(
            f"{part.folder} was written with arguments that this version does not know; write the "
            "parts anew"
        ) from error
    for name, value in vars(arguments).items():
        if isinstance(value, Path):
            path = Path(str(part.command.get("folder", ""))) / value
            setattr(arguments, name, path.resolve())
    return arguments


def _choose_shards(parts: Sequence[_Part]) -> dict[int, Path]:
    """Return shard index -> folder that has it; ManifestError when one is missing or differs."""
    num_records = parts[0].plan["num_records"]
    total = -(-num_records // records_per_shard(num_records))
    chosen: dict[int, Path] = {}
    for index in range(total):
        having = [part.folder for part in parts if done_file(part.folder, index).is_file()]
        if len({_stated(index, folder) for folder in having}) > 1:
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


def _stated(index: int, folder: Path) -> Shard:
    """Return a finished shard as its part states it."""
    path = done_file(folder, index)
    value = read_json(path, ManifestError, "finished shard")
    try:
        shard = value["shard"]
        hashes = str(shard["sha256"]), str(shard.get("scaling_sha256", ""))
        return Shard(str(shard["file"]), int(shard["rows"]), *hashes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{path} is damaged; write this part anew") from error


def _check_out(out: Path, parts: Sequence[_Part]) -> None:
    """Refuse a folder with other content; an earlier merge of the same parts is taken up."""
    if any(out.exists() and out.samefile(part.folder) for part in parts):
        raise ManifestError(f"--out {out} is one of the parts; choose a new folder")
    plan_path = out / WORK_FOLDER / PLAN_FILE
    has_plan = plan_path.is_file()
    if not has_plan and not _holds_files(out):
        return
    if not has_plan or read_json(plan_path, ManifestError, "preparation plan") != parts[0].plan:
        raise ManifestError(f"{out} is not empty; choose another --out")


@contextlib.contextmanager
def _nothing_left_when_refused(out: Path) -> Iterator[None]:
    """Empty the folder again when a merge into it is refused; what stood in it before is kept.

    The list of skipped records stays: the refusal may name it. After a full disk all stays, too:
    the same command goes on there.
    """
    before = {path.name for path in out.iterdir()}
    try:
        yield
    except ManifestError:
        for path in list(out.iterdir()):
            if path.name not in before and path.name != SKIPPED_FILE:
                remove(path)
        raise


def _holds_files(out: Path) -> bool:
    """Say whether a folder holds more than what a merge leaves that was killed writing its plan."""
    work = out / WORK_FOLDER
    if work.is_dir():
        remove_incomplete(work, PLAN_FILE)
    own = (work.name, SKIPPED_FILE)
    others = [path for path in out.iterdir() if path.name not in own and not is_lock(path)]
    return bool(others) or (work.exists() and (not work.is_dir() or any(work.iterdir())))


def _take_shard(index: int, folder: Path, out: Path) -> None:
    """Link or copy one shard and its ``done`` file, and compare the bytes with their SHA-256."""
    shard = _stated(index, folder)
    name = shard.file
    if name != shard_file(index):
        raise ManifestError(f"{done_file(folder, index)} names {name!r}; write this part anew")
    source, target = folder / name, out / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(source, target)
        if shard.scaling_sha256:
            _link_or_copy(folder / shard.scaling_file, out / shard.scaling_file)
        if not shard.is_whole(out):
            target.unlink()
            raise ManifestError(f"{source} was changed after it was written; write this part anew")
        _link_or_copy(done_file(folder, index), done_file(out, index))
    except OSError as error:
        raise EcgError(
            f"cannot bring {source} to {out}: {error.strerror or error}; free some space or choose "
            "another --out, then run the same command again"
        ) from error


def _link_or_copy(source: Path, target: Path) -> None:
    remove_incomplete(target.parent, target.name)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.link(source, temporary)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()  # replacing a link by a link to the same file leaves it behind
