"""Whether a manifest's files are still what its ``meta.json`` says, checked beside a training.

A byte that a disk has lost is no error to numpy: it is another number. Sizes are compared at once,
contents by a thread that reads the store once while the training runs.
"""

import threading
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import sha256_of_file
from ecg_fairseq.records.manifest.folder import read_meta
from ecg_fairseq.records.manifest.store import Store

RECORDS_FILE = "records.tsv"
RECORDS_KEY = "records_sha256"


class ContentCheck:
    """A check of the contents of a manifest that goes on in the background."""

    def __init__(self, folder: Path | str) -> None:
        """Compare sizes and the table of records at once, and begin with the contents.

        Raises:
            ManifestError: a shard is missing or of another size, or the records are others.
        """
        self._store = _checked_store(Path(folder))
        self._error: EcgError | None = None
        self._thread = threading.Thread(target=self._verify, daemon=True)
        self._thread.start()

    def _verify(self) -> None:
        try:
            self._store.verify()
        except EcgError as error:
            self._error = error

    def raise_if_damaged(self) -> None:
        """Raise what was found so far: ManifestError names a damaged shard."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Wait until all was read; ManifestError names a damaged shard."""
        self._thread.join()
        self.raise_if_damaged()


def check_contents(folder: Path | str) -> None:
    """Compare store and records of a manifest with ``meta.json``, and wait for the result.

    Raises:
        ManifestError: names what is damaged.
    """
    _checked_store(Path(folder)).verify()


def check_records(folder: Path, meta: dict[str, Any]) -> None:
    """Refuse a table of records that is not the one ``meta.json`` was written with.

    Manifests of earlier versions do not state it.

    Raises:
        ManifestError: it was changed, sorted otherwise, or is another manifest's.
    """
    stated, path = meta.get(RECORDS_KEY), folder / RECORDS_FILE
    if stated is not None and sha256_of_file(path) != stated:
        raise ManifestError(
            f"{path} is not the table that {folder}/meta.json was written with (hash "
            f"{str(stated)[:12]} expected): it was edited, sorted or copied from another manifest, "
            "and labels, rows and questions go by its lines; make the manifest anew"
        )


def _checked_store(folder: Path) -> Store:
    meta = read_meta(folder)
    check_records(folder, meta)
    try:
        shape = tuple(int(size) for size in meta["layout"]["shape"])
        store = Store(folder, meta["store"], shape)
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(
            f"{folder}/meta.json is incomplete ({error!r}); make the manifest anew"
        ) from error
    store.check_sizes()
    return store
