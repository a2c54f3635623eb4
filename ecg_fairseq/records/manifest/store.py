"""The packed store: segments in memory-mapped ``.npy`` shards, written atomically, read by row.

A shard holds ``(rows, *shape)`` values, float32 in mV or int16 in steps of ``scale_mv``. Rows are
numbered through all shards. A shard is written as a stream, so memory does not grow with its size.
"""

import bisect
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import atomic_write, sha256_of_file, sha256_of_json

DTYPES = ("float32", "int16")
# In the recipe's unit: 1 uV a step, as PTB-XL itself stores, or a thousandth of a lead's standard
# deviation. So a value is off by at most half of that, unless it is beyond +-32.767 and clipped. Of
# a standardised lead less than 0.1 % of the values can be (Chebyshev), and the rest is counted.
INT16_SCALE_MV = 0.001
INT16_LIMIT = 32767
STORE_FOLDER = "store"
_HEAL = "the command that made the manifest, typed again, makes the shard anew"
# Hashing waits for the disk, and gives up Python's lock.
_THREADS = 4


@dataclass(frozen=True)
class Shard:
    """One file of the store.

    Attributes:
        file: name relative to the manifest folder.
        rows: segments.
        sha256: of the file.
        scaling_sha256: of the file beside it with what turns its values into mV again; empty where
            there is none.
    """

    file: str
    rows: int
    sha256: str
    scaling_sha256: str = ""

    @property
    def scaling_file(self) -> str:
        """Name of the file beside it, relative to the manifest folder."""
        return f"{self.file.removesuffix('.npy')}.scaling.npy"

    def to_dict(self) -> dict[str, Any]:
        """Return the shard as a JSON object."""
        described = {"file": self.file, "rows": self.rows, "sha256": self.sha256}
        scaling = {"scaling_sha256": self.scaling_sha256}
        return described | (scaling if self.scaling_sha256 else {})

    def is_whole(self, folder: Path) -> bool:
        """Return whether its files in a manifest folder are as they were written."""
        try:
            return sha256_of_file(folder / self.file) == self.sha256 and (
                not self.scaling_sha256
                or sha256_of_file(folder / self.scaling_file) == self.scaling_sha256
            )
        except OSError:
            return False


def shard_file(index: int) -> str:
    """Return the name of a shard relative to the manifest folder."""
    return f"{STORE_FOLDER}/shard-{index:05d}.npy"


def prepared_sha256(meta: Mapping[str, Any]) -> str | None:
    """Return one hash of all prepared segments, from the shards' own in ``meta.json``.

    ``data_sha256`` stands for recordings and questions alone: two preparations of the same
    recordings, by other recipes or on processors that round differently, share it.

    Returns:
        SHA-256 in hexadecimal; None where no store is described.
    """
    shards = (meta.get("store") or {}).get("shards")
    return sha256_of_json([shard["sha256"] for shard in shards]) if shards else None


def scale_of(dtype: str) -> float:
    """Return the mV of one stored step; ManifestError on an unknown dtype."""
    if dtype not in DTYPES:
        raise ManifestError(f"store dtype {dtype!r}; expected one of {', '.join(DTYPES)}")
    return INT16_SCALE_MV if dtype == "int16" else 1.0


