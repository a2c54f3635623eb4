"""What others have added to a manifest that is prepared once more: its tokenizer, and token caches.

The entry of a tokenizer outlives the rewriting of ``meta.json``, also when that is interrupted, as
long as recipe, splits and signals are what it was trained on.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json, write_json
from ecg_fairseq.records.manifest.store import Shard
from ecg_fairseq.records.preparation.folder import TOKENS_FOLDER, remove
from ecg_fairseq.records.preparation.options import PrepareOptions
from ecg_fairseq.records.preparation.shard_jobs import WORK_FOLDER

_KEPT_FILE = "registered.json"


def read_registered(folder: Path) -> dict[str, Any]:
    """Return tokenizer, recipe, split and store of a manifest as it is; empty without one.

    Where ``meta.json`` is missing because a preparation was interrupted, its note is read.
    """
    try:
        if not (folder / "meta.json").exists():
            kept = folder / WORK_FOLDER / _KEPT_FILE
            return dict(read_json(kept, ManifestError, "note of a tokenizer"))
        meta = read_json(folder / "meta.json", ManifestError, "manifest description")
        return {
            "tokenizer": meta["tokenizer"],
            "recipe": meta["recipe"]["hash"],
            "split": meta["split"]["hash"],
            "store": [shard["sha256"] for shard in meta["store"]["shards"]],
        }
    except (ManifestError, KeyError, TypeError, ValueError):
        return {}  # nothing there, or damaged: it is about to be written anew


def note_registered(folder: Path, earlier: dict[str, Any]) -> None:
    """Keep what :func:`read_registered` found until ``meta.json`` is written again."""
    if isinstance(earlier.get("tokenizer"), dict):
        write_json(folder / WORK_FOLDER / _KEPT_FILE, earlier)


def keep_registered(
    options: PrepareOptions, earlier: dict[str, Any], split_hash: str, shards: Sequence[Shard]
) -> dict[str, Any] | None:
    """Return the entry of the tokenizer that was registered and still fits.

    Token caches are deleted when the store has changed or ``overwrite`` is on.

    Args:
        options: of the preparation that is about to be finished.
        earlier: what :func:`read_registered` found before.
        split_hash: of the patients' splits as they will be.
        shards: of the store as it is now.

    Raises:
        ManifestError: a tokenizer is registered that was trained on other splits, signals or
            another recipe, and ``overwrite`` is off.
    """
    present = {
        "recipe": options.recipe.hash(),
        "split": split_hash,
        "store": [shard.sha256 for shard in shards],
    }
    changed = [name for name in present if earlier.get(name) != present[name]]
    if options.overwrite or "store" in changed:
        remove(options.out / TOKENS_FOLDER)
    entry = earlier.get("tokenizer")
    if not isinstance(entry, dict):
        return None
    if changed:
        _refuse_or_say(options, entry, changed)
        return None
    return entry


def forget_registered(folder: Path) -> None:
    """Remove the note of an entry that ``meta.json`` holds again."""
    remove(folder / WORK_FOLDER / _KEPT_FILE)


def _refuse_or_say(options: PrepareOptions, entry: dict[str, Any], changed: list[str]) -> None:
    what = {"recipe": "the recipe", "split": "the splits", "store": "the signals"}
    reasons = " and ".join(what[name] for name in changed)
    if not options.overwrite:
        if (options.out / "meta.json").exists():
            forget_registered(options.out)
        raise ManifestError(
            f"{options.out} has the registered ECG tokenizer {entry.get('path')}, and {reasons} "
            "that it was trained on would change; choose another --out, or give --overwrite and "
            "train a tokenizer again"
        )
    print(
        f"{options.out}: {reasons} changed, so the ECG tokenizer {entry.get('path')} is registered "
        "no more; train one again",
        file=sys.stderr,
    )
