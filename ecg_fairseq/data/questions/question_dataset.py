"""Questions about ECGs as a fairseq dataset.

Training packs several questions behind one copy of their ECG (``pairs_per_ecg``); evaluation asks
one question a sequence and carries the closed set of candidate answers along. Everything is a pure
function of the manifest and the seed: no randomness in ``__getitem__``, no global state, so a
resumed run sees the same batches as an uninterrupted one.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ecg_fairseq.data.questions.encoded_questions import (
    EncodedQuestion,
    no_whole_window,
    shapes_of,
)
from ecg_fairseq.data.sized_dataset import SizedDataset
from ecg_fairseq.data.tokens.cached_tokens import CachedTokens
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.networks.language_model.answering import pack_candidates
from ecg_fairseq.networks.language_model.prompt import (
    PackedSequence,
    pad_left,
    pad_packed,
)
from ecg_fairseq.networks.language_model.prompt_builder import PromptBuilder
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.questions.question_file import Questions
from ecg_fairseq.records.record_row import SPLITS

logger = logging.getLogger(__name__)


class QuestionDataset(SizedDataset):
    """Common ground of the training and the answering dataset.

    Args:
        items: one list of questions per sequence; the questions of a list share their ECGs.
        tokens: ECG tokens by store row.
        builder: builds the sequences of the prompt layout.
        max_sequence: longest sequence S allowed.
        allow_cut: whether an ECG that does not fit is cut or refused.
        seed: of the order among sequences of equal length.
    """

    def __init__(
        self,
        items: Sequence[Sequence[EncodedQuestion]],
        tokens: CachedTokens,
        builder: PromptBuilder,
        max_sequence: int,
        allow_cut: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.items = items
        self.tokens = tokens
        self.builder = builder
        self.vocabulary = builder.vocabulary
        self.max_sequence = max_sequence
        self.allow_cut = allow_cut
        self.seed = seed
        needed = self._needed()
        self.sizes = np.minimum(needed, max_sequence)
        self.num_cut = int((needed > max_sequence).sum())
        self._refuse_what_cannot_fit(needed)

    def _needed(self) -> np.ndarray:
        """Return the tokens of each sequence before anything is cut, int64 (N,)."""
        shapes = shapes_of(self.items, np.diff(self.tokens.offsets))
        checked = set()
        for kind in np.argsort(shapes.first).tolist():
            num_recordings = len(shapes.distinct[kind][0])
            if num_recordings not in checked:
                first = self.items[int(shapes.first[kind])][0].question.id
                self.builder.check_recordings(num_recordings, first)
                checked.add(num_recordings)
        needed = [self.builder.needed(*shape) for shape in shapes.distinct]
        return np.array(needed, dtype=np.int64)[shapes.kinds]

    def _refuse_what_cannot_fit(self, needed: np.ndarray) -> None:
        """Raise for the longest sequence that does not fit; count and log those that are cut."""
        if self.num_cut == 0:
            return
        for index in np.flatnonzero(needed > self.max_sequence).tolist():
            self.ecgs(self.items[index])
        logger.warning(
            f"{self.num_cut:,} of {len(needed):,} training sequences are longer than "
            f"task.max_sequence={self.max_sequence} (longest {needed.max()}): the end of their "
            "ECG is cut (the last leads of the layout); their questions and answers are whole"
        )

    def ecgs(self, item: Sequence[EncodedQuestion]) -> list[np.ndarray]:
        """Return the rows (S,) of each ECG of a sequence, cut where allowed."""
        ecgs = [self.vocabulary.rows_of(self.tokens[row]) for row in item[0].rows]
        text = sum(question.num_text_tokens for question in item)
        name, header = item[0].question.id, item[0].header
        return self.builder.fit(
            ecgs, text, self.max_sequence, self.allow_cut, name, len(item), header
        )

    def ordered_indices(self) -> np.ndarray:
        """Return indices by length, ties in a seeded order: a pure function of sizes and seed."""
        ties = np.random.default_rng(self.seed).permutation(len(self))
        return np.lexsort((ties, self.sizes))


class TrainingQuestions(QuestionDataset):
    """Sequences for teacher forcing, padded at their right end; loss on the answers only."""

    def __getitem__(self, index: int) -> PackedSequence:
        item = self.items[index]
        questions = [(q.question_ids, q.answer_ids) for q in item]
        return self.builder.pack(self.ecgs(item), questions, item[0].header)

    def collater(self, samples: Sequence[PackedSequence]) -> dict[str, Any]:
        """Batch sequences; see :func:`prompt.pad_packed` for the arrays (B, S)."""
        if not samples:
            return {}
        batch = to_tensors(pad_packed(samples, self.vocabulary.pad_id))
        labels = batch.pop("labels")
        if all(sequence.segment_ids.max() <= 1 for sequence in samples):
            # One question a row is a plain causal sequence: no mask, so the flash kernel can run.
            del batch["segment_ids"]
        return {
            "net_input": batch,
            "labels": labels,
            "ntokens": int((labels != -100).sum()),
            "nsentences": len(samples),
        }


@dataclass(frozen=True)
class Prompt:
    """One question for the generator.

    Attributes:
        index: its place in the manifest's ``{split}.jsonl``.
        prompt: prefix and question (S,).
        answer_ids: the reference.
        candidates: candidate answers behind one copy of the prompt, or None for open questions.
        key: the question's id, by which its answer is sampled.
    """

    index: int
    prompt: np.ndarray
    answer_ids: list[int]
    candidates: PackedSequence | None
    key: str = ""


class AnswerQuestions(QuestionDataset):
    """One question a sequence, for ``fairseq-generate``.

    Args:
        indices: place of each item in the manifest's ``{split}.jsonl``: the ids that are printed.
        arguments: as for :class:`QuestionDataset`.
    """

    def __init__(self, indices: Sequence[int], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.indices = indices

    def __getitem__(self, index: int) -> Prompt:
        (item,) = self.items[index]
        prompt = self.builder.prompt(item.question_ids, self.ecgs([item]), item.header)
        candidates = pack_candidates(prompt, item.candidates) if item.candidates else None
        key = item.question.id
        return Prompt(self.indices[index], prompt, item.answer_ids, candidates, key)

    def collater(self, samples: Sequence[Prompt]) -> dict[str, Any]:
        """Batch prompts, padded at their left end; candidates are padded at their right end."""
        if not samples:
            return {}
        pad_id = self.vocabulary.pad_id
        ids, mask = pad_left([sample.prompt for sample in samples], pad_id)
        answers = [np.array(sample.answer_ids, dtype=np.int64) for sample in samples]
        width = max(len(answer) for answer in answers)
        target = np.full((len(samples), width), pad_id, dtype=np.int64)
        for row, answer in enumerate(answers):
            target[row, : len(answer)] = answer
        packed = {row: s.candidates for row, s in enumerate(samples) if s.candidates is not None}
        batch = {
            "id": torch.tensor([sample.index for sample in samples]),
            "net_input": to_tensors({"src_tokens": ids, "attention_mask": mask}),
            "target": torch.from_numpy(target),
            "nsentences": len(samples),
            "ntokens": int(mask.sum()),
            "candidate_rows": list(packed),
            "keys": [sample.key for sample in samples],
        }
        if packed:
            batch["candidates"] = to_tensors(pad_packed(list(packed.values()), pad_id))
        return batch


def to_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Wrap arrays as tensors without copying."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def no_questions(manifest: Manifest, split: str) -> ManifestError:
    """Return the error about a split without questions."""
    others = [name for name in SPLITS if len(manifest.unchecked_questions(name))]
    few = (
        f" ({' and '.join(others)} hold some: with few patients a split can end without, so make "
        "the manifest from more of them (simulated: 40 or more), or train without validation: "
        "dataset.disable_validation=true)"
    )
    return ManifestError(
        f"{manifest.path}/{split}.jsonl holds no questions; make them with "
        "manifests/ecg_qa.py, --questions from-labels of manifests/ptb_xl.py, or "
        f"--questions TABLE of manifests/own_data.py{few if others else ''}"
    )


def shown_rows(manifest: Manifest, question: Question) -> list[tuple[int, ...]]:
    """Return the store rows to show for a question: one tuple per window of the recording.

    A recording that a recipe cuts into several windows gives one sequence per window with the same
    question, as published; recordings that are compared go window by window.
    """
    records = [manifest.record_row(record_id) for record_id in question.record_ids]
    windows = min(record.num_segments for record in records)
    if windows < 1:
        raise no_whole_window(question.id)
    return [tuple(record.first_row + k for record in records) for k in range(windows)]


def unseen_windows(manifest: Manifest, questions: Questions) -> str:
    """Return one sentence on recordings of which only the first window is judged; empty if none."""
    columns, table = questions.columns, manifest.records
    windows = table.num_segments[table.lines_of(columns.record_ids)]
    fewest = np.minimum.reduceat(windows, columns.first_records[:-1])
    longer = int((fewest > 1).sum())
    if not longer:
        return ""
    return (
        f"{longer:,} of {len(questions):,} questions are about recordings of several windows, up "
        f"to {int(fewest.max())}: only the first window is judged, as `ecg-fairseq predict` does "
        "without --windows all"
    )


def pack_by_ecg(
    questions: Sequence[EncodedQuestion],
    pairs_per_ecg: int,
    space_for_text: Callable[[tuple[int, ...]], int],
    seed: int,
    own_tokens: Callable[[tuple[int, ...]], int] = lambda rows: 0,
) -> list[list[EncodedQuestion]]:
    """Group questions about the same ECGs into sequences of at most ``pairs_per_ecg``.

    Args:
        questions: all of a split.
        pairs_per_ecg: questions behind one copy of the ECG.
        space_for_text: store rows -> tokens that fit behind what is shared about these ECGs. A
            further question never makes the ECG be cut; a single one that does not fit stands
            alone.
        seed: decides which questions of an ECG stand together.
        own_tokens: store rows -> tokens that each question brings along besides its text (none for
            ECG-Byte; the ECG itself where the layout has the question before it).
    """
    groups: dict[tuple[int, ...], list[EncodedQuestion]] = defaultdict(list)
    order = np.random.default_rng(seed).permutation(len(questions))
    for place in order:
        groups[questions[place].rows].append(questions[place])
    sequences: list[list[EncodedQuestion]] = []
    for rows in sorted(groups):
        current: list[EncodedQuestion] = []
        text, space, own = 0, space_for_text(rows), own_tokens(rows)
        for question in groups[rows]:
            full = len(current) == pairs_per_ecg
            needed = question.num_text_tokens + own
            if current and (full or text + needed > space):
                sequences.append(current)
                current, text = [], 0
            current.append(question)
            text += needed
        sequences.append(current)
    return sequences
