"""Where the segments of a task lie, and what is known about how they were made.

``task.data`` is one of our manifest folders, a folder inside one, or a folder of fairseq-signals'
``{split}.tsv`` files. Only ours say from which recipe and patients they come (see
``records/manifest/provenance.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.provenance import Provenance, provenance_of

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
        provenance: what the manifest says of itself; knows nothing without a manifest.
    """

    path: Path
    manifest: Path | None = None
    provenance: Provenance = field(default=Provenance(), compare=False)

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
        return cls(path, manifest, provenance_of(manifest))

    def tsv(self, name: str) -> Path:
        """Return the path of a list such as ``train``; ManifestError if there is none."""
        path = self.path / f"{name}.tsv"
        if not path.is_file():
            found = sorted(file.stem for file in self.path.glob("*.tsv"))
            raise ManifestError(
                f"{path} does not exist; {self.path} has lists of: {', '.join(found) or 'nothing'}"
            )
        return path

    @property
    def dataset(self) -> str | None:
        """Name of the dataset, where known."""
        return self.provenance.dataset

    @property
    def recipe(self) -> Mapping[str, str] | None:
        """``name`` and ``hash`` of how signals were prepared, where known."""
        return self.provenance.recipe

    @property
    def split_hash(self) -> str | None:
        """Hash of the patients' splits, where known."""
        return self.provenance.split_hash


def _is_manifest(folder: Path) -> bool:
    return (folder / "meta.json").is_file()
