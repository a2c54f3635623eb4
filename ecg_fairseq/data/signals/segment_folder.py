"""Where the segments of a task lie, and what is known about how they were made.

``task.data`` is one of our manifest folders, a folder inside one, or a folder of fairseq-signals'
``{split}.tsv`` files. Only ours say from which recipe and split they come; that is kept in every
checkpoint, so that a later stage cannot test on patients that an earlier one was trained on.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import CheckpointError, ManifestError
from ecg_fairseq.files import read_json

logger = logging.getLogger(__name__)
# Kind of list -> the manifest's sub-folder and what it takes to have one.
_SUBFOLDERS = {
    "cmsc": "no recording has two segments; make the manifest with a recipe whose windows are "
    "shorter than the recordings (ecg_fm)",
    "identification": "no patient of the valid or test side has two recordings",
}
# fairseq-signals' name of the folder of plain lists; in a manifest they lie at the top.
_PLAIN = "segmented"


@dataclass(frozen=True)
class SegmentFolder:
    """A folder of segment lists.

    Attributes:
        path: holds ``{split}.tsv``.
        manifest: our manifest folder that it belongs to; None for fairseq-signals' folders.
        dataset: its dataset's name; None where unknown.
        recipe: ``name`` and ``hash`` of how signals were prepared; None where unknown.
        split_hash: of the patients' sides; None where unknown.
    """

    path: Path
    manifest: Path | None = None
    dataset: str | None = None
    recipe: dict[str, str] | None = None
    split_hash: str | None = None

    @classmethod
    def open(cls, data: Path | str, kind: str = "plain") -> "SegmentFolder":
        """Find the lists of a kind.

        Args:
            data: what ``task.data`` says.
            kind: ``plain``, ``cmsc`` or ``identification``.

        Raises:
            ManifestError: there is no such folder, or the manifest has no lists of this kind.
        """
        data = Path(data).resolve()
        if not data.exists() and data.name == _PLAIN and _is_manifest(data.parent):
            data = data.parent
        if not data.is_dir():
            raise ManifestError(
                f"task.data={data} is not a folder; give a manifest folder (made by a script of "
                "manifests/) or a folder of fairseq-signals' train.tsv, valid.tsv and test.tsv"
            )
        path = data
        if kind in _SUBFOLDERS and _is_manifest(data):
            path = data / kind
            if not path.is_dir():
                raise ManifestError(f"{data} has no {kind}/ lists: {_SUBFOLDERS[kind]}")
        manifest = next((folder for folder in (data, data.parent) if _is_manifest(folder)), None)
        if manifest is None:
            return cls(path)
        return cls(path, manifest, **_facts(manifest))

    def tsv(self, name: str) -> Path:
        """Return the path of a list such as ``train``; ManifestError if there is none."""
        path = self.path / f"{name}.tsv"
        if not path.is_file():
            found = sorted(file.stem for file in self.path.glob("*.tsv"))
            raise ManifestError(
                f"{path} does not exist; {self.path} has lists of: {', '.join(found) or 'nothing'}"
            )
        return path

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, in plain types."""
        return {
            "dataset": self.dataset,
            "recipe": dict(self.recipe) if self.recipe else None,
            "split_hash": self.split_hash,
        }


def check_same_source(
    trained: Mapping[str, Any], folder: SegmentFolder, checkpoint: str, allow_other_split: bool
) -> None:
    """Refuse a checkpoint trained on signals made in another way, or on patients to be tested on.

    Args:
        trained: what :meth:`SegmentFolder.state` gave in training; foreign checkpoints have none.
        folder: the present data.
        checkpoint: what the message calls the checkpoint.
        allow_other_split: do not compare splits.

    Raises:
        CheckpointError: names both sides.
    """
    theirs, ours = trained.get("recipe"), folder.recipe
    if not theirs or not ours:
        unknown = checkpoint if not theirs else str(folder.path)
        logger.warning(
            f"{unknown} does not say how its signals were prepared and which patients are on which "
            "side, so neither is compared; ECG-FM's weights need recipe ecg_fm (500 Hz, z-scored)"
        )
        return
    if theirs["hash"] != ours["hash"]:
        raise CheckpointError(
            f"{checkpoint} was trained on recipe {theirs['name']} ({theirs['hash'][:12]}), "
            f"{folder.path} was made with {ours['name']} ({ours['hash'][:12]}); make the manifest "
            f"anew with --recipe {theirs['name']}"
        )
    if trained.get("split_hash") == folder.split_hash or allow_other_split:
        return
    if not _share_a_dataset(trained.get("dataset"), folder.dataset):
        logger.info(f"{checkpoint} was trained on {trained.get('dataset')}, not {folder.dataset}")
        return
    raise CheckpointError(
        f"{checkpoint} was trained on split {str(trained.get('split_hash'))[:12]} of "
        f"{trained.get('dataset')}, {folder.path} has split {str(folder.split_hash)[:12]} of "
        f"{folder.dataset}: a patient to be tested on may have been trained on. Use one manifest "
        "for both stages, or task.allow_other_split=true where the patients are different people"
    )


def _share_a_dataset(first: str | None, second: str | None) -> bool:
    """Whether two dataset names, such as ``ptb_xl`` or ``ptb_xl+mimic_iv``, have a part in common.

    An unknown dataset may be any.
    """
    if not first or not second:
        return True
    return bool(set(first.split("+")) & set(second.split("+")))


def _is_manifest(folder: Path) -> bool:
    return (folder / "meta.json").is_file()


def _facts(manifest: Path) -> dict[str, Any]:
    meta = read_json(manifest / "meta.json", ManifestError, "manifest description")
    try:
        recipe = {key: str(meta["recipe"][key]) for key in ("name", "hash")}
        return {
            "dataset": str(meta["dataset"]),
            "recipe": recipe,
            "split_hash": str(meta["split"]["hash"]),
        }
    except (KeyError, TypeError) as error:
        raise ManifestError(
            f"{manifest}/meta.json does not describe a manifest of ecg_fairseq ({error!r}); make "
            "the manifest anew"
        ) from error