def encode_values(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return ``values`` as they are stored; int16 is rounded and clipped at +-32.767 (mV or sd)."""
    if dtype == "float32":
        return np.ascontiguousarray(values, dtype="<f4")
    steps = np.rint(np.asarray(values, dtype=np.float64) / scale_of(dtype))
    return np.clip(steps, -INT16_LIMIT, INT16_LIMIT).astype("<i2")


def num_clipped(values: np.ndarray, dtype: str) -> int:
    """Return how many values are too large for ``dtype`` and so stored as its largest.

    >>> num_clipped(np.array([32.7, 32.8, -40.0]), "int16")
    2
    """
    if dtype == "float32":
        return 0
    limit = (INT16_LIMIT + 0.5) * scale_of(dtype)
    return int(np.count_nonzero(values > limit) + np.count_nonzero(values < -limit))


def decode_values(stored: np.ndarray, scale_mv: float) -> np.ndarray:
    """Return stored values as float32 mV (a copy)."""
    if stored.dtype == np.int16:
        return stored.astype(np.float32) * np.float32(scale_mv)
    return np.array(stored, dtype=np.float32)


def _write_header(stream: IO[bytes], shape: tuple[int, ...], dtype: str) -> None:
    description = "<i2" if dtype == "int16" else "<f4"
    npy_format.write_array_header_1_0(
        stream, {"descr": description, "fortran_order": False, "shape": shape}
    )


def write_shard(
    folder: Path | str, index: int, blocks: Iterable[np.ndarray], shape: tuple[int, ...], dtype: str
) -> Shard:
    """Write a shard from blocks of segments.

    Args:
        folder: the manifest folder.
        blocks: arrays (num_segments, *shape) in mV; consumed one by one.
        dtype: ``float32`` or ``int16``.

    Raises:
        EcgError: it cannot be written; nothing stands under the final name then.
    """
    name = shard_file(index)
    path = Path(folder) / name
    rows = 0
    with atomic_write(path, "wb") as stream:
        # The header is written twice: numpy pads it, so that the number of rows can grow in place.
        _write_header(stream, (0, *shape), dtype)
        start = stream.tell()
        for block in blocks:
            if block.shape[1:] != tuple(shape):
                raise EcgError(f"segments of shape {block.shape[1:]} for a store of {shape}")
            stream.write(encode_values(block, dtype).tobytes())
            rows += len(block)
        stream.seek(0)
        _write_header(stream, (rows, *shape), dtype)
        if stream.tell() != start:
            raise EcgError(f"{path}: the header of {rows} rows does not fit its place")
        stream.seek(0, 2)
    return Shard(name, rows, sha256_of_file(path))


def write_scaling(folder: Path | str, shard: Shard, blocks: Sequence[np.ndarray]) -> Shard:
    """Write what turns a shard's values into mV again; return the shard with its hash.

    Args:
        folder: the manifest folder.
        shard: that was written.
        blocks: float32 (num_segments, leads, 2), mean and deviation in mV, in the shard's order;
            none where the recipe says none.

    Raises:
        EcgError: it cannot be written, or the blocks are not of the shard's segments.
    """
    if not blocks:
        return shard
    values = np.concatenate(blocks).astype("<f4")
    if len(values) != shard.rows:
        raise EcgError(f"{len(values)} rows of scaling for the {shard.rows} rows of {shard.file}")
    path = Path(folder) / shard.scaling_file
    with atomic_write(path, "wb") as stream:
        np.save(stream, values)
    return replace(shard, scaling_sha256=sha256_of_file(path))


class Store:
    """Read access by row number to all shards of a manifest."""

    def __init__(self, folder: Path | str, description: dict[str, Any], shape: tuple[int, ...]):
        """Take the ``store`` object of ``meta.json`` and the segment shape; files open when used.

        Raises:
            ManifestError: the description is incomplete or contradictory.
        """
        self.folder = Path(folder)
        self.shape = tuple(shape)
        try:
            self.dtype = str(description["dtype"])
            self.scale_mv = float(description.get("scale_mv", scale_of(self.dtype)))
            self.shards = [
                Shard(
                    str(item["file"]),
                    int(item["rows"]),
                    str(item["sha256"]),
                    str(item.get("scaling_sha256", "")),
                )
                for item in description["shards"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestError(
                f"{self.folder}/meta.json: the store is not described ({error!r}); make it anew"
            ) from error
        self._starts = [0]
        for shard in self.shards:
            if Path(shard.file).is_absolute() or ".." in Path(shard.file).parts or shard.rows < 0:
                raise ManifestError(f"{self.folder}/meta.json: bad store shard {shard}")
            self._starts.append(self._starts[-1] + shard.rows)
        self._arrays: dict[int, np.ndarray] = {}
        self._scalings: dict[int, np.ndarray] = {}

    @property
    def first_rows(self) -> Sequence[int]:
        """Row at which each shard begins, and the number of rows of all."""
        return self._starts

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._starts[-1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped files behind: a worker process maps them itself."""
        return {**self.__dict__, "_arrays": {}, "_scalings": {}}

    def locate(self, row: int) -> tuple[int, int]:
        """Return (shard index, row within it); ManifestError when out of range."""
        if not 0 <= row < len(self):
            raise ManifestError(f"{self.folder}: row {row} of a store of {len(self)} rows")
        index = bisect.bisect_right(self._starts, row) - 1
        return index, row - self._starts[index]

    def array(self, index: int) -> np.ndarray:
        """Return one shard, mapped: (rows, *shape) as stored.

        Raises:
            ManifestError: the file is missing, damaged, or not what ``meta.json`` says.
        """
        if index not in self._arrays:
            self._arrays[index] = self.open_array(index)
        return self._arrays[index]

    def open_array(self, index: int) -> np.ndarray:
        """Return one shard as :meth:`array` does, in a mapping that the caller lets go of.

        Raises:
            ManifestError: see :meth:`array`.
        """
        shard = self.shards[index]
        path = self.folder / shard.file
        wanted = ((shard.rows, *self.shape), np.dtype("<i2" if self.dtype == "int16" else "<f4"))
        try:
            # An empty array cannot be mapped.
            array = np.load(path, mmap_mode="r" if shard.rows else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ManifestError(
                f"store shard {path} cannot be opened: {error}; make the manifest anew"
            ) from error
        if (array.shape, array.dtype) != wanted:
            raise ManifestError(
                f"store shard {path} holds {array.dtype} {array.shape}, meta.json says "
                f"{wanted[1]} {wanted[0]}; make the manifest anew"
            )
        self._check_size(index)
        return array

    def _check_size(self, index: int) -> None:
        """Compare the size of a shard's file with that of what it is to hold; ManifestError."""
        shard = self.shards[index]
        dtype = "<i2" if self.dtype == "int16" else "<f4"
        with io.BytesIO() as header:
            _write_header(header, (shard.rows, *self.shape), self.dtype)
            num_values = shard.rows * int(np.prod(self.shape))
            wanted = header.tell() + num_values * np.dtype(dtype).itemsize
        path = self.folder / shard.file
        try:
            found = path.stat().st_size
        except OSError as error:
            raise ManifestError(f"store shard {path} cannot be opened: {error}; {_HEAL}") from error
        if found != wanted:
            raise ManifestError(
                f"store shard {path} has {found} bytes, {wanted} are expected; {_HEAL}"
            )

    def read(self, row: int) -> np.ndarray:
        """Return one segment as float32 mV, a copy of shape ``shape``."""
        index, inside = self.locate(row)
        return decode_values(self.array(index)[inside], self.scale_mv)

    def scaling(self, row: int) -> np.ndarray | None:
        """Return float32 (leads, 2) of one segment: mean and deviation in mV of its leads.

        Returns:
            None where the segments are in mV, or the recipe does not say them.

        Raises:
            ManifestError: the file is missing, damaged, or not of the shard's rows.
        """
        index, inside = self.locate(row)
        shard = self.shards[index]
        if not shard.scaling_sha256:
            return None
        if index not in self._scalings:
            path = self.folder / shard.scaling_file
            try:
                values = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise ManifestError(f"{path} cannot be opened: {error}; {_HEAL}") from error
            if values.shape != (shard.rows, self.shape[0], 2):
                raise ManifestError(
                    f"{path} holds values of shape {values.shape}, not of {shard.rows} segments of "
                    f"{self.shape[0]} leads; {_HEAL}"
                )
            self._scalings[index] = values
        return np.array(self._scalings[index][inside])

    def locator(self, row: int) -> str:
        """Return the locator written into ``{split}.tsv``: ``store/shard-00000.npy:ROW``."""
        index, inside = self.locate(row)
        return f"{self.shards[index].file}:{inside}"

    def locators(self, rows: np.ndarray) -> Iterator[str]:
        """Yield the locators of many rows, int64 (N,); ManifestError when one is out of range."""
        if len(rows):
            self.locate(int(rows.min()))
            self.locate(int(rows.max()))
        index = np.searchsorted(self._starts, rows, side="right") - 1
        inside = rows - np.array(self._starts)[index]
        files = [shard.file for shard in self.shards]
        for number, row in zip(index.tolist(), inside.tolist(), strict=True):
            yield f"{files[number]}:{row}"

    def check_sizes(self) -> None:
        """Compare the size of every shard's file with what it is to hold, which costs no reading.

        Raises:
            ManifestError: names the first that is missing or of another size.
        """
        for index in range(len(self.shards)):
            self._check_size(index)

    def verify(self) -> None:
        """Compare every shard with its SHA-256; ManifestError names the first that differs."""
        self.check_sizes()
        with ThreadPoolExecutor(_THREADS) as pool:
            for shard, is_same in zip(
                self.shards, pool.map(self._is_same, self.shards), strict=True
            ):
                if not is_same:
                    raise ManifestError(
                        f"store shard {self.folder / shard.file} was changed after it was "
                        f"written; {_HEAL}"
                    )

    def _is_same(self, shard: Shard) -> bool:
        try:
            scaling = shard.scaling_sha256
            if scaling and sha256_of_file(self.folder / shard.scaling_file) != scaling:
                return False
            return sha256_of_file(self.folder / shard.file) == shard.sha256
        except OSError as error:
            path = self.folder / shard.file
            raise ManifestError(f"store shard {path} cannot be read: {error}; {_HEAL}") from error
