"""Does anything that was learned from stand among what is tested on? Within and across manifests.

Tokenizer, encoder and language model of one result may each have a manifest of their own; a patient
must be on one side in all of them. Checked are patients, byte-identical signals, the sides of
questions, the segment lists, and the split hash.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.splits import split_hash
from ecg_fairseq.records.questions.question import Question, read_questions
from ecg_fairseq.records.record_row import SPLITS

# Datasets that number the same patients alike. The challenge's records without a known patient have
# names of their own (E00001), its HR records PTB-XL's numbers.
_CHALLENGE = ("physionet_2021", "cpsc_2018", "cpsc_2018_extra", "georgia", "csn", "ptb", "incart")
_ABOUT_PTB_XL = ("ecg_qa_ptbxl", "heartllm_ptbxl", "ptb_xl_plus")
_SAME_PATIENTS = dict.fromkeys((*_ABOUT_PTB_XL, *_CHALLENGE), "ptb_xl")
_ABOUT_MIMIC = ("ecg_qa_mimic_iv_ecg", "ecg_chat_mimic_iv_ecg", "heartllm_mimic_iv_ecg")
_SAME_PATIENTS |= dict.fromkeys(_ABOUT_MIMIC, "mimic_iv_ecg")
_MOST_NAMED = 5


def find_leaks(manifests: Sequence[Manifest], has_signals: bool = True) -> list[str]:
    """Return one sentence for each kind of leak found; an empty list when all is well.

    Args:
        manifests: one, or all that contribute to one result.
        has_signals: also compare signals, which reads the first segment of every record.

    Raises:
        ManifestError: a store or question file is damaged.
    """
    leaks: list[str] = []
    for manifest in manifests:
        leaks += [f"{manifest.path}: {leak}" for leak in _leaks_within(manifest)]
    leaks += _patients_across(manifests)
    if has_signals:
        leaks += _signals_across(manifests)
    return leaks


def patient_family(manifest: Manifest) -> str:
    """Return the name of the dataset whose patient numbers a manifest uses."""
    name = str(manifest.meta.get("dataset", ""))
    return _SAME_PATIENTS.get(name, name)


def _leaks_within(manifest: Manifest) -> Iterator[str]:
    sides: dict[str, str] = {}
    straddling: list[str] = []
    for row in manifest.records.values():
        if row.is_ok and row.split and sides.setdefault(row.patient_id, row.split) != row.split:
            straddling.append(row.patient_id)
    if straddling:
        yield f"{_some(straddling, 'patient')} on more than one side"
    elif split_hash(sides) != manifest.split_hash:
        yield "the split hash of meta.json is not that of records.tsv; one of them was changed"
    for split in SPLITS:
        yield from _segment_leaks(manifest, split)
        yield from _question_leaks(manifest, split)


def _segment_leaks(manifest: Manifest, split: str) -> Iterator[str]:
    """Compare the segment list of a side with what records.tsv says belongs there."""
    path = manifest.path / f"{split}.tsv"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[1:]
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    listed = {line.lstrip("\t").partition("\t")[0] for line in lines if line.strip()}
    wanted = {
        manifest.store.locator(row.first_row + segment)
        for row in manifest.split_records(split)
        for segment in range(row.num_segments)
    }
    if listed - wanted:
        yield f"{split}.tsv lists {_some(sorted(listed - wanted), 'segment')} of another side"


def _question_leaks(manifest: Manifest, split: str) -> Iterator[str]:
    strangers: list[str] = []
    misplaced: list[str] = []
    for question in read_questions(manifest.path / f"{split}.jsonl"):
        rows = [manifest.records.get(record_id) for record_id in question.record_ids]
        if any(row is None or not row.is_ok or row.split != split for row in rows):
            strangers.append(question.id)
        if _published_side(question) not in (None, split):
            misplaced.append(question.id)
    if strangers:
        yield f"{split}.jsonl asks about recordings of another side: {_some(strangers, 'question')}"
    if misplaced:
        yield (
            f"{split}.jsonl holds {_some(misplaced, 'question')} that ECG-QA published for another "
            "side"
        )


def _published_side(question: Question) -> str | None:
    """Return the side an ECG-QA question was published for, from its id."""
    parts = question.id.split("-")
    is_published = question.origin == "ecg_qa" and len(parts) > 2 and parts[1] in SPLITS
    return parts[1] if is_published else None


def _patients_across(manifests: Sequence[Manifest]) -> Iterator[str]:
    seen: dict[tuple[str, str], tuple[str, Manifest]] = {}
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for manifest in manifests:
        family = patient_family(manifest)
        for row in manifest.records.values():
            if not row.is_ok or not row.split:
                continue
            side, other = seen.setdefault((family, row.patient_id), (row.split, manifest))
            if other is not manifest and side != row.split:
                key = (side, str(other.path), row.split, str(manifest.path))
                found.setdefault(key, []).append(row.patient_id)
    for (side, path, other_side, other_path), patients in found.items():
        names = _some(sorted(set(patients)), "patient")
        yield f"{names} on side {side} in {path}, on side {other_side} in {other_path}"


def _signals_across(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Find equal first segments on different sides, also between stores of one recipe and type."""
    seen: dict[tuple[str, str, bytes], tuple[str, str]] = {}
    for manifest in manifests:
        kind = (str(manifest.meta["recipe"].get("hash")), manifest.store.dtype)
        pairs: list[str] = []
        for row in manifest.records.values():
            if not row.is_ok or not row.split or not row.num_segments:
                continue
            index, inside = manifest.store.locate(row.first_row)
            segment = manifest.store.array(index)[inside]
            if np.ptp(segment) == 0:
                continue  # a flat line says nothing about where it came from
            digest = hashlib.blake2b(segment.tobytes(), digest_size=16).digest()
            side, name = seen.setdefault((*kind, digest), (row.split, row.record_id))
            if side != row.split:
                pairs.append(f"{name} ({side}) = {row.record_id} ({row.split})")
        if pairs:
            yield f"{manifest.path}: identical signals on two sides: {_some(pairs, 'pair')}"


def _some(names: Sequence[str], what: str) -> str:
    """Return ``3 patients (a, b, c)`` with at most five names."""
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({shown})"
