"""Whether a checkpoint, a tokenizer and a manifest may meet: recipe, leads, tokenizer, patients.

Nobody that any stage of a checkpoint was trained on may be tested on. A checkpoint therefore keeps
the patients of all its stages as hashes (see ``patient_hashes.py``), which are compared with those
on the valid and test splits of a manifest. Checkpoints that keep none (older ones, and those of
other projects) are judged by the hash of their split. ``external_test`` lifts this check of the
patients, and no other. Nothing else in the package compares such hashes.
"""

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import CheckpointError, ManifestError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.manifest.patient_hashes import (
    Hashes,
    families_of,
    joined_hashes,
    packed_hashes,
    patient_hashes,
    shared_patients,
    unpacked_hashes,
)
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import input_hash, named_version

logger = logging.getLogger(__name__)
TRAINED_ON = ("train",)
TESTED_ON = ("valid", "test")
_HOW_TO_TEST = (
    "Use the manifest it was trained with, or one of the same splits; for a test on patients that "
    "are known to be others, set task.external_test=true (--external-test)"
)


@dataclass(frozen=True)
class Stage:
    """An earlier stage of a training: the data it was trained on.

    Attributes:
        has_patients: whether its training patients are among those that the checkpoint keeps.
    """

    dataset: str | None
    split_hash: str | None
    has_patients: bool


@dataclass(frozen=True, eq=False)
class Provenance:
    """What data something comes from. What is not known is None.

    Attributes:
        dataset: name of the dataset.
        recipe: ``name`` and ``hash`` of how signals were prepared.
        leads: names of the rows that a network reads, in order.
        tokenizer: SHA-256 of the tokenizer of ECG signals.
        split_hash: of the patients' splits.
        data_sha256: of all signals and questions of the manifest.
        patients: hashes of all patients trained on, whatever the stage.
        earlier: the stages before.
        is_simulated: whether the data are known to be simulated.
        manifest: folder of present data; a checkpoint has none.
    """

    dataset: str | None = None
    recipe: Mapping[str, str] | None = None
    leads: tuple[str, ...] | None = None
    tokenizer: str | None = None
    split_hash: str | None = None
    data_sha256: str | None = None
    patients: Hashes | None = None
    earlier: tuple[Stage, ...] = ()
    is_simulated: bool = False
    manifest: Path | None = None

    def reading(self, leads: Sequence[str] | None, pads_leads: bool = False) -> "Provenance":
        """Return the same for a network that reads some of the leads.

        Args:
            leads: in order; None for all that are stored.
            pads_leads: the network always reads the 12 canonical rows, so that a lead keeps its
                row whichever others are loaded.
        """
        rows = CANONICAL_LEADS if pads_leads else tuple(leads) if leads else self.leads
        return replace(self, leads=rows)

    def training_patients(self) -> Hashes | None:
        """Return the hashes of the patients trained on; of present data, of those to train on.

        Raises:
            ManifestError: the manifest's table of records is missing or damaged.
        """
        if self.patients is not None or self.manifest is None or self.dataset is None:
            return self.patients
        return patient_hashes(self.manifest, self.dataset, TRAINED_ON)

    def after(self, earlier: "Provenance") -> "Provenance":
        """Return what a training on these data is that begins with the weights of another one."""
        known = [part.training_patients() for part in (self, earlier)]
        stages = [*self.earlier, *earlier.earlier]
        if earlier.split_hash is not None:
            stages.append(Stage(earlier.dataset, earlier.split_hash, known[1] is not None))
        patients = [part for part in known if part is not None]
        return replace(
            self,
            patients=joined_hashes(patients) if patients else None,
            earlier=tuple(dict.fromkeys(stages)),
        )

    def continued(self, before: "Provenance") -> "Provenance":
        """Return what a resumed training is: on the same data, with the stages it had before."""
        if before.patients is None:
            return self
        return replace(self, patients=before.patients, earlier=before.earlier)

    def to_state(self, is_text: bool = False) -> dict[str, Any]:
        """Return what a checkpoint keeps, in plain types.

        Args:
            is_text: hashes as base64, for JSON files, instead of as bytes.
        """
        patients = self.training_patients()
        state: dict[str, Any] = {
            "dataset": self.dataset,
            "recipe": dict(self.recipe) if self.recipe else None,
            "split_hash": self.split_hash,
        }
        optional = {
            "data_sha256": self.data_sha256,
            "leads": None if self.leads is None else list(self.leads),
            "ecg_tokenizer_sha256": self.tokenizer,
            "patients": None if patients is None else packed_hashes(patients, is_text),
            "earlier": [asdict(stage) for stage in self.earlier] or None,
            "simulated": self.is_simulated or None,
        }
        return state | {key: value for key, value in optional.items() if value is not None}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], path: Path | str = "the checkpoint"
    ) -> "Provenance":
        """Return what :meth:`to_state` gave, or what an older checkpoint keeps.

        Raises:
            CheckpointError: it was changed after training.
        """
        recipe = state.get("recipe")
        leads = state.get("leads")
        try:
            recipe = json.loads(recipe) if isinstance(recipe, str) else recipe
            patients = state.get("patients")
            return cls(
                dataset=state.get("dataset"),
                recipe={key: str(recipe[key]) for key in ("name", "hash")} if recipe else None,
                leads=None if leads is None else tuple(leads),
                tokenizer=state.get("ecg_tokenizer_sha256"),
                split_hash=state.get("split_hash"),
                data_sha256=state.get("data_sha256"),
                patients=None if patients is None else unpacked_hashes(patients),
                earlier=tuple(Stage(**stage) for stage in state.get("earlier") or ()),
                is_simulated=state.get("simulated") is True,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"{path} does not say properly what it was trained on ({error!r}); it was changed "
                "after training"
            ) from error


