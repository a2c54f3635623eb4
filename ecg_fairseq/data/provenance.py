"""Whether checkpoint, tokenizer and manifest belong together: same recipe, tokenizer and split."""

import json
from typing import Any

from ecg_fairseq.errors import CheckpointError, ManifestError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.tokenizer import EcgTokens, open_tokens


def check_checkpoint_matches(
    state: dict[str, Any], manifest: Manifest, ecg_tokenizer: EcgTokens, external_test: bool
) -> None:
    """Refuse to evaluate a checkpoint on data prepared in another way or split in another way.

    Raises:
        CheckpointError: names both sides.
    """
    if state["ecg_tokenizer_sha256"] != ecg_tokenizer.sha256():
        raise CheckpointError(
            f"the checkpoint was trained with ECG tokenizer {state['ecg_tokenizer_sha256'][:12]}, "
            f"the manifest's is {ecg_tokenizer.sha256()[:12]}; register the tokenizer it was "
            "trained with (task.ecg_tokenizer) or use its own manifest"
        )
    trained, given = json.loads(state["recipe"]), manifest.meta["recipe"]
    if trained["hash"] != given["hash"]:
        raise CheckpointError(
            f"the checkpoint was trained on recipe {trained['name']} ({trained['hash'][:12]}), the "
            f"manifest was made with {given['name']} ({given['hash'][:12]}); make the manifest "
            f"anew with --recipe {trained['name']}"
        )
    if state["split_hash"] != manifest.split_hash and not external_test:
        raise CheckpointError(
            f"the checkpoint was trained on split {state['split_hash'][:12]}, the manifest has "
            f"split {manifest.split_hash[:12]}: a patient to be tested on may have been trained "
            "on. Use the manifest it was trained with, or task.external_test=true for another "
            "dataset whose patients are different people"
        )


def check_tokenizer_matches(tokenizer: EcgTokens, manifest: Manifest, external_test: bool) -> None:
    """Refuse a tokenizer that was made for another recipe or on another split.

    Raises:
        ManifestError: names both sides.
    """
    recipe = manifest.meta["recipe"]
    if tokenizer.recipe is not None and tokenizer.recipe["hash"] != recipe["hash"]:
        raise ManifestError(
            f"the tokenizer was made for recipe {tokenizer.recipe['name']} "
            f"({tokenizer.recipe['hash'][:12]}), the manifest has {recipe['name']} "
            f"({recipe['hash'][:12]}); train a tokenizer on this manifest"
        )
    if tokenizer.split_hash not in (None, manifest.split_hash) and not external_test:
        raise ManifestError(
            f"the tokenizer was trained on split {str(tokenizer.split_hash)[:12]}, the manifest "
            f"has split {manifest.split_hash[:12]}: it may have seen patients to be tested on. "
            "Train a tokenizer on this manifest, or set task.external_test=true for another "
            "dataset whose patients are different people"
        )


def registered_tokenizer(manifest: Manifest, path: str | None) -> EcgTokens:
    """Load the tokenizer named in the settings or the manifest, and check what it was made for."""
    entry = manifest.meta.get("tokenizer")
    if path is None and not entry:
        raise ManifestError(
            f"{manifest.path} has no tokenizer yet: run `ecg-fairseq tokenizer train --input "
            f"{manifest.path} --num-merges N --out tokenizer.json`, or set task.ecg_tokenizer"
        )
    tokenizer = open_tokens(path or manifest.path / entry["path"])
    if path is None and tokenizer.sha256() != entry["sha256"]:
        raise ManifestError(
            f"{manifest.path / entry['path']} is not the tokenizer that meta.json names (hash "
            f"{tokenizer.sha256()[:12]}, expected {entry['sha256'][:12]}); train it again"
        )
    return tokenizer
