"""Sequences of a prompt layout over one vocabulary, for one question or several.

One sequence is a shared prefix and one segment per question behind it; which pieces are shared
follows from the layout. For ECG-Byte::

    <bos> <sig_start> ECG <sig_end> [<sig_start> second ECG <sig_end>] | Q A <eos> | Q A <eos> ...

Texts are never cut; an ECG that does not fit is cut at its end, as ECG-Byte published it, and only
where the caller allows it.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ecg_fairseq.errors import EcgError, RecordError
from ecg_fairseq.networks.language_model.layout import (
    DEFAULT_LAYOUT,
    Piece,
    PromptLayout,
    load_layout,
)
from ecg_fairseq.networks.language_model.prompt import PackedSequence, cut_lengths, pack
from ecg_fairseq.networks.language_model.text_tokenizer import TextTokenizer
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

_NO_ROWS = np.zeros(0, dtype=np.int64)
_HEADERS_KEPT = 4096


class PromptBuilder:
    """Builds sequences.

    An ECG is given as its rows (S,): those of its tokens, or :meth:`feature_rows`.

    Args:
        layout: of the sequences.
        vocabulary: the id space, of the layout's row order.
        text: None where the layout has no text.
    """

    def __init__(
        self, layout: PromptLayout, vocabulary: EcgVocabulary, text: TextTokenizer | None
    ) -> None:
        if vocabulary.rows != layout.rows:
            raise EcgError(f"the vocabulary was not laid out for prompt layout {layout.name}")
        self.layout = layout
        self.vocabulary = vocabulary
        self.text = text
        self._shared = layout.pieces[: layout.num_shared]
        self._own = layout.pieces[layout.num_shared : layout.num_context]
        ecgs = [piece.kind == "ecg" for piece in layout.pieces]
        self._first_own_ecg = sum(ecgs[: layout.num_shared])
        self._own_ecgs = sum(ecgs) - self._first_own_ecg
        self._text_rows = lru_cache(_HEADERS_KEPT)(self._encoded)

    def __reduce__(self) -> tuple[type["PromptBuilder"], tuple[object, ...]]:
        """Rebuild in a worker process; the cache of encoded headers stays behind."""
        return PromptBuilder, (self.layout, self.vocabulary, self.text)

    # -- texts ---------------------------------------------------------------------------------

    def question_text(self, question: str, header: str = "") -> str:
        """Return the text to encode for a question: that of the piece that asks for it, or ""."""
        for piece in self.layout.pieces:
            if piece.asks("question"):
                return piece.filled(question=question, header=header)
        return ""

    def answer_ids(self, text_ids: Sequence[int]) -> tuple[int, ...]:
        """Return an answer's rows with the layout's end token."""
        end = (self.vocabulary.eos_id,) if self.layout.ends_with_eos else ()
        return (*text_ids, *end)

    def feature_rows(self, num_vectors: int) -> np.ndarray:
        """Return the rows (K,) of an ECG of K feature vectors.

        Raises:
            EcgError: the layout has no rows for feature vectors.
        """
        if self.vocabulary.feature_id is None:
            raise EcgError(f"prompt layout {self.layout.name} has no place for feature vectors")
        return np.full(num_vectors, self.vocabulary.feature_id, dtype=np.int64)

    # -- rows ----------------------------------------------------------------------------------

    def prefix(self, ecgs: Sequence[np.ndarray], header: str = "") -> np.ndarray:
        """Return the rows (S,) that all questions about these ECGs share."""
        self.check_recordings(len(ecgs))
        return self._rows(self._shared, ecgs, 0, _NO_ROWS, header)

    def context(
        self, question_ids: Sequence[int], ecgs: Sequence[np.ndarray], header: str = ""
    ) -> np.ndarray:
        """Return a question's own rows (S,) before its answer.

        Args:
            question_ids: rows of :meth:`question_text`.
            ecgs: all of the sequence, as for :meth:`prefix`.
            header: of the recordings.
        """
        asked = np.asarray(question_ids, dtype=np.int64)
        return self._rows(self._own, ecgs, self._first_own_ecg, asked, header)

    def prompt(
        self, question_ids: Sequence[int], ecgs: Sequence[np.ndarray], header: str = ""
    ) -> np.ndarray:
        """Return everything before the answer (S,)."""
        parts = [self.prefix(ecgs, header), self.context(question_ids, ecgs, header)]
        return np.concatenate(parts)

    def pack(
        self,
        ecgs: Sequence[np.ndarray],
        questions: Sequence[tuple[Sequence[int], Sequence[int]]],
        header: str = "",
    ) -> PackedSequence:
        """Return the sequence of several (question, answer) rows about the same ECGs."""
        segments = [
            (self.context(asked, ecgs, header).tolist(), answer) for asked, answer in questions
        ]
        return pack(self.prefix(ecgs, header), segments)

    # -- lengths -------------------------------------------------------------------------------

    def needed(
        self, counts: Sequence[int], num_text_tokens: int, num_questions: int = 1, header: str = ""
    ) -> int:
        """Return the length of a sequence.

        Args:
            counts: rows of each ECG.
            num_text_tokens: rows of all questions and answers together.
            num_questions: how many questions there are.
            header: of the recordings.
        """
        own = self.own_length(counts, header)
        return self.shared_length(counts, header) + num_questions * own + num_text_tokens

    def shared_length(self, counts: Sequence[int], header: str = "") -> int:
        """Return the length of :meth:`prefix` for ECGs of so many rows."""
        return self._length(self._shared, counts, 0, header)

    def own_length(self, counts: Sequence[int], header: str = "") -> int:
        """Return the length of :meth:`context` without the question's text."""
        return self._length(self._own, counts, self._first_own_ecg, header)

    def fit(
        self,
        ecgs: Sequence[np.ndarray],
        num_text_tokens: int,
        max_sequence: int,
        allow_cut: bool,
        name: str,
        num_questions: int = 1,
        header: str = "",
    ) -> list[np.ndarray]:
        """Cut the ECGs so that the sequence fits, or refuse.

        Args:
            ecgs: rows of each ECG.
            num_text_tokens: rows of all questions and answers together.
            max_sequence: longest sequence allowed.
            allow_cut: cut an ECG that is too long (training) or raise (evaluation); feature vectors
                are never cut.
            name: of the question, for the message.
            num_questions: how many questions there are.
            header: of the recordings.

        Raises:
            RecordError: the text alone does not fit, or the ECG does not and must not be cut.
        """
        self.check_recordings(len(ecgs), name)
        counts = [len(ecg) for ecg in ecgs]
        needed = self.needed(counts, num_text_tokens, num_questions, header)
        if needed <= max_sequence:
            return list(ecgs)
        bare = self.needed([0] * len(ecgs), num_text_tokens, num_questions, header)
        # A layout that shows the ECG in every question's own part holds it as often.
        space = (max_sequence - bare) // (num_questions if self._own_ecgs else 1)
        if space < len(ecgs) or not allow_cut or self.vocabulary.feature_id is not None:
            raise RecordError(
                f"question {name!r} needs {needed} tokens ({sum(counts)} of them ECG, "
                f"{num_text_tokens} text) but task.max_sequence is {max_sequence}; raise "
                "task.max_sequence, use a recipe with a shorter window, or more merges"
            )
        return [ecg[:keep] for ecg, keep in zip(ecgs, cut_lengths(counts, space), strict=True)]

    def check_recordings(self, count: int, name: str = "") -> None:
        """Refuse a number of recordings that the layout has no place for.

        Args:
            count: of recordings.
            name: of the question, for the message.

        Raises:
            RecordError: says how many the layout shows.
        """
        wanted = self.layout.num_recordings
        fewest = sum(piece.kind == "ecg" for piece in self.layout.pieces)
        if count < fewest or (wanted is not None and count != wanted):
            asked = f"question {name!r} is" if name else "a question is"
            raise RecordError(
                f"{asked} about {count} recordings but prompt layout {self.layout.name} shows "
                f"{fewest}{'' if wanted is not None else ' or more'}; choose another "
                "task.prompt_layout or leave such questions out"
            )

    # -- pieces --------------------------------------------------------------------------------

    def _rows(
        self,
        pieces: Sequence[Piece],
        ecgs: Sequence[np.ndarray],
        first_ecg: int,
        question_ids: np.ndarray,
        header: str,
    ) -> np.ndarray:
        """Return the rows of some pieces; ``first_ecg`` is the first recording among them."""
        parts: list[np.ndarray] = [_NO_ROWS]
        for piece in pieces:
            if piece.kind == "ecg":
                shown = ecgs[first_ecg:] if piece.repeat else ecgs[first_ecg : first_ecg + 1]
                first_ecg += 1
                for ecg in shown:
                    parts += [self._mark(piece.start), ecg, self._mark(piece.end)]
            elif piece.asks("question"):
                parts.append(question_ids)
            else:
                parts.append(self._fixed(piece, header))
        return np.concatenate(parts).astype(np.int64)

    def _length(
        self, pieces: Sequence[Piece], counts: Sequence[int], first_ecg: int, header: str
    ) -> int:
        """Return the length of :meth:`_rows` without the question's text."""
        length = 0
        for piece in pieces:
            if piece.kind == "ecg":
                shown = counts[first_ecg:] if piece.repeat else counts[first_ecg : first_ecg + 1]
                first_ecg += 1
                marks = bool(piece.start) + bool(piece.end)
                length += sum(count + marks for count in shown)
            elif not piece.asks("question"):
                length += len(self._fixed(piece, header))
        return length

    def _mark(self, name: str) -> np.ndarray:
        return np.array([self.vocabulary.row_of(name)]) if name else _NO_ROWS

    def _fixed(self, piece: Piece, header: str) -> np.ndarray:
        """Return the rows of a piece that is neither an ECG nor the question."""
        if piece.kind == "bos":
            bos = self.vocabulary.bos_id
            return _NO_ROWS if bos is None else np.array([bos])
        if piece.kind == "row":
            return self._mark(piece.row)
        return self._text_rows(piece.filled(header=header), piece.special_tokens)

    def _encoded(self, text: str, special_tokens: bool) -> np.ndarray:
        if self.text is None:
            raise EcgError(f"prompt layout {self.layout.name} has text but no text tokenizer")
        encode = self.text.encode_special if special_tokens else self.text.encode
        return np.array(encode(text), dtype=np.int64)


def patient_header(age: float | None, sex: str) -> str:
    """Return what is known of a patient as text for the placeholder ``{header}``.

    Unknown values are left out, and identifiers never enter a prompt (fact sheet heartllm.md 8).
    """
    known = [f"Age: {age:g}"] if age is not None else []
    known += [f"Sex: {sex}"] if sex else []
    return f"{'; '.join(known)}." if known else ""


def build_prefix(ecgs: Sequence[np.ndarray], vocabulary: EcgVocabulary) -> np.ndarray:
    """Return the rows (S,) that all questions about these ECGs share in ECG-Byte's layout.

    Args:
        ecgs: rows (S,) of each recording.
        vocabulary: laid out for ECG-Byte.
    """
    return PromptBuilder(load_layout(DEFAULT_LAYOUT), vocabulary, None).prefix(ecgs)
