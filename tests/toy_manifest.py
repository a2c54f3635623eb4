"""A small manifest with tokenizer, made in a second: recordings that are tall or flat.

The signals are noise around a square pulse whose height tells the answer, so that a model can learn
something within seconds; everything else (files, hashes, splits) is as in a real manifest.
"""

import json
from pathlib import Path

import numpy as np

from ecg_fairseq.files import sha256_of_file, sha256_of_json, write_json
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.store import write_shard
from ecg_fairseq.records.preparation.manifest_writer import (
    ManifestContent,
    set_tokenizer,
    write_manifest,
)
from ecg_fairseq.records.questions.question import Question, canonical_answer
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.signal.recipes import get_recipe
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer
from ecg_fairseq.tokenizer.twin import train

SIDES = ("train", "train", "train", "valid", "test")
_FORMS = ("tall pulse", "flat line")


def make_manifest(
    folder: Path,
    num_patients: int = 20,
    seed: int = 0,
    recipe_name: str = "ecg_byte",
    turn: int = 0,
) -> Manifest:
    """Write ``folder/manifest`` and ``folder/tokenizer.json``; two records a patient.

    ``turn`` moves patients to other splits, as in ``ecg_fm_manifest.py``.
    """
    recipe = get_recipe(recipe_name)
    rng = np.random.default_rng(seed)
    rows, questions, signals = [], {side: [] for side in ("train", "valid", "test")}, []
    for patient in range(num_patients):
        side = SIDES[(patient + turn) % len(SIDES)]
        pair = []
        for visit in range(2):
            is_tall = bool(rng.integers(2))
            record_id = f"r{patient}_{visit}"
            row = RecordRow(
                record_id, f"p{patient}", side, fs_hz=500.0, first_row=len(signals), num_segments=1
            )
            rows.append(row)
            signals.append(_signal(rng, recipe.shape, is_tall))
            pair.append((record_id, is_tall))
            questions[side] += _single_questions(record_id, f"p{patient}", is_tall)
        questions[side].append(_comparison(pair, f"p{patient}"))
    values = np.stack(signals)
    target = folder / "manifest"
    shard = write_shard(target, 0, [values], recipe.shape, "float32")
    content = ManifestContent(
        dataset="toy",
        recipe=recipe,
        dtype="float32",
        shards=[shard],
        records=rows,
        questions=questions,
        statistics={"percentile_1": -0.5, "percentile_99": 1.5, "num_values": values.size},
        signal_hashes={row.record_id: sha256_of_json(row.record_id) for row in rows},
        split_rule="patient",
        seed=seed,
    )
    write_manifest(target, content)
    make_tokenizer(target, folder / "tokenizer.json")
    return Manifest.load(target)


def write_records_text(folder: Path, text: str) -> None:
    """Write another table of records, as the preparation would have: whoever reads it knows."""
    (folder / "records.tsv").write_text(text, encoding="utf-8")
    digest = sha256_of_file(folder / "records.tsv")
    for path in (folder / "meta.json", folder / "labels" / "y.json"):
        if path.is_file():
            stated = json.loads(path.read_text(encoding="utf-8"))
            write_json(path, {**stated, "records_sha256": digest})


def make_tokenizer(manifest_dir: Path, path: Path, num_merges: int = 60) -> EcgTokenizer:
    """Train a tokenizer on the training side and enter it into the manifest."""
    manifest = Manifest.load(manifest_dir)
    quantizer = Quantizer(low=-1.0, high=2.0)
    texts = [
        quantizer.symbols(manifest.segment(row.record_id).reshape(-1)).tobytes()
        for row in manifest.split_records("train")
    ]
    merges, _ = train(texts, num_merges)
    recipe = manifest.meta["recipe"]
    tokenizer = EcgTokenizer(
        np.asarray(merges, dtype=np.int64),
        quantizer=quantizer,
        recipe={"name": recipe["name"], "hash": recipe["hash"]},
        split_hash=manifest.split_hash,
    )
    tokenizer.save(path)
    set_tokenizer(manifest_dir, path)
    return tokenizer


def _signal(rng: np.random.Generator, shape: tuple[int, ...], is_tall: bool) -> np.ndarray:
    """A flat line, with a pulse in every lead if ``is_tall``."""
    signal = np.zeros(shape, dtype=np.float32)
    if is_tall:
        start = int(rng.integers(shape[-1] // 4))
        signal[..., start : start + shape[-1] // 3] = 1.2
    return signal


def _single_questions(record_id: str, patient_id: str, is_tall: bool) -> list[Question]:
    """One question of each single type."""
    form = _FORMS[0] if is_tall else _FORMS[1]
    common = {"record_ids": [record_id], "patient_ids": [patient_id], "origin": "own"}
    return [
        Question(
            id=f"{record_id}-verify",
            question="Does this ECG show a tall pulse?",
            answer=["yes" if is_tall else "no"],
            question_type="single-verify",
            template_id=1,
            options=["no", "yes"],
            **common,
        ),
        Question(
            id=f"{record_id}-choose",
            question="Which form does this ECG show, tall pulse or flat line?",
            answer=[form],
            question_type="single-choose",
            template_id=2,
            attribute=list(_FORMS),
            options=list(_FORMS),
            **common,
        ),
        Question(
            id=f"{record_id}-query",
            question="What form does this ECG show?",
            answer=[form],
            question_type="single-query",
            template_id=3,
            options=[*_FORMS, "none"],
            **common,
        ),
    ]


def _comparison(pair: list[tuple[str, bool]], patient_id: str) -> Question:
    """Ask which form the second recording has and the first has not."""
    (first, was_tall), (second, is_tall) = pair
    new = [_FORMS[0] if is_tall else _FORMS[1]] if is_tall != was_tall else []
    return Question(
        id=f"{first}-{second}-compare",
        question="What form is new in the second ECG compared to the first?",
        answer=canonical_answer(new),
        question_type="comparison_consecutive-query",
        template_id=54,
        options=[*_FORMS, "none"],
        record_ids=[first, second],
        patient_ids=[patient_id, patient_id],
        origin="own",
    )
