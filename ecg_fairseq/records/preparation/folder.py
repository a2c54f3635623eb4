"""The folder of a preparation: whose it is, and what an earlier run left in it."""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import read_json, remove_incomplete, write_json
from ecg_fairseq.folder_lock import is_lock
from ecg_fairseq.records.manifest.store import STORE_FOLDER
from ecg_fairseq.records.preparation.changed_inputs import input_states
from ecg_fairseq.records.preparation.options import PrepareOptions
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.preparation.shard_jobs import WORK_FOLDER, ShardResult, load_result
from ecg_fairseq.records.source_record import SourceRecord
from ecg_fairseq.signal.recipes import named_version

PLAN_FILE = "plan.json"
COMMAND_FILE = "command.json"
TOKENS_FOLDER = "tokens"
# Hashing waits for the disk, and gives up Python's lock.
_THREADS = 4


def preparation_plan(raw_dataset: RawDataset, options: PrepareOptions) -> dict[str, Any]:
    """Return what the store's bytes depend on, besides the state of the input files.

    That state is kept with each shard: see :mod:`ecg_fairseq.records.preparation.changed_inputs`.
    """
    digest = hashlib.sha256()
    for source in raw_dataset.sources:
        entry = (source.record_id, source.path, source.array_row, source.leads, source.unit_mv)
        digest.update(repr(entry).encode("utf-8", "surrogatepass"))
    plan = {
        "dataset": raw_dataset.name,
        "recipe": options.recipe.hash(),
        "dtype": options.dtype,
        "num_records": len(raw_dataset.sources),
        "input_sha256": digest.hexdigest(),
    }
    # Absent where nothing is accepted, as in the plans of earlier versions.
    return plan | {"accept_amplitude": True} if options.accept_amplitude else plan


def write_command(folder: Path, dataset: str, argv: Sequence[str]) -> None:
    """Note which dataset a part is of, its arguments, and where the command was typed."""
    command = {"script": dataset, "arguments": list(argv), "folder": os.getcwd()}
    write_json(folder / WORK_FOLDER / COMMAND_FILE, command)


def claim_folder(raw_dataset: RawDataset, options: PrepareOptions) -> None:
    """Make sure that the folder holds nothing, or an earlier run of the same preparation.

    Parts of one store (``--shard``) may start at the same moment, so a folder without a plan is
    taken as it is and nothing is removed from it.

    Raises:
        ManifestError: it holds something else, and ``overwrite`` is off.
    """
    plan_path = options.out / WORK_FOLDER / PLAN_FILE
    plan = preparation_plan(raw_dataset, options)
    if plan_path.is_file():
        earlier = read_json(plan_path, ManifestError, "preparation plan")
        if earlier == plan:
            return
        _refuse_other_input(options, earlier.get("recipe") if isinstance(earlier, dict) else None)
        print(f"{options.out}: input or options changed, starting anew", file=sys.stderr)
        for name in ("meta.json", WORK_FOLDER, STORE_FOLDER, TOKENS_FOLDER):
            remove(options.out / name)
    elif not options.overwrite and _holds_other_files(options.out):
        raise ManifestError(
            f"{options.out} is not empty and was not made by a preparation; choose another --out, "
            "or give --overwrite to add the manifest's files to it"
        )
    write_json(plan_path, plan)


def _refuse_other_input(options: PrepareOptions, recipe_hash: Any = None) -> None:
    is_finished = (options.out / "meta.json").exists()
    if (is_finished or options.shard) and not options.overwrite:
        version = named_version(str(recipe_hash)) if recipe_hash != options.recipe.hash() else ""
        raise ManifestError(
            f"{options.out} holds a manifest made from other input, recipe or options; choose "
            "another --out, or give --overwrite to make it anew"
            + (f" (it was begun with --recipe {version})" if version else "")
        )


def _holds_other_files(folder: Path) -> bool:
    own = (WORK_FOLDER, STORE_FOLDER)
    return folder.exists() and any(
        path.name not in own and not is_lock(path) for path in folder.iterdir()
    )


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there; EcgError when that is not possible."""
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except OSError as error:
        raise EcgError(f"cannot remove {path}: {error.strerror or error}") from error


def finished_shards(
    options: PrepareOptions, parts: Mapping[int, Sequence[SourceRecord]]
) -> dict[int, ShardResult]:
    """Return the shards that an earlier run completed from the input as it is now.

    Args:
        parts: shard index -> the records that belong there.

    Raises:
        ManifestError: a finished manifest was made from files that have changed, and ``overwrite``
            is off.
    """
    found: dict[int, ShardResult] = {}
    for index, sources in parts.items():
        result = load_result(options.out, index, [source.record_id for source in sources])
        if result:
            found[index] = result
    found = _undamaged(options, found)
    states = input_states([parts[index] for index in found])
    current = {
        index: result
        for (index, result), state in zip(found.items(), states, strict=True)
        if result.inputs == state
    }
    if len(current) < len(found):
        _refuse_other_input(options)
        remove(options.out / "meta.json")
        print(
            f"{options.out}: the input of {len(found) - len(current)} shards changed, they are "
            "made anew",
            file=sys.stderr,
        )
    if current:
        kept = sum(len(parts[index]) for index in current)
        print(f"{kept} records were prepared by an earlier run", file=sys.stderr)
    return current


def _undamaged(options: PrepareOptions, found: Mapping[int, ShardResult]) -> dict[int, ShardResult]:
    """Return the shards whose bytes are as they were written."""
    with ThreadPoolExecutor(_THREADS) as pool:
        whole = list(pool.map(lambda result: result.shard.is_whole(options.out), found.values()))
    if damaged := whole.count(False):
        print(f"{options.out}: {damaged} shards are damaged, they are made anew", file=sys.stderr)
    return {
        index: result
        for (index, result), is_kept in zip(found.items(), whole, strict=True)
        if is_kept
    }


def remove_leftovers(folder: Path) -> None:
    """Delete incomplete files that killed runs left in a manifest folder and those below it."""
    for inside in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        remove_incomplete(inside)
