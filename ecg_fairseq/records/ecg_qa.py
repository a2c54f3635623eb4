"""ECG-QA on PTB-XL: question files -> questions of a manifest, without leaks.

Oh et al., ECG-QA, NeurIPS 2023 (arXiv 2306.15681); layout in fact sheet heartllm 9. ECG-QA's split
does not follow PTB-XL's folds, so one of the two must give way: ``ecg-qa`` keeps the published
questions and drops records whose patient stands on an earlier side; ``ptb-xl`` keeps the folds and
the questions whose recordings all lie on the side that the question was published for.
"""

import ast
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.cohort import Cohort, Questions
from ecg_fairseq.records.label_question_maker import label_questions
from ecg_fairseq.records.manifest import SPLITS, RecordRow
from ecg_fairseq.records.ptb_xl import read_ptb_xl
from ecg_fairseq.records.question import Question, canonical_answer
from ecg_fairseq.records.splits import SPLIT_ORDER, keep_fraction

SPLIT_RULES = ("ecg-qa", "ptb-xl")
STYLE_CHOICES = ("template", "paraphrased", "both")
SINGLE_TYPES = ("single-verify", "single-choose", "single-query")
QUESTION_TYPES = (
    *SINGLE_TYPES,
    "comparison_consecutive-verify",
    "comparison_consecutive-query",
    "comparison_irrelevant-verify",
    "comparison_irrelevant-query",
)
_VERIFY_ORDER = ("yes", "no", "not sure")


@dataclass(frozen=True)
class EcgQaChoice:
    """Which questions to take, and by whose split.

    Attributes:
        label_splits: sides on which label-built questions are added.
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


def question_folder(folder: Path) -> Path:
    """Return the ``ptbxl`` folder below ECG-QA's root; ManifestError when there is none."""
    for candidate in (folder / "ecgqa" / "ptbxl", folder / "ptbxl", folder):
        if any((candidate / style).is_dir() for style in ("template", "paraphrased")):
            return candidate
    raise ManifestError(
        f"no ECG-QA questions below {folder}; expected ecgqa/ptbxl/template/train/*.json there"
    )


def read_questions(folder: Path, choice: EcgQaChoice) -> tuple[list[tuple[str, Question]], Counter]:
    """Read the chosen questions in file order.

    Patient ids are not known here and stand empty.

    Returns:
        (published side, question) pairs, and how many entries were left out for what reason.

    Raises:
        ManifestError: no files, or a damaged one.
    """
    root = question_folder(folder)
    options = _read_options(root / "answers_for_each_template.csv")
    questions: list[tuple[str, Question]] = []
    dropped: Counter = Counter()
    num_files = 0
    for style in choice.styles:
        for split in SPLITS:
            for path in sorted((root / style / split).glob("*.json")):
                num_files += 1
                for entry, where in _entries(path):
                    if entry.get("question_type") not in choice.question_types:
                        dropped["question type not wanted"] += 1
                    elif not entry.get("ecg_id"):
                        dropped["question without ECG"] += 1
                    else:
                        questions.append((split, _question(entry, split, style, options, where)))
    if not num_files:
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


def _question(
    entry: dict[str, Any], split: str, style: str, options: dict[int, list[str]], where: str
) -> Question:
    try:
        record_ids = [str(int(value)) for value in entry["ecg_id"]]
        attribute = entry.get("attribute")
        return Question(
            id=f"ptbxl-{split}-{style}-{int(entry['sample_id'])}",
            question=str(entry["question"]),
            answer=canonical_answer(_names(entry["answer"])),
            question_type=str(entry["question_type"]),
            attribute_type=entry.get("attribute_type"),
            template_id=int(entry["template_id"]),
            style=style,
            attribute=None if attribute is None else _names(attribute),
            record_ids=record_ids,
            patient_ids=[""] * len(record_ids),
            options=_options(entry, options),
            origin="ecg_qa",
        )
    except (KeyError, TypeError, ValueError, ManifestError) as error:
        raise ManifestError(f"{where}: {error!r}; copy the file again") from error