def provenance_of(manifest: Path, tokenizer: str | None = None) -> Provenance:
    """Return what a manifest folder says of itself; only ``meta.json`` is read.

    Args:
        manifest: the folder.
        tokenizer: SHA-256 of the tokenizer that encodes its signals, if one does.

    Raises:
        ManifestError: it is missing, damaged, or not a manifest's.
    """
    meta = read_json(manifest / "meta.json", ManifestError, "manifest description")
    try:
        strips = (meta.get("layout") or {}).get("strips")
        return Provenance(
            dataset=str(meta["dataset"]),
            recipe={key: str(meta["recipe"][key]) for key in ("name", "hash")},
            leads=tuple(str(strip["lead"]) for strip in strips) if strips else None,
            tokenizer=tokenizer,
            split_hash=str(meta["split"]["hash"]),
            data_sha256=meta.get("data_sha256"),
            is_simulated=meta.get("simulated") is True,
            manifest=manifest,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{manifest}/meta.json does not describe a manifest of ecg_fairseq ({error!r}); make "
            "the manifest anew"
        ) from error


# Checks -------------------------------------------------------------------------------------------


def check(
    trained: Provenance, present: Provenance, checkpoint: str, external_test: bool = False
) -> None:
    """Refuse a checkpoint trained on data made in another way, or on patients to be tested on.

    Args:
        trained: of the checkpoint.
        present: of the data; where they are no manifest's, only what is known is compared.
        checkpoint: what messages call the checkpoint.
        external_test: do not compare patients.

    Raises:
        CheckpointError: names both sides.
    """
    where = str(present.manifest or "the data")
    _check_tokenizers(trained, present, checkpoint)
    if not trained.recipe or not present.recipe:
        unknown = where if trained.recipe else checkpoint
        _warn_once(
            f"{unknown} does not say how its signals were prepared and which patients are on which "
            "split, so neither is compared; ECG-FM's weights need recipe ecg_fm (500 Hz, z-scored)"
        )
    elif not _is_same_input(trained.recipe, present.recipe):
        wanted = named_version(trained.recipe["hash"]) or trained.recipe["name"]
        raise CheckpointError(
            f"{checkpoint} was trained on recipe {_named(trained)}, {where} was made with "
            f"{_named(present)}; make the manifest anew with --recipe {wanted}"
        )
    if trained.leads and present.leads and trained.leads != present.leads:
        raise CheckpointError(
            f"{checkpoint} was trained on leads {', '.join(trained.leads)}, it would read "
            f"{', '.join(present.leads)} here; choose the same leads in the same order "
            "(task.leads_to_load)"
        )
    if not external_test and present.split_hash is not None:
        _check_patients(trained, present, checkpoint)


def _check_tokenizers(trained: Provenance, present: Provenance, checkpoint: str) -> None:
    if trained.tokenizer and present.tokenizer and trained.tokenizer != present.tokenizer:
        raise CheckpointError(
            f"{checkpoint} was trained with ECG tokenizer {trained.tokenizer[:12]}, the manifest's "
            f"is {present.tokenizer[:12]}; register the tokenizer it was trained with "
            "(task.ecg_tokenizer) or use its own manifest"
        )


def _check_patients(trained: Provenance, present: Provenance, checkpoint: str) -> None:
    if trained.split_hash == present.split_hash and not trained.earlier:
        return  # the same patients on the same splits
    known = trained.patients
    own = Stage(trained.dataset, trained.split_hash, known is not None)
    for stage in (own, *trained.earlier):
        if not stage.has_patients and stage.split_hash is not None:
            _check_split(stage, present, checkpoint)
    if known is None:
        if trained.split_hash is None and trained.recipe:
            _warn_once(f"{checkpoint} does not say who its patients are, so they are not compared")
        return
    if present.manifest is None or present.dataset is None:
        return
    tested = patient_hashes(present.manifest, present.dataset, TESTED_ON)
    for family, number in shared_patients(known, tested).items():
        if number is None:
            raise CheckpointError(
                f"{checkpoint} was trained on patients of {family} under other ids than those of "
                f"{present.manifest} (a copy that renamed its recordings), so that a patient to be "
                f"tested on may have been trained on. {_HOW_TO_TEST}"
            )
        raise CheckpointError(
            f"{checkpoint} was trained on {number} of the patients or recordings of {family} that "
            f"{present.manifest} (dataset {present.dataset}) keeps for its valid and test splits. "
            f"{_HOW_TO_TEST}"
        )


