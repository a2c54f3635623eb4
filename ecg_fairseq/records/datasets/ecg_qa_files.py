"""ECG-QA's question files: what is in them, without knowing who the recordings belong to.

``ecgqa/{ptbxl,mimic-iv-ecg}/{template,paraphrased}/{train,valid,test}/*.json``, as published or as
ECG-QA's mapping scripts write them. Layout: fact sheet heartllm 9.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.datasets.json_values import text_of, texts_of, whole_of
from ecg_fairseq.records.questions.question import Question, canonical_answer
from ecg_fairseq.records.questions.templates import QUESTION_TYPES, SINGLE_TYPES
from ecg_fairseq.records.readers.csv_table import read_csv_lines, rows_of
from ecg_fairseq.records.record_row import SPLITS

SPLIT_RULES = ("ecg-qa", "ptb-xl")
STYLE_CHOICES = ("template", "paraphrased", "both")
_VERIFY_ORDER = ("yes", "no", "not sure")


@dataclass(frozen=True)
class EcgQaVersion:
    """One of the two data sets that ECG-QA asks about.

    Attributes:
        folder: below ``ecgqa``.
        prefix: first part of question ids, without a hyphen.
    """

    folder: str
    prefix: str


PTB_XL = EcgQaVersion("ptbxl", "ptbxl")
MIMIC_IV_ECG = EcgQaVersion("mimic-iv-ecg", "mimic")


@dataclass(frozen=True)
class EcgQaChoice:
    """Which questions to take, and by whose split.

    Attributes:
        label_splits: splits in which label-built questions are added.
    """

    style: str = "template"
    question_types: tuple[str, ...] = SINGLE_TYPES
    split: str = "ecg-qa"
    label_splits: tuple[str, ...] = ()
    fraction: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Refuse unknown values with a ManifestError."""
        unknown = [name for name in self.question_types if name not in QUESTION_TYPES]
        if unknown or not self.question_types:
            raise ManifestError(
                f"question type {', '.join(unknown) or 'missing'}; expected 'all' or some of "
                f"{', '.join(QUESTION_TYPES)}"
            )
        if self.split not in SPLIT_RULES or self.style not in STYLE_CHOICES:
            raise ManifestError(
                f"--split {self.split!r} --style {self.style!r}; expected one of {SPLIT_RULES} and "
                f"one of {STYLE_CHOICES}"
            )
        if any(split not in SPLITS for split in self.label_splits):
            raise ManifestError(
                f"label questions for {self.label_splits}; expected some of {SPLITS}"
            )

    @property
    def styles(self) -> tuple[str, ...]:
        """The folders to read."""
        return ("template", "paraphrased") if self.style == "both" else (self.style,)


def parse_question_types(text: str) -> tuple[str, ...]:
    """Return the types named in a comma-separated list; ``all`` names every type."""
    return QUESTION_TYPES if text == "all" else tuple(filter(None, text.split(",")))


def question_folder(folder: Path, version: EcgQaVersion = PTB_XL) -> Path:
    """Return the folder of a version below ECG-QA's root; ManifestError when there is none.

    ``output`` is where ECG-QA's own mapping scripts write.
    """
    name = version.folder
    for parent in (folder / "ecgqa", folder, folder / "output"):
        if any((parent / name / style).is_dir() for style in ("template", "paraphrased")):
            return parent / name
    if any((folder / style).is_dir() for style in ("template", "paraphrased")):
        return folder
    raise ManifestError(
        f"no ECG-QA questions below {folder}; expected ecgqa/{name}/template/train/*.json there"
    )


def read_questions(
    folder: Path, choice: EcgQaChoice, version: EcgQaVersion = PTB_XL
) -> tuple[list[tuple[str, Question]], Counter]:
    """Read the chosen questions in file order.

    Patient ids are not known here and stand empty.

    Returns:
        (published split, question) pairs, and how many entries were left out for what reason.

    Raises:
        ManifestError: no files, or a damaged one.
    """
    root = question_folder(folder, version)
    options = _read_options(root / "answers_for_each_template.csv")
    questions: list[tuple[str, Question]] = []
    dropped: Counter = Counter()
    files = [
        (path, split, style)
        for style in choice.styles
        for split in SPLITS
        for path in sorted((root / style / split).glob("*.json"))
    ]
    for path, split, style in files:
        for entry, where in _entries(path):
            if entry.get("question_type") not in choice.question_types:
                dropped["question type not wanted"] += 1
            elif not (entry.get("ecg_id") or entry.get("ecg_path")):
                dropped["question without ECG"] += 1
            else:
                name = f"{version.prefix}-{split}-{style}"
                questions.append((split, question_of_entry(entry, name, style, options, where)))
    if not files:
        raise ManifestError(
            f"{root} has no {' or '.join(choice.styles)}/{{train,valid,test}}/*.json; "
            "check --style and the folder"
        )
    return questions, dropped