def _names(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list")
    return [str(name) for name in value]


def _read_options(path: Path) -> dict[int, list[str]]:
    """Return template id -> possible answers; nothing when the table is absent."""
    if not path.is_file():
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            return {
                int(row["template_id"]): [str(name) for name in ast.literal_eval(row["classes"])]
                for row in csv.DictReader(stream)
            }
    except (OSError, KeyError, TypeError, ValueError, SyntaxError, csv.Error) as error:
        raise ManifestError(f"{path} cannot be read: {error!r}; copy it again") from error


def _options(entry: dict[str, Any], options: dict[int, list[str]]) -> list[str] | None:
    """Return the closed set: yes/no (/not sure), the offered names, or the template's answers."""
    kind = str(entry["question_type"]).rpartition("-")[2]
    listed = options.get(int(entry["template_id"]))
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


def ecg_qa_cohort(folder: Path, ptb_xl: Path, choice: EcgQaChoice, rate: int = 500) -> Cohort:
    """Return PTB-XL's recordings with ECG-QA's questions as a cohort.

    Args:
        folder: ECG-QA's folder (holds ``ecgqa/ptbxl``).
        ptb_xl: PTB-XL's folder.

    Raises:
        ManifestError: a folder is missing or damaged, or no question is left.
    """
    choice.check()
    questions, dropped = read_questions(folder, choice)
    asked = {record_id for _, question in questions for record_id in question.record_ids}
    sources = [
        source
        for source in read_ptb_xl(ptb_xl, rate)
        if keep_fraction(source.patient_id, choice.fraction, choice.seed)
    ]
    if choice.split == "ecg-qa":
        sides = _published_sides(question_folder(folder), questions)
        sources = [
            replace(source, side=sides[source.record_id])
            for source in sources
            if source.record_id in sides
        ]
    if not choice.label_splits:
        sources = [source for source in sources if source.record_id in asked]
    if not sources:
        raise ManifestError(
            f"none of the {len(asked)} recordings that the questions ask about is in {ptb_xl}"
        )

    def make_questions(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        kept, reasons = place_questions(questions, rows)
        if choice.label_splits:
            built = label_questions(
                rows, seed, choice.label_splits, choice.question_types, choice.styles
            )
            for split, more in built.items():
                kept[split].extend(more)
        return kept, {"questions_dropped": dict(sorted((dropped + reasons).items()))}

    return Cohort(
        "ecg_qa_ptbxl",
        sources,
        choice.split,
        straddle="drop" if choice.split == "ecg-qa" else "move",
        make_questions=make_questions,
        notes={"questions_from": _description(choice)},
    )


def _description(choice: EcgQaChoice) -> dict[str, Any]:
    return {
        "style": choice.style,
        "question_types": list(choice.question_types),
        "label_questions_for": list(choice.label_splits),
    }


def _published_sides(root: Path, questions: Sequence[tuple[str, Question]]) -> dict[str, str]:
    """Return record id -> side, from the published lists, else from where it is asked about."""
    sides: dict[str, str] = {}
    for split in SPLITS:
        path = root / f"{split}_ecgs.tsv"
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8").split("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ManifestError(f"{path} cannot be read: {error}") from error
            for line in filter(None, map(str.strip, lines)):
                sides.setdefault(line.rpartition("\t")[2], split)
    for split, question in sorted(questions, key=lambda item: SPLIT_ORDER[item[0]]):
        for record_id in question.record_ids:
            sides.setdefault(record_id, split)
    return sides


def place_questions(
    questions: Sequence[tuple[str, Question]], rows: Sequence[RecordRow]
) -> tuple[Questions, Counter]:
    """Keep the questions whose recordings all lie on the side they were published for.

    Args:
        questions: (published side, question) pairs.
        rows: usable records with their sides.

    Returns:
        Questions per side with patient ids filled in, and how many were dropped why.
    """
    by_id = {row.record_id: row for row in rows}
    kept: Questions = {split: [] for split in SPLITS}
    dropped: Counter = Counter()
    for published, question in questions:
        found = [by_id[name] for name in question.record_ids if name in by_id]
        sides = {row.split for row in found}
        if len(found) < len(question.record_ids):
            dropped["recording not available or dropped"] += 1
        elif len(sides) > 1:
            dropped["recordings on two sides"] += 1
        elif sides != {published}:
            dropped[f"published for {published}, recording on {sides.pop()}"] += 1
        else:
            patients = [row.patient_id for row in found]
            kept[published].append(replace(question, patient_ids=patients))
    return kept, dropped