def _check_split(stage: Stage, present: Provenance, checkpoint: str) -> None:
    """Judge a stage whose patients are not known by its split."""
    if stage.split_hash == present.split_hash:
        return
    if not _may_share_patients(stage.dataset, present.dataset):
        logger.info(f"{checkpoint} was trained on {stage.dataset}, not {present.dataset}")
        return
    raise CheckpointError(
        f"{checkpoint} was trained on split {str(stage.split_hash)[:12]} of {stage.dataset}, "
        f"{present.manifest or 'the data'} has split {str(present.split_hash)[:12]} of "
        f"{present.dataset}, and the checkpoint does not say who its patients are: a patient to be "
        f"tested on may have been trained on. {_HOW_TO_TEST}"
    )


def _may_share_patients(first: str | None, second: str | None) -> bool:
    """Whether two datasets have a family in common; an unknown dataset may be any."""
    if not first or not second:
        return True
    return not families_of(first).isdisjoint(families_of(second))


def check_resumed(before: Provenance, present: Provenance, checkpoint: Path | str) -> None:
    """Refuse to go on with a training on other data than it began with.

    Args:
        before: of the checkpoint in the folder that the training writes to.
        present: of the data.
        checkpoint: its path.

    Raises:
        CheckpointError: says what differs.
    """
    recipes = (before.recipe, present.recipe)
    is_same_input = all(recipes) and _is_same_input(*recipes)  # type: ignore[arg-type]
    pairs = {
        "dataset": (before.dataset, present.dataset),
        "recipe": (_named(before), _named(present)),
        "leads": (_listed(before.leads), _listed(present.leads)),
        "ECG tokenizer": (before.tokenizer, present.tokenizer),
        "split": (before.split_hash, present.split_hash),
        "signals and questions": (before.data_sha256, present.data_sha256),
    }
    differs = [
        f"{what} {_short(was)} there, {_short(is_now)} here"
        for what, (was, is_now) in pairs.items()
        if was and is_now and was != is_now and not (what == "recipe" and is_same_input)
    ]
    if differs:
        raise CheckpointError(
            f"{checkpoint} was trained on other data than {present.manifest or 'these'}: "
            f"{'; '.join(differs)}. A training is resumed on the data it began with: give those "
            "(task.data), or start anew with another checkpoint.save_dir, from these weights with "
            f"checkpoint.finetune_from_model={checkpoint}"
        )


def check_tokenizer(
    recipe: Mapping[str, str] | None,
    split_hash: str | None,
    present: Provenance,
    external_test: bool = False,
) -> None:
    """Refuse a tokenizer that was made for another recipe or on another split.

    Args:
        recipe: the tokenizer's, None where it does not say one.
        split_hash: the tokenizer's, None where it was not trained on a manifest.
        present: of the manifest.
        external_test: do not compare splits.

    Raises:
        ManifestError: names both sides.
    """
    ours = present.recipe or {}
    if recipe is not None and not (ours and _is_same_input(recipe, ours)):
        raise ManifestError(
            f"the tokenizer was made for recipe {recipe['name']} ({recipe['hash'][:12]}), the "
            f"manifest has {_named(present)}; train a tokenizer on this manifest"
        )
    if split_hash not in (None, present.split_hash) and not external_test:
        raise ManifestError(
            f"the tokenizer was trained on split {str(split_hash)[:12]}, the manifest has split "
            f"{str(present.split_hash)[:12]}: it may have seen patients to be tested on. Train a "
            "tokenizer on this manifest, or set task.external_test=true for a test on patients "
            "that are known to be others"
        )


def check_registered(found: str, registered: str, tokenizer: Path) -> None:
    """Refuse a tokenizer file whose SHA-256 is not the one in ``meta.json``; ManifestError."""
    if found != registered:
        raise ManifestError(
            f"{tokenizer} is not the tokenizer that meta.json names (hash {found[:12]}, expected "
            f"{registered[:12]}); train it again"
        )


def _named(provenance: Provenance) -> str | None:
    recipe = provenance.recipe
    return f"{recipe['name']} ({recipe['hash'][:12]})" if recipe else None


def _is_same_input(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether a network that was trained on segments of one recipe may read those of the other."""
    return input_hash(first["hash"]) == input_hash(second["hash"])


def _listed(leads: Sequence[str] | None) -> str | None:
    return ", ".join(leads) if leads else None


def _short(text: str | None) -> str:
    """Return a hash's beginning, other texts whole."""
    is_hash = text is not None and len(text) == 64 and " " not in text
    return str(text)[:12] if is_hash else str(text)


@functools.lru_cache(maxsize=256)
def _warn_once(message: str) -> None:
    logger.warning(message)
