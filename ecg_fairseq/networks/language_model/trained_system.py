"""A trained question answerer, loaded from one checkpoint file without fairseq or a manifest."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecg_fairseq.errors import CheckpointError, EcgError, RecordError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.language_model.answering import (
    DEFAULT_NEW_TOKENS,
    DecodingOptions,
    generate_answers,
    pack_candidates,
    score_candidates,
)
from ecg_fairseq.networks.language_model.asked import Asked
from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel
from ecg_fairseq.networks.language_model.layout import (
    DEFAULT_LAYOUT,
    PromptLayout,
    layout_from_dict,
    load_layout,
)
from ecg_fairseq.networks.language_model.prompt import pad_left, pad_packed
from ecg_fairseq.networks.language_model.prompt_builder import PromptBuilder
from ecg_fairseq.networks.language_model.text_tokenizer import (
    TextTokenizer,
    text_tokenizer_from_state,
)
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary
from ecg_fairseq.records.manifest.provenance import Provenance
from ecg_fairseq.records.readers.plausibility import segments_to_leave_out
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.signal.recipes import recipe_from_description
from ecg_fairseq.tokenizer import EcgTokens
from ecg_fairseq.tokenizer.ecg_tokens import DEFAULT_KIND, tokens_from_state


@dataclass(frozen=True)
class Answer:
    """An answer to one question about one or two recordings.

    Attributes:
        text: what the model wrote.
        log_probability: natural log probability of the text, end token included.
        options: (option, natural log probability) of a closed set, in the order given.
        is_cut: it reached the longest answer allowed and did not end.
        windows: what the model wrote about each window, where all were asked about.
    """

    text: str
    log_probability: float
    options: tuple[tuple[str, float], ...] = ()
    is_cut: bool = False
    windows: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainedSystem:
    """Model, both tokenizers, prompt layout and recipe of one checkpoint.

    Attributes:
        ecg_tokenizer: ECG tokens of any kind.
        max_sequence: longest sequence it was trained with.
        source: the training data.
        num_updates: training updates behind the weights.
        longest_answer: tokens that an answer may have unless more are asked for: those of the
            longest training answer, and at least :data:`answering.DEFAULT_NEW_TOKENS`.
        asked: what it was asked in training; None where an older checkpoint does not say it.
    """

    model: EcgLanguageModel
    text_tokenizer: TextTokenizer
    ecg_tokenizer: EcgTokens
    layout: PromptLayout
    recipe: Recipe
    max_sequence: int
    source: Provenance
    num_updates: int
    longest_answer: int = DEFAULT_NEW_TOKENS
    asked: Asked | None = None

    @property
    def split_hash(self) -> str:
        """Hash of the split it was trained on."""
        return str(self.source.split_hash)

    @property
    def vocabulary(self) -> EcgVocabulary:
        """The id space."""
        return self.model.vocabulary

    @property
    def builder(self) -> PromptBuilder:
        """Builds prompts of the layout."""
        return PromptBuilder(self.layout, self.vocabulary, self.text_tokenizer)

    def segments(self, record: EcgRecord) -> np.ndarray:
        """Prepare a recording of any length; return float32 (N, L, T), N at least 1.

        Raises:
            RecordError: the recording does not fit the recipe.
        """
        try:
            segments = self.recipe.apply(record.signal, record.leads, record.fs_hz)
        except RecordError as cause:
            raise RecordError(f"record {record.record_id}: {cause}") from cause
        if len(segments) == 0:
            raise RecordError(
                f"record {record.record_id} is shorter than one window of recipe "
                f"{self.recipe.name}; {record.signal.shape[1] / record.fs_hz:.1f} s were given"
            )
        return segments

    def moving_segments(self, record: EcgRecord) -> np.ndarray:
        """Prepare a recording as ``prepare`` does: without segments in which no lead moves.

        Returns and raises as :meth:`segments`.
        """
        segments = self.segments(record)
        seconds = self.recipe.segment_seconds
        return segments[~segments_to_leave_out(record, len(segments), seconds)]

    def ecg_rows(self, record: EcgRecord) -> np.ndarray:
        """Prepare and encode a recording's first window; return vocabulary rows (S,).

        Raises:
            RecordError: the recording does not fit the recipe.
        """
        return self._rows_of(self.moving_segments(record)[0])

    def _rows_of(self, segment: np.ndarray) -> np.ndarray:
        """Encode a segment (L, T); return vocabulary rows (S,)."""
        (ids,) = self.ecg_tokenizer.encode(segment[None])
        return self.vocabulary.rows_of(ids)

    def check_num_recordings(self, count: int) -> None:
        """Refuse a number of recordings in one question that no training question had.

        Where an older checkpoint does not say it, the prompt layout decides.

        Raises:
            EcgError: names what the model was trained on.
        """
        self.builder.check_recordings(count)
        if self.asked is None or count in self.asked.num_recordings:
            return
        known = ", ".join(map(str, sorted(self.asked.num_recordings)))
        instead = "give them one by one" if count > 1 else "give what it compares with --compare"
        raise EcgError(
            f"the model was trained on questions about {known} recording(s) at a time, this one is "
            f"about {count}; {instead}"
        )

    def prompt(self, records: Sequence[EcgRecord], question: str, header: str = "") -> np.ndarray:
        """Return the prompt (S,) about the first window; arguments as :meth:`prompts`."""
        return self.prompts(records, question, header)[0]

    def prompts(
        self,
        records: Sequence[EcgRecord],
        question: str,
        header: str = "",
        all_windows: bool = False,
    ) -> list[np.ndarray]:
        """Return the prompt (S,) of a question about the first window of these recordings, or one
        about each window.

        Args:
            records: one recording, or more where the layout has a place for them, which then go
                window by window as in training.
            question: in the words the model was trained on.
            header: what is known of the patient, where the layout asks for it.
            all_windows: ask about all windows that every one of the recordings has.

        Raises:
            EcgError: the question is empty.
            RecordError: a recording does not fit the recipe, or all together are too long.
        """
        if not question.strip():
            raise EcgError("the question is empty; ask in the words the model was trained on")
        builder = self.builder
        text = self.text_tokenizer.encode(builder.question_text(question, header))
        name = records[0].record_id
        prompts = []
        for windows in zip(*map(self.moving_segments, records), strict=False):
            ecgs = [self._rows_of(segment) for segment in windows]
            ecgs = builder.fit(ecgs, len(text), self.max_sequence, False, name, header=header)
            prompts.append(builder.prompt(text, ecgs, header))
            if not all_windows:
                break
        return prompts

    def answer(
        self,
        records: Sequence[EcgRecord],
        question: str,
        options: Sequence[str] = (),
        decoding: DecodingOptions | None = None,
        header: str = "",
        all_windows: bool = False,
    ) -> Answer:
        """Answer one question.

        Args:
            records: one recording, or two to compare.
            question: in the words the model was trained on.
            options: a closed set to score besides the free text.
            decoding: by default greedy, and as long as the training answers were.
            header: as for :meth:`prompts`.
            all_windows: judge by all windows instead of the first: each is asked about, and of what
                the model wrote that answer is taken whose mean log probability over the windows is
                the highest; options have their mean as well.
        """
        prompts = self.prompts(records, question, header, all_windows)
        written = [self._written(prompt, decoding) for prompt in prompts]
        scored = self._mean_scores(prompts, options)
        if len(prompts) == 1:
            return replace(written[0], options=scored)
        texts = tuple(answer.text for answer in written)
        means = self._mean_scores(prompts, list(dict.fromkeys(texts)))
        best, log_probability = max(means, key=lambda item: item[1])
        is_cut = written[texts.index(best)].is_cut
        return Answer(best, log_probability, scored, is_cut, texts)

    def _written(self, prompt: np.ndarray, decoding: DecodingOptions | None) -> Answer:
        """Return what the model writes behind a prompt."""
        ids, mask = (torch.from_numpy(a) for a in pad_left([prompt], self.vocabulary.pad_id))
        decoding = decoding or DecodingOptions(max_new_tokens=self.longest_answer)
        ((rows, scores),) = generate_answers(self.model, ids, mask, decoding)
        text = self.text_tokenizer.decode(self.vocabulary.text_rows(rows.tolist()))
        is_cut = self.layout.ends_with_eos and int(rows[-1]) != self.vocabulary.eos_id
        return Answer(text, float(scores.sum()), is_cut=is_cut)

    def _mean_scores(
        self, prompts: Sequence[np.ndarray], options: Sequence[str]
    ) -> tuple[tuple[str, float], ...]:
        """Return (option, mean of its log probabilities behind each of the prompts)."""
        scores = [[score for _, score in self._score_options(one, options)] for one in prompts]
        return tuple(zip(options, np.mean(scores, axis=0).tolist(), strict=True))

    def notes(self, question: str, options: Sequence[str] = ()) -> list[str]:
        """Say which words of a question were never trained, and what cannot be written of it.

        Of a checkpoint that does not keep what it was asked, that its words are not checked.
        """
        unknown = self.asked.unknown_words(question) if self.asked else []
        said = (
            self.text_tokenizer.loss_in_words([question], "questions"),
            self.text_tokenizer.loss_in_words(options, "options"),
            self.asked is None
            and "the checkpoint is an older one that does not keep what it was asked in training, "
            "so the words of the question are not checked",
            unknown
            and f"no question that the model was trained on has the words {', '.join(unknown)}",
        )
        return [sentence for sentence in said if sentence]

    def _score_options(
        self, prompt: np.ndarray, options: Sequence[str]
    ) -> tuple[tuple[str, float], ...]:
        """Score a closed set behind one copy of the prompt."""
        if not options:
            return ()
        encoded = [self.builder.answer_ids(ids) for ids in self._encode(options)]
        packed = pad_packed([pack_candidates(prompt, encoded)], self.vocabulary.pad_id)
        batch = {name: torch.from_numpy(array) for name, array in packed.items()}
        (scores,) = score_candidates(self.model, batch)
        return tuple((o, float(s.sum())) for o, s in zip(options, scores, strict=True))

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return self.text_tokenizer.encode_many(texts)


def load_trained_system(path: Path | str) -> TrainedSystem:
    """Load a checkpoint of model ``ecg_llm``.

    Raises:
        CheckpointError: it is damaged, of another model, or its tensors do not fit.
    """
    return system_of_state(read_checkpoint_file(path), path)


def system_of_state(state: dict[str, Any], path: Path | str) -> TrainedSystem:
    """Return the system of a checkpoint that was read; errors as :func:`load_trained_system`."""
    model_cfg = (state.get("cfg") or {}).get("model") or {}
    task = state.get("task_state") or {}
    if model_cfg.get("_name") != "ecg_llm" or "ecg_tokenizer" not in task:
        raise CheckpointError(
            f"{path} is a checkpoint of model {model_cfg.get('_name')!r}; this command wants one "
            "of ecg_llm, trained with task ecg_qa"
        )
    text_tokenizer = text_tokenizer_from_state(task["text_tokenizer"])
    ecg_tokenizer = embedded_tokens(task)
    layout = embedded_layout(task)
    vocabulary = EcgVocabulary.build(layout.rows, text_tokenizer, ecg_tokenizer)
    fingerprint = vocabulary.fingerprint(text_tokenizer.sha256(), ecg_tokenizer.sha256())
    config = LanguageModelConfig(
        **{f.name: model_cfg[f.name] for f in fields(LanguageModelConfig) if f.name in model_cfg}
    )
    model = EcgLanguageModel(config, vocabulary, fingerprint, int(model_cfg.get("seed", 1)))
    model.load_checkpoint_tensors(_network_tensors(state["model"]))
    return TrainedSystem(
        model.eval(),
        text_tokenizer,
        ecg_tokenizer,
        layout,
        recipe_from_description(json.loads(task["recipe"]), str(path)),
        int(task["max_sequence"]),
        Provenance.from_state(task, path),
        _num_updates(state),
        longest_answer(task),
        Asked.from_state(task),
    )


def longest_answer(task_state: dict[str, Any]) -> int:
    """Return the tokens that answers may have by default; see :class:`TrainedSystem`.

    Checkpoints from before this was noted leave it at the default.
    """
    return max(DEFAULT_NEW_TOKENS, int(task_state.get("longest_answer", 0)))


def embedded_tokens(task_state: dict[str, Any]) -> EcgTokens:
    """Return the ECG tokens that a checkpoint of task ``ecg_qa`` holds.

    Raises:
        TokenizerError: a kind that this program does not know, or a damaged state.
    """
    kind = task_state.get("ecg_tokenizer_kind", DEFAULT_KIND)
    return tokens_from_state(kind, task_state["ecg_tokenizer"])


def embedded_layout(task_state: dict[str, Any]) -> PromptLayout:
    """Return the prompt layout that a checkpoint holds; ECG-Byte's where it is older than layouts.

    Raises:
        EcgError: the stored layout contradicts itself.
    """
    stored = task_state.get("prompt_layout")
    if stored is None:
        return load_layout(DEFAULT_LAYOUT)
    return layout_from_dict(json.loads(stored), "the checkpoint's prompt layout")


def _network_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """Strip the adapter's prefix."""
    return {name.removeprefix("network."): value for name, value in state.items()}


def _num_updates(state: dict[str, Any]) -> int:
    """Return the number of updates that the optimizer history tells."""
    history = state.get("optimizer_history") or [{}]
    return int(history[-1].get("num_updates", 0))
