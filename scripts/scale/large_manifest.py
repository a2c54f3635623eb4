"""A manifest of a million records and as many questions, written within a minute.

All files are as a preparation would write them, except that segments are a few samples of noise, so
that the folder is small. Records look like MIMIC-IV-ECG's (a report, the machine's measurements),
questions like ECG-QA's (few wordings, asked about many records).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import atomic_write, sha256_of_json, write_json
from ecg_fairseq.records.manifest.folder import FORMAT, VERSION
from ecg_fairseq.records.manifest.splits import split_hash
from ecg_fairseq.records.manifest.store import Shard, write_shard
from ecg_fairseq.records.preparation.manifest_writer import set_tokenizer
from ecg_fairseq.records.record_row import COLUMNS, SPLITS
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer

RECORDS_PER_PATIENT = 5
ROWS_PER_SHARD = 65_536
NUM_SAMPLES = 16
FS_HZ = 500.0
_FINDINGS = 200
_WORDINGS = 12
_MERGES = 24
_FIRST_ID = 40_000_000
_OF_TEN = ("train",) * 8 + ("valid", "test")


@dataclass(frozen=True)
class LargeManifest:
    """What decides the files' bytes.

    Attributes:
        records: how many, five a patient.
        questions: how many; eight of ten for the training split.
        seed: of signals, findings and questions.
    """

    records: int = 1_000_000
    questions: int = 800_000
    seed: int = 1


def write_large_manifest(folder: Path, size: LargeManifest) -> None:
    """Write the folder ``manifest`` and a tokenizer beside it.

    Raises:
        EcgError: the folder exists already.
    """
    if folder.exists():
        raise EcgError(f"{folder} exists already; remove it or choose another folder")
    random = np.random.default_rng(size.seed)
    splits = [_split_of(number) for number in range(size.records)]
    _write_records(folder / "records.tsv", splits, random)
    shards = list(_write_store(folder, size.records, random))
    for split in SPLITS:
        chosen = [number for number, name in enumerate(splits) if name == split]
        _write_list(folder, split, chosen)
        count = size.questions * _OF_TEN.count(split) // len(_OF_TEN)
        _write_questions(folder / f"{split}.jsonl", split, chosen, count, random)
    write_json(folder / "meta.json", _meta(splits, shards, size))
    tokenizer = folder.parent / "tokenizer.json"
    merges = np.array([(97 + number, 98 + number) for number in range(_MERGES)], dtype=np.int64)
    EcgTokenizer(merges, quantizer=Quantizer(-2.0, 2.0)).save(tokenizer)
    set_tokenizer(folder, tokenizer)


def _split_of(number: int) -> str:
    return _OF_TEN[number // RECORDS_PER_PATIENT % len(_OF_TEN)]


def _record_id(number: int) -> str:
    return str(_FIRST_ID + 7 * number)


def _patient_id(number: int) -> str:
    return str(10_000_000 + 3 * (number // RECORDS_PER_PATIENT))


def _write_records(path: Path, splits: Sequence[str], random: np.random.Generator) -> None:
    """Write ``records.tsv``: one segment a record."""
    findings = random.integers(0, _FINDINGS, (len(splits), 3)).tolist()
    intervals = random.integers(400, 1200, (len(splits), 6)).tolist()
    with atomic_write(path) as stream:
        stream.write("\t".join(COLUMNS) + "\n")
        for number, split in enumerate(splits):
            found, (rr, p, qrs, t, axis, minute) = findings[number], intervals[number]
            labels = (
                f'{{"ecg_time": "2180-07-23 08:{minute % 60:02d}:00", "p_onset": {p}.0, '
                f'"qrs_axis": {axis - 800}.0, "qrs_onset": {qrs}.0, "rr_interval": {rr}.0, '
                f'"t_end": {t}.0, "bandwidth": "0.005-150 Hz", "filtering": "60 Hz notch", '
                f'"findings": ["finding {found[0]}", "finding {found[1]}"], "year": 2012}}'
            )
            report = f"Sinus rhythm; finding {found[0]}; finding {found[1]}; Borderline ECG"
            cells = (
                *(_record_id(number), _patient_id(number), split, str(40 + number % 50)),
                *("female" if number % 2 else "male", f"{FS_HZ:g}", labels, report),
                *(f"files/{_patient_id(number)}/s{number}", "ok", "", str(number), "1"),
            )
            stream.write("\t".join(cells) + "\n")


def _write_store(folder: Path, rows: int, random: np.random.Generator) -> Iterator[Shard]:
    shape = (len(CANONICAL_LEADS), NUM_SAMPLES)
    for index, start in enumerate(range(0, rows, ROWS_PER_SHARD)):
        count = min(ROWS_PER_SHARD, rows - start)
        noise = random.normal(0, 0.3, (count, *shape)).astype(np.float32)
        yield write_shard(folder, index, [noise], shape, "int16")


def _write_list(folder: Path, split: str, chosen: Sequence[int]) -> None:
    with atomic_write(folder / f"{split}.tsv") as stream:
        stream.write(f"{folder.resolve()}\n")
        size = len(CANONICAL_LEADS) * NUM_SAMPLES
        for row in chosen:
            shard, inside = divmod(row, ROWS_PER_SHARD)
            stream.write(f"store/shard-{shard:05d}.npy:{inside}\t{size}\n")


def _write_questions(
    path: Path, split: str, chosen: Sequence[int], count: int, random: np.random.Generator
) -> None:
    """Write questions in turn about one record, and every tenth about two."""
    draws = random.integers(0, 1 << 30, (count, 4)).tolist()
    contents = [
        _contents(kind, finding) for kind in range(_WORDINGS) for finding in range(_FINDINGS)
    ]
    with atomic_write(path) as stream:
        for number, (content, answer, first, second) in enumerate(draws):
            before, answers, after = contents[content % len(contents)]
            about = [chosen[first % len(chosen)]]
            if number % 10 == 0:
                about.append(chosen[second % len(chosen)])
            records = json.dumps([_record_id(record) for record in about])
            patients = json.dumps([_patient_id(record) for record in about])
            stream.write(
                f'{{"id": "ecg_qa-{split}-{number:07d}", {before}"answer": '
                f'{answers[answer % len(answers)]}, "question_type": "single-query", '
                f'"record_ids": {records}, "patient_ids": {patients}, {after}}}\n'
            )


def _contents(kind: int, finding: int) -> tuple[str, list[str], str]:
    """Return the text of a question, its possible answers, and what stands behind the records."""
    words = ("Does", "Is there", "Could one say that there is", "Do the signals show")[kind % 4]
    question = f"{words} finding {finding} of kind {kind} in this recording's leads?"
    names = [f"finding {(finding + step) % _FINDINGS}" for step in range(8)]
    answers = [json.dumps(sorted(names[:size])) for size in (1, 2)] + ['["none"]']
    after = {
        "template_id": kind,
        "attribute_type": "scp_code",
        "style": "template",
        "attribute": [names[0]],
        "options": [*names, "none"],
        "origin": "ecg_qa",
    }
    return f'"question": {json.dumps(question)}, ', answers, json.dumps(after)[1:-1]


def _meta(splits: Sequence[str], shards: Sequence[Shard], size: LargeManifest) -> dict[str, Any]:
    patients = {_patient_id(number): split for number, split in enumerate(splits)}
    strips = [
        {"lead": lead, "kind": "lead", "fs_hz": FS_HZ, "num_samples": NUM_SAMPLES}
        for lead in CANONICAL_LEADS
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": "large",
        "recipe": {"name": "large", "version": 1, "hash": sha256_of_json("large")},
        "layout": {"shape": [len(CANONICAL_LEADS), NUM_SAMPLES], "strips": strips},
        "statistics": {"percentile_1": -0.7, "percentile_99": 0.7},
        "split": {"rule": "patient", "seed": size.seed, "hash": split_hash(patients)},
        "store": {"dtype": "int16", "scale_mv": 0.001, "shards": [s.to_dict() for s in shards]},
        "data_sha256": sha256_of_json([size.records, size.questions, size.seed]),
        "tokenizer": None,
    }