def _entries(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    entries = read_json(path, ManifestError, "ECG-QA file")
    if not isinstance(entries, list):
        raise ManifestError(f"{path}: expected a list of questions; copy the file again")
    for number, entry in enumerate(entries):
        where = f"{path} entry {number}"
        if not isinstance(entry, dict):
            raise ManifestError(f"{where}: expected an object; copy the file again")
        yield entry, where


def question_of_entry(
    entry: dict[str, Any], name: str, style: str, options: dict[int, list[str]], where: str
) -> Question:
    """Return the question of one entry; patient ids stand empty.

    Args:
        entry: as ECG-QA writes it.
        name: beginning of the question's id.
        style: its wording.
        options: template id -> possible answers, as far as they are known.
        where: file and number of the entry, for messages.

    Raises:
        ManifestError: the entry is damaged.
    """
    try:
        record_ids = _record_ids(entry)
        attribute, attribute_type = entry.get("attribute"), entry.get("attribute_type")
        return Question(
            id=f"{name}-{whole_of(entry['sample_id'], 'sample_id')}",
            # A million questions have a few thousand different texts.
            question=sys.intern(text_of(entry["question"], "question")),
            answer=canonical_answer(_names(entry["answer"], "answer")),
            question_type=text_of(entry["question_type"], "question_type"),
            attribute_type=attribute_type and text_of(attribute_type, "attribute_type"),
            template_id=whole_of(entry["template_id"], "template_id"),
            style=style,
            attribute=None if attribute is None else _names(attribute, "attribute"),
            record_ids=record_ids,
            patient_ids=[""] * len(record_ids),
            options=_options(entry, options),
            origin="ecg_qa",
        )
    except KeyError as error:
        raise ManifestError(f"{where}: it has no {error}; copy the file again") from error
    except (ValueError, ManifestError) as error:
        raise ManifestError(f"{where}: {error}; copy the file again") from error


def _record_ids(entry: dict[str, Any]) -> list[str]:
    """Return the ids of ``ecg_id``, or where that is missing those that ``ecg_path`` ends with.

    The mapping scripts add paths such as ``.../00123_hr`` or ``.../s44418529/44418529``.
    """
    ids = entry.get("ecg_id")
    if not ids:
        paths = entry["ecg_path"]
        paths = texts_of([paths] if isinstance(paths, str) else paths, "ecg_path")
        ids = [PurePosixPath(path).name.partition("_")[0].partition(".")[0] for path in paths]
    if not isinstance(ids, list):
        raise ValueError(f"ecg_id is {ids!a}; expected a list of numbers")
    return [str(whole_of(value, "ecg_id")) for value in ids]


def _names(value: Any, name: str) -> list[str]:
    return list(map(sys.intern, texts_of(value, name)))


def _read_options(path: Path) -> dict[int, list[str]]:
    """Return template id -> possible answers; nothing when the table is absent."""
    if not path.is_file():
        return {}
    lines = read_csv_lines(path, "", advice="; copy it again")
    try:
        return {
            int(row["template_id"]): texts_of(ast.literal_eval(row["classes"]), "classes")
            for row in rows_of(next(lines, []), lines)
        }
    except (KeyError, TypeError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ManifestError(f"{path} cannot be read: {error!r}; copy it again") from error


def _options(entry: dict[str, Any], options: dict[int, list[str]]) -> list[str] | None:
    """Return the closed set: yes/no (/not sure), the offered names, or the template's answers."""
    kind = str(entry["question_type"]).rpartition("-")[2]
    listed = options.get(whole_of(entry["template_id"], "template_id"))
    if kind == "verify":
        known = listed or ["yes", "no"]
        return [name for name in _VERIFY_ORDER if name in known]
    if kind == "choose":
        return [_offered(name, listed or []) for name in entry.get("attribute") or ()] or None
    return listed


def _offered(name: str, listed: Sequence[str]) -> str:
    """Return an offered name as it is written in answers ("within ... of qt interval" is cut)."""
    shortened = name.partition(" of ")[0]
    return shortened if name not in listed and shortened in listed else name
