"""Which patients a manifest holds, in a form that other manifests' can be compared with.

Several datasets number the same patients: PTB-XL, the questions and median beats made of it, and
the challenge's copy of it are one family; so are those made of MIMIC-IV-ECG. A patient is kept as
the first 8 bytes of the SHA-256 of ``family:numbering:id``, so that 200,000 take 1.6 MB. The
numbering says what the id is: ``patient``, or ``record`` in the family of PTB-XL, whose copy in the
challenge may know recordings only. Hashes keep ids short, not secret: small numbers can be tried.
"""

import base64
import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.record_table import RecordTable
from ecg_fairseq.records.record_row import COLUMNS

# "family:numbering" -> sorted uint64 (N,).
Hashes = Mapping[str, np.ndarray]

# Family of a dataset; those not named here are a family of their own.
_FAMILIES = {
    "ecg_qa_ptbxl": "ptb_xl",
    "heartllm_ptbxl": "ptb_xl",
    "ptb_xl_plus": "ptb_xl",
    "ecg_qa_mimic_iv_ecg": "mimic_iv_ecg",
    "heartllm_mimic_iv_ecg": "mimic_iv_ecg",
    "ecg_chat_mimic_iv_ecg": "mimic_iv_ecg",
}
# Sources of the challenge, as the column `source` begins with them -> family.
_CHALLENGE_SOURCES = {
    b"cpsc_2018": "cpsc_2018",
    b"cpsc_2018_extra": "cpsc_2018_extra",
    b"st_petersburg_incart": "incart",
    b"ptb": "ptb",
    b"ptb-xl": "ptb_xl",
    b"georgia": "georgia",
    b"chapman_shaoxing": "chapman_shaoxing",
    b"ningbo": "ningbo",
}
# Datasets that may come from the challenge -> families of their sources.
_CHALLENGE_DATASETS = {
    "physionet_2021": frozenset(_CHALLENGE_SOURCES.values()),
    "csn": frozenset({"chapman_shaoxing", "ningbo"}),
    **{name: frozenset({name}) for name in ("cpsc_2018", "cpsc_2018_extra", "georgia")},
    **{name: frozenset({name}) for name in ("incart", "ptb")},
}
# The challenge renamed these recordings and dropped some, so its ids are not the originals'.
_RENAMED = ("incart", "ptb")
# Families that have members without patient ids, so that recordings are compared as well.
_FAMILIES_BY_RECORD = ("ptb_xl",)
_PATIENT, _RECORD, _CHALLENGE_RECORD = "patient", "record", "challenge_record"
# Both the cells before the fourth tab, and those before the tenth, with the source.
_UP_TO_SPLIT = COLUMNS.index("split") + 1
_UP_TO_SOURCE = COLUMNS.index("source") + 1


def families_of(dataset: str) -> frozenset[str]:
    """Return the families that a dataset's patients may be of.

    >>> sorted(families_of("heartllm_ptbxl"))
    ['ptb_xl']
    """
    families: set[str] = set()
    for name in dataset.split("+"):
        families |= _CHALLENGE_DATASETS.get(name, {_FAMILIES.get(name, name)})
    return frozenset(families)


def patient_hashes(manifest: Path, dataset: str, splits: Iterable[str]) -> Hashes:
    """Return the hashes of the patients on some splits of a manifest.

    Args:
        manifest: its folder.
        dataset: name in its ``meta.json``.
        splits: such as ``("valid", "test")``.

    Raises:
        ManifestError: ``records.tsv`` is missing or damaged.
    """
    path = manifest / "records.tsv"
    try:
        facts = path.stat()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error}; make the manifest anew") from error
    return _cached_hashes(path, dataset, tuple(splits), facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=4)
def _cached_hashes(
    path: Path, dataset: str, splits: tuple[str, ...], changed: int, size: int
) -> Hashes:
    """Read and hash; the time of change and the size are there to notice another file."""
    wanted = frozenset(name.encode() for name in splits)
    is_challenge = dataset in _CHALLENGE_DATASETS
    ids = (_challenge_ids if is_challenge else _dataset_ids)(path, dataset, wanted)
    return {key: _hashed(key, names) for key, names in sorted(ids.items())}


def _hashed(key: str, names: Iterable[bytes]) -> np.ndarray:
    prefix, sha256 = f"{key}:".encode(), hashlib.sha256
    digests = b"".join(sha256(prefix + _normalized(name)).digest()[:8] for name in names)
    hashes = np.unique(np.frombuffer(digests, dtype=">u8").astype(np.uint64))
    hashes.flags.writeable = False
    return hashes


