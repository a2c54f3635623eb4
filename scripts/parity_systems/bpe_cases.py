"""The tokenizer against recorded BPE cases: merges, ids, decoding, and the reference's pickles.

A folder may hold training cases (``*.json`` with ``text`` and ``pairs``), encodings with a pickled
tokenizer (``encode_with_*.json``), pickles, and pair lists of them (``*_pairs.json``).
"""

import json
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ecg_fairseq.tokenizer import EcgTokenizer, twin
from ecg_fairseq.tokenizer.merges import checked_merges
from ecg_fairseq.tokenizer.pickles import import_pickle
from ecg_fairseq.tokenizer.training import TrainingOptions, train_tokenizer
from ecg_fairseq.tokenizer.training_text import text_of
from parity_systems.check import Check


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of every case in the folder; names start with the file's."""
    for path in sorted(case_dir.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(case, dict) and {"text", "pairs", "encoded_ids"} <= case.keys():
            yield from _training_checks(path.stem, case)
        elif isinstance(case, dict) and {"tokenizer", "cases"} <= case.keys():
            yield from _encoding_checks(path, case)
        elif isinstance(case, list) and path.stem.endswith("_pairs"):
            yield from _pickle_checks(path, case)


def _training_checks(name: str, case: dict[str, Any]) -> Iterator[Check]:
    data = case["text"].encode()
    wanted = case["num_merges_requested"]
    trained = train_tokenizer(text_of([data]), TrainingOptions(wanted, num_threads=1))
    merges = trained.merges.tolist()
    first_tie = case["first_tie_step"]
    certain = len(case["pairs"]) if first_tie is None else first_tie
    yield _equal(f"{name}/merges_before_first_tie", merges[:certain], case["pairs"][:certain])
    recounted, counts = twin.train_by_recount([data], wanted)
    yield _equal(f"{name}/merges_of_full_recount", merges, [list(pair) for pair in recounted])
    # one more than before the tie: the count of the tied step itself is still the same
    yield _equal(f"{name}/counts", counts[: certain + 1], case["counts"][: certain + 1])
    yield _equal(f"{name}/num_merges", [len(merges)], [case["num_merges_done"]])
    tokenizer = EcgTokenizer(checked_merges(case["pairs"]))
    yield _equal(f"{name}/greedy_ids", tokenizer.encode_bytes(data).tolist(), case["encoded_ids"])
    in_order = tokenizer.with_mode("bpe").encode_bytes(data).tolist()
    yield _equal(f"{name}/training_ids", in_order, case["train_ids"])
    for number, heldout in enumerate(case["heldout"]):
        ids = tokenizer.encode_bytes(heldout["text"].encode()).tolist()
        yield _equal(f"{name}/heldout_{number}", ids, heldout["ids"])
    for mode in ("greedy", "bpe"):
        one = tokenizer.with_mode(mode)
        decoded = one.decode_bytes(one.encode_bytes(data))
        yield _equal(f"{name}/decoded_{mode}", list(decoded), list(data))


def _encoding_checks(path: Path, case: dict[str, Any]) -> Iterator[Check]:
    tokenizer = _tokenizer_beside(path, str(case["tokenizer"]))
    if tokenizer is None:
        return
    for text in case["cases"]:
        data = text["text"].encode()
        for num_merges, ids in text["ids_with_first_n_merges"].items():
            prefix = tokenizer.first(int(num_merges))
            encoded = prefix.encode_bytes(data)
            name = f"{path.stem}/{text['name']}/first_{num_merges}".replace(" ", "_")
            yield _equal(name, encoded.tolist(), ids)
            yield _equal(f"{name}/decoded", list(prefix.decode_bytes(encoded)), list(data))


def _pickle_checks(path: Path, pairs: list[Any]) -> Iterator[Check]:
    """Compare the pickle whose name ends like the pair list's."""
    stem = path.stem.removesuffix("_pairs")
    pickles = sorted(path.parent.glob(f"*{stem}.pkl")) or _only_pickle(path.parent)
    if not pickles:
        _say_left_out(path, f"no *{stem}.pkl lies beside it")
    for pickle in pickles:
        imported = import_pickle(pickle).merges.tolist()
        yield _equal(f"{pickle.stem}/imported_pairs", imported, pairs)


def _tokenizer_beside(path: Path, name: str) -> EcgTokenizer | None:
    """Return the tokenizer a case names: its pickle, or the merges listed of it; None if neither.

    Args:
        path: the case.
        name: of the pickle, perhaps with the folder that it had when it was recorded.
    """
    file = Path(name.replace("\\", "/")).name
    stem = Path(file).stem
    if (path.parent / file).is_file():
        return import_pickle(path.parent / file)
    for pairs in sorted(path.parent.glob("*_pairs.json")):
        if stem.endswith(pairs.stem.removesuffix("_pairs")):
            return EcgTokenizer(checked_merges(json.loads(pairs.read_text(encoding="utf-8"))))
    for pickle in _only_pickle(path.parent):
        return import_pickle(pickle)
    _say_left_out(path, f"neither {file} nor a list of its pairs lies beside it")
    return None


def _only_pickle(folder: Path) -> list[Path]:
    """Return the folder's pickle under whatever name, if it has exactly one."""
    found = sorted(folder.glob("*.pkl"))
    return found if len(found) == 1 else []


def _say_left_out(path: Path, reason: str) -> None:
    print(f"parity: {path} is left out: {reason}; copy the pickle there", file=sys.stderr)


def _equal(name: str, ours: list[Any], theirs: list[Any]) -> Check:
    """Return a check that counts differing places, missing ones included."""
    differing = sum(a != b for a, b in zip_longest(ours, theirs))
    return Check(name, float(differing), 0.0)
