"""A copy of a manifest's segments as fairseq-signals writes them: ``.mat`` files and its lists."""

from pathlib import Path

import numpy as np
import scipy.io

from ecg_fairseq.records.segments.segment_list import SegmentList


def write_mat(path: Path, signal: np.ndarray, **values: object) -> None:
    """Write one segment; ``values`` are added to or replace what fairseq-signals writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "feats": signal.astype(np.float64),
        "curr_sample_rate": 500,
        "curr_sample_size": signal.shape[1],
        **values,
    }
    scipy.io.savemat(path, {name: value for name, value in content.items() if value is not None})


def write_mat_copy(segments: SegmentList, folder: Path) -> Path:
    """Write all segments of a list as ``.mat`` files with plain and CMSC lists; return the folder.

    Segments of one recording are numbered from 0, as ``stem_0.mat``, ``stem_1.mat``.
    """
    root = folder / "segmented"
    plain, counts = [], {}
    for index in range(len(segments)):
        segment = segments.read(index)
        number = counts.get(segment.idx, 0)
        counts[segment.idx] = number + 1
        name = f"ecg_{segment.idx}_{number}.mat"
        write_mat(root / name, segment.signal, idx=segment.idx, segment_i=number)
        plain.append(f"{name}\t{segment.signal.shape[1]}\n")
    (folder / "train.tsv").write_text(f"\t{root}/\n" + "".join(plain))
    (folder / "cmsc").mkdir()
    pairs = [
        f"ecg_{idx}\t{segments.sizes[0]}\t0\t{number},{number + 1}\n"
        for idx, count in counts.items()
        for number in range(0, count - 1, 2)
    ]
    (folder / "cmsc" / "train.tsv").write_text(f"{root}\nmat\n" + "".join(pairs))
    return folder
