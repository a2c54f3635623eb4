"""ECG-Chat's pretrain_mimic.json: conversations about recordings of MIMIC-IV-ECG.

    ecg-fairseq prepare ecg_chat PRETRAIN_JSON --mimic-iv-ecg DIR --out DIR --recipe ecg_byte

A JSON list; each item has ``ecg``, the recording's path in MIMIC-IV-ECG without suffix, and
``conversations``, of which the first turn asks and the second answers, as in ECG-Byte (fact sheet
ecg-byte 1.1). Further turns are not used. The file has no split, so splits are drawn by subject.
Zhao et al., ECG-Chat (arXiv 2408.08849).
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.json_values import text_of
from ecg_fairseq.records.datasets.mimic_iv_ecg import ID_COLUMNS, read_mimic_iv_ecg
from ecg_fairseq.records.datasets.mimic_iv_ecg import add_options as add_subject_options
from ecg_fairseq.records.preparation.raw_dataset import Questions, RawDataset
from ecg_fairseq.records.questions.question import Question, canonical_answer
from ecg_fairseq.records.record_row import SPLITS, RecordRow

RAW_HELP = "ECG-Chat's pretrain_mimic.json"
QUESTION_TYPE = "conversation"
# All conversations ask for the report in other words, so that they are one template.
TEMPLATE_ID = 0
_ECG_MARK = "<ecg>"


@dataclass(frozen=True, slots=True)
class Conversation:
    """The first two turns about one recording; ``number`` is the item's place in the file."""

    number: int
    record_id: str
    question: str
    answer: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    parser.add_argument(
        "--mimic-iv-ecg", type=Path, metavar="DIR", required=True, help="MIMIC-IV-ECG's folder"
    )
    add_subject_options(parser)


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return ecg_chat_dataset(
        arguments.raw_dir,
        arguments.mimic_iv_ecg,
        arguments.patients,
        arguments.fraction,
        arguments.seed,
    )


def ecg_chat_dataset(
    path: Path,
    mimic: Path,
    patients: Path | None = None,
    fraction: float = 1.0,
    seed: int = 0,
) -> RawDataset:
    """Return the recordings of MIMIC-IV-ECG that ECG-Chat's conversations are about.

    Args:
        path: ``pretrain_mimic.json``.
        mimic: MIMIC-IV-ECG's folder (holds ``record_list.csv``).
        patients: MIMIC-IV's ``patients.csv``, for sex and age.
        fraction: share of the subjects to keep.

    Raises:
        ManifestError: a file is missing or damaged, or no conversation is about a recording there.
    """
    conversations, dropped = read_conversations(path)
    asked = {item.record_id for item in conversations}
    sources = [
        source
        for source in read_mimic_iv_ecg(mimic, patients, fraction, seed)
        if source.record_id in asked
    ]
    if not sources:
        raise ManifestError(
            f"none of the {len(asked)} recordings that {path} talks about is in {mimic}"
        )

    def make_questions(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        by_id = {row.record_id: row for row in rows}
        kept: Questions = {split: [] for split in SPLITS}
        reasons = Counter(dropped)
        for item in conversations:
            row = by_id.get(item.record_id)
            if row is None:
                reasons["recording not available or dropped"] += 1
            else:
                kept[row.split].append(_question(item, row))
        return kept, {"questions_dropped": dict(sorted(reasons.items()))}

    return RawDataset(
        "ecg_chat_mimic_iv_ecg",
        sources,
        "patient",
        make_questions=make_questions,
        id_columns=ID_COLUMNS,
        notes={"questions_from": {"ecg_chat": path.name}},
    )


def _question(item: Conversation, row: RecordRow) -> Question:
    return Question(
        id=f"ecg-chat-{item.number:07d}",
        question=item.question,
        answer=canonical_answer([item.answer]),
        question_type=QUESTION_TYPE,
        record_ids=[row.record_id],
        patient_ids=[row.patient_id],
        template_id=TEMPLATE_ID,
        origin="ecg_chat",
    )


def read_conversations(path: Path) -> tuple[list[Conversation], Counter]:
    """Read the first two turns of every item.

    Returns:
        The conversations, and how many items were left out for what reason.

    Raises:
        ManifestError: the file is missing or damaged; the item is named.
    """
    kept: list[Conversation] = []
    dropped: Counter = Counter()
    for number, item in enumerate(read_json_list(path)):
        where = f"{path} item {number}"
        turns = item.get("conversations") if isinstance(item, dict) else None
        if not isinstance(turns, list) or not isinstance(item.get("ecg"), str):
            raise ManifestError(f"{where}: expected an object with ecg and conversations")
        if len(turns) < 2:
            dropped["conversation without an answer"] += 1
            continue
        try:
            question, answer = (text_of(turn["value"], "value") for turn in turns[:2])
        except (KeyError, TypeError) as error:
            raise ManifestError(f"{where}: a turn has no value; copy the file again") from error
        except ValueError as error:
            raise ManifestError(f"{where}: {error}; copy the file again") from error
        question = question.replace(_ECG_MARK, "").replace("\n", "").strip()
        if not question or not answer.strip():
            dropped["empty question or answer"] += 1
            continue
        name = PurePosixPath(item["ecg"]).name.removesuffix(".hea").removesuffix(".dat")
        kept.append(Conversation(number, name, sys.intern(question), answer.strip()))
    return kept, dropped


def read_json_list(path: Path) -> Iterator[Any]:
    """Yield the members of a JSON list one by one: a large file is never all objects at once.

    Raises:
        ManifestError: the file is missing, or is not a list in JSON.
    """
    try:
        text = path.read_text(encoding="utf-8")
        place = _after_blank(text, 0)
        if text[place : place + 1] != "[":
            raise ManifestError(f"{path}: expected a JSON list")
        decoder = json.JSONDecoder()
        place = _after_blank(text, place + 1)
        while text[place : place + 1] != "]":
            member, place = decoder.raw_decode(text, place)
            yield member
            place = _after_blank(text, place)
            if text[place : place + 1] == ",":
                place = _after_blank(text, place + 1)
            elif text[place : place + 1] != "]":
                raise ManifestError(f"{path}: no JSON list from character {place} on")
    except FileNotFoundError as error:
        raise ManifestError(f"{path} not found; check the path") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path} cannot be read as JSON: {error}; copy it again") from error


def _after_blank(text: str, place: int) -> int:
    """Return the place of the next character that is not white space."""
    while text[place : place + 1] in (" ", "\n", "\r", "\t"):
        place += 1
    return place