def _normalized(name: bytes) -> bytes:
    """Return ``00017.0`` as ``17``, since tables of one family pad and round ids differently."""
    digits = name.removesuffix(b".0")
    return (digits.lstrip(b"0") or b"0") if digits.isdigit() else name


def _dataset_ids(path: Path, dataset: str, splits: frozenset[bytes]) -> dict[str, set[bytes]]:
    """Return "family:numbering" -> ids of a dataset whose patients are known."""
    families = families_of(dataset)
    has_records = not families.isdisjoint(_FAMILIES_BY_RECORD)
    patients: set[bytes] = set()
    records: set[bytes] = set()
    on_no_split: list[tuple[bytes, bytes]] = []
    for record_id, patient_id, split in _rows(path, _UP_TO_SPLIT):
        if split in splits:
            patients.add(patient_id)
            if has_records:
                records.add(record_id)
        elif has_records and not split:
            on_no_split.append((record_id, patient_id))
    # A skipped or dropped recording still tells who its patient is.
    records.update(record_id for record_id, patient_id in on_no_split if patient_id in patients)
    ids = {f"{family}:{_PATIENT}": patients for family in families}
    ids |= {f"{family}:{_RECORD}": records for family in families if family in _FAMILIES_BY_RECORD}
    return ids


def _challenge_ids(path: Path, dataset: str, splits: frozenset[bytes]) -> dict[str, set[bytes]]:
    """Return "family:numbering" -> ids of the challenge's sources, or of a database of its own."""
    ids: defaultdict[str, set[bytes]] = defaultdict(set)
    for cells in _rows(path, _UP_TO_SOURCE):
        record_id, patient_id, split = cells[:_UP_TO_SPLIT]
        if split not in splits:
            continue
        family = _CHALLENGE_SOURCES.get(cells[-1].partition(b"/")[0])
        if family is None:
            ids[f"{dataset}:{_PATIENT}"].add(patient_id)
        elif family in _RENAMED:
            ids[f"{family}:{_CHALLENGE_RECORD}"].add(record_id)
        elif family in _FAMILIES_BY_RECORD:
            ids[f"{family}:{_RECORD}"].add(record_id.removeprefix(b"HR"))
            # Without PTB-XL's own tables each record stands for its own patient.
            if patient_id != record_id:
                ids[f"{family}:{_PATIENT}"].add(patient_id)
        else:
            ids[f"{family}:{_PATIENT}"].add(patient_id)
    return ids


def _rows(path: Path, num_cells: int) -> Iterator[list[bytes]]:
    """Return the first cells of each line of ``records.tsv``."""
    return RecordTable.shared(path).first_cells(num_cells)


def joined_hashes(parts: Iterable[Hashes]) -> Hashes:
    """Return the union of several."""
    gathered: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    for part in parts:
        for key, hashes in part.items():
            gathered[key].append(hashes)
    return {key: np.unique(np.concatenate(found)) for key, found in sorted(gathered.items())}


def packed_hashes(hashes: Hashes, is_text: bool = False) -> dict[str, bytes | str]:
    """Return hashes as little-endian bytes, or as base64 of these."""
    packed = {key: found.astype("<u8").tobytes() for key, found in hashes.items()}
    return {
        key: base64.b64encode(found).decode() if is_text else found for key, found in packed.items()
    }


def unpacked_hashes(packed: Mapping[str, bytes | str]) -> Hashes:
    """Return what :func:`packed_hashes` packed; ValueError or TypeError for anything else."""
    return {
        key: np.frombuffer(
            base64.b64decode(found) if isinstance(found, str) else found, dtype="<u8"
        )
        for key, found in packed.items()
    }


def shared_patients(trained: Hashes, tested: Hashes) -> dict[str, int | None]:
    """Return family -> how many patients (or recordings) both hold.

    None where both hold patients of a family, but number them in ways that cannot be compared;
    families without a common patient are left out.
    """
    ours, theirs = _by_family(trained), _by_family(tested)
    shared: dict[str, int | None] = {}
    for family in sorted(ours.keys() & theirs.keys()):
        common = ours[family].keys() & theirs[family].keys()
        counts = [
            len(np.intersect1d(ours[family][kind], theirs[family][kind], assume_unique=True))
            for kind in common
        ]
        if not common or max(counts):
            shared[family] = max(counts) if common else None
    return shared


def _by_family(hashes: Hashes) -> dict[str, dict[str, np.ndarray]]:
    families: defaultdict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for key, found in hashes.items():
        family, _, numbering = key.partition(":")
        if len(found):
            families[family][numbering] = found
    return families
