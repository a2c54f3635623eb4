"""Does anything that was learned from stand among what is tested on? Within and across manifests.

Tokenizer, encoder and language model of one result may each have a manifest of their own; a patient
must be on one side in all of them. Checked are patients, byte-identical signals, the sides of
questions, the segment lists, and the split hash.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ecg_fairseq.records.manifest.equal_signals import equal_signals
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.record_table import RecordTable
from ecg_fairseq.records.manifest.splits import split_hash
from ecg_fairseq.records.readers.text_column import TextColumn, TextIndex, first_fields
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
        ManifestError: a store, list or question file is damaged.
    """
    leaks: list[str] = []
    for manifest in manifests:
        leaks += [f"{manifest.path}: {leak}" for leak in _leaks_within(manifest)]
    leaks += _patients_across(manifests)
    if has_signals:
        leaks += [
            f"{path}: identical signals on two sides: {_some(pairs, 'pair')}"
            for path, pairs in equal_signals(manifests)
        ]
    return leaks


def patient_family(manifest: Manifest) -> str:
    """Return the name of the dataset whose patient numbers a manifest uses."""
    name = str(manifest.meta.get("dataset", ""))
    return _SAME_PATIENTS.get(name, name)


def _leaks_within(manifest: Manifest) -> Iterator[str]:
    table = manifest.records
    lines = np.flatnonzero(_is_on_a_side(table))
    first = table.patient_ids.first_places()
    # The first line of each patient that is on a side, which need not be the patient's first.
    _, places, which = np.unique(first[lines], return_index=True, return_inverse=True)
    sides = table.split_numbers[lines]
    straddling = lines[sides != sides[places][which]]
    if len(straddling):
        names = list(table.patient_ids.texts(straddling))
        yield f"{_some(names, 'patient')} on more than one side"
    elif split_hash(_sides(table, lines[places])) != manifest.split_hash:
        yield "the split hash of meta.json is not that of records.tsv; one of them was changed"
    for split in SPLITS:
        yield from _segment_leaks(manifest, split)
        yield from _question_leaks(manifest, split)


def _is_on_a_side(table: RecordTable) -> np.ndarray:
    """Return which records are usable and on any split, bool (N,)."""
    return table.is_ok & (table.split_numbers != table.split_number(""))


def _sides(table: RecordTable, lines: np.ndarray) -> dict[str, str]:
    """Return patient -> split of some records."""
    names = (table.splits[number] for number in table.split_numbers[lines].tolist())
    return dict(zip(table.patient_ids.texts(lines), names, strict=True))


def _segment_leaks(manifest: Manifest, split: str) -> Iterator[str]:
    """Compare the segment list of a side with what records.tsv says belongs there."""
    listed = first_fields(manifest.path / f"{split}.tsv")
    lines = np.flatnonzero(manifest.records.is_on(split))
    firsts, counts = manifest.records.first_rows[lines], manifest.records.num_segments[lines]
    rows = np.repeat(firsts, counts) + _counted(counts)
    wanted = TextIndex(TextColumn.of_texts(manifest.store.locators(rows)))
    strangers = np.flatnonzero(wanted.find(listed) < 0)
    if len(strangers):
        names = sorted(set(listed.texts(strangers)))
        yield f"{split}.tsv lists {_some(names, 'segment')} of another side"


def _counted(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1, .. below each count, one after another.

    >>> _counted(np.array([2, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _question_leaks(manifest: Manifest, split: str) -> Iterator[str]:
    questions = manifest.unchecked_questions(split)
    columns = questions.columns
    lines = manifest.records.lines_of(columns.record_ids)
    is_strange = ~manifest.records.is_on(split, lines)
    askers = np.repeat(np.arange(len(questions)), np.diff(columns.first_records))
    if is_strange.any():
        strangers = list(columns.ids.texts(np.unique(askers[is_strange])))
        yield f"{split}.jsonl asks about recordings of another side: {_some(strangers, 'question')}"
    published = questions.ids_of("ecg_qa")
    misplaced = [name for name in published if _published_side(name) not in (None, split)]
    if misplaced:
        yield (
            f"{split}.jsonl holds {_some(misplaced, 'question')} that ECG-QA published for another "
            "side"
        )


def _published_side(question_id: str) -> str | None:
    """Return the side an ECG-QA question was published for, from its id."""
    parts = question_id.split("-", 2)
    return parts[1] if len(parts) > 2 and parts[1] in SPLITS else None


def _patients_across(manifests: Sequence[Manifest]) -> Iterator[str]:
    if len(manifests) < 2:
        return
    seen: dict[tuple[str, str], tuple[str, Manifest]] = {}
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for manifest in manifests:
        family, table = patient_family(manifest), manifest.records
        lines = np.flatnonzero(_is_on_a_side(table))
        # Each patient once for each of its sides, which is one but in a damaged manifest.
        pairs = table.patient_ids.first_places()[lines] * len(table.splits)
        _, first = np.unique(pairs + table.split_numbers[lines], return_index=True)
        lines = lines[np.sort(first)]
        names = [table.splits[number] for number in table.split_numbers[lines].tolist()]
        for patient, split in zip(table.patient_ids.texts(lines), names, strict=True):
            side, other = seen.setdefault((family, patient), (split, manifest))
            if other is not manifest and side != split:
                key = (side, str(other.path), split, str(manifest.path))
                found.setdefault(key, []).append(patient)
    for (side, path, other_side, other_path), patients in found.items():
        names_found = _some(sorted(set(patients)), "patient")
        yield f"{names_found} on side {side} in {path}, on side {other_side} in {other_path}"


def _some(names: Sequence[str], what: str) -> str:
    """Return ``3 patients (a, b, c)`` with at most five names."""
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({shown})"
