"""ECG tokens of a whole manifest, encoded once and memory-mapped.

Sizes are needed before training starts (length buckets), and greedy encoding is cheap but not free:
so the token ids of all segments stand in one ragged array beside the manifest, named after the
hashes of the tokenizer and of the store's shards, and written atomically. Several processes may
build it at once: they write the same bytes.
"""

import logging
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import atomic_write, sha256_of_json
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.tokenizer import EcgTokens

logger = logging.getLogger(__name__)
_SEGMENTS_PER_BATCH = 512


class CachedTokens:
    """Ragged array of ECG token ids.

    Args:
        ids: uint32, all segments one after another.
        offsets: int64 (N + 1), where each segment starts.
    """

    def __init__(self, ids: np.ndarray, offsets: np.ndarray) -> None:
        self.ids = ids
        self.offsets = offsets

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the ids (S,) of one stored segment."""
        return np.asarray(self.ids[self.offsets[row] : self.offsets[row + 1]])

    def length(self, row: int) -> int:
        """Return the number of tokens of one stored segment."""
        return int(self.offsets[row + 1] - self.offsets[row])


def load_ecg_tokens(manifest: Manifest, tokenizer: EcgTokens) -> CachedTokens:
    """Return the tokens of every stored segment, from the cache or encoded now.

    Raises:
        ManifestError: the cache is damaged and cannot be rebuilt.
    """
    # In the order of the store's rows: the same records in another order are other tokens.
    shards = [shard.sha256 for shard in manifest.store.shards]
    key = sha256_of_json([tokenizer.sha256(), shards])[:16]
    folder = manifest.path / "tokens"
    ids_path, offsets_path = folder / f"{key}.ids.npy", folder / f"{key}.offsets.npy"
    if not (ids_path.exists() and offsets_path.exists()):
        _encode(manifest, tokenizer, ids_path, offsets_path)
    damaged = f"token cache {ids_path} is damaged; delete {folder} and start again"
    try:
        ids = np.load(ids_path, mmap_mode="r", allow_pickle=False)
        offsets = np.load(offsets_path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as cause:
        raise ManifestError(damaged) from cause
    if len(offsets) != len(manifest.store) + 1 or offsets[-1] != len(ids):
        raise ManifestError(damaged)
    return CachedTokens(ids, offsets)


def _encode(manifest: Manifest, tokenizer: EcgTokens, ids_path: Path, offsets_path: Path) -> None:
    """Encode all segments and write both arrays, the offsets last.

    Tokens outlive the damage of a shard that is healed later, so none are made of a damaged one.
    """
    manifest.store.verify()
    parts: list[np.ndarray] = []
    lengths: list[int] = []
    for start in range(0, len(manifest.store), _SEGMENTS_PER_BATCH):
        rows = range(start, min(start + _SEGMENTS_PER_BATCH, len(manifest.store)))
        encoded = tokenizer.encode(np.stack([manifest.store.read(row) for row in rows]))
        parts.append(np.concatenate(encoded).astype(np.uint32))
        lengths += [len(ids) for ids in encoded]
    ids = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint32)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    for path, array in ((ids_path, ids), (offsets_path, offsets)):
        with atomic_write(path, "wb") as stream:
            np.save(stream, array)
    logger.info(f"encoded {len(lengths):,} ECG segments into {len(ids):,} tokens")
