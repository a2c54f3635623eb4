"""fairseq task ``ecg_qa``: answer questions about ECGs with a language model over ECG tokens.

Training packs questions behind their ECG; ``fairseq-generate`` answers them and scores their closed
sets. Tokenizers, recipe and split travel in the checkpoint and are checked against the manifest.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import register_task

from ecg_fairseq.compat import autocast
from ecg_fairseq.compat.generation_options import refuse_unheeded
from ecg_fairseq.data.questions.answer_generator import (
    AnswerGenerator,
    CutAnswers,
    TextDictionary,
    written_answers,
)
from ecg_fairseq.data.questions.encoded_questions import (
    EncodedQuestion,
    PackedQuestions,
    PackingLimits,
    encode_questions,
    pack_encoded,
)
from ecg_fairseq.data.questions.question_dataset import (
    AnswerQuestions,
    TrainingQuestions,
    no_questions,
    shown_rows,
    unseen_windows,
)
from ecg_fairseq.data.questions.question_texts import (
    refuse_equal_candidates,
    say_long_answers,
    say_losses,
    train_on_corpus,
)
from ecg_fairseq.data.tokens.cached_tokens import CachedTokens, load_ecg_tokens
from ecg_fairseq.data.tokens.registered_tokenizer import registered_tokenizer
from ecg_fairseq.errors import CheckpointError, EcgError, ManifestError
from ecg_fairseq.evaluation.answers.blind import blind_partners
from ecg_fairseq.evaluation.answers.prediction_file import PredictionFile
from ecg_fairseq.networks.language_model.answering import DecodingOptions
from ecg_fairseq.networks.language_model.asked import AskedStages
from ecg_fairseq.networks.language_model.layout import DEFAULT_LAYOUT, load_layout
from ecg_fairseq.networks.language_model.prompt_builder import PromptBuilder, patient_header
from ecg_fairseq.networks.language_model.text_tokenizer import (
    TextTokenizer,
    load_text_tokenizer,
    text_tokenizer_from_state,
)
from ecg_fairseq.networks.language_model.trained_system import embedded_layout, longest_answer
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.provenance import Provenance, check_tokenizer, provenance_of
from ecg_fairseq.records.questions.question import Question, candidate_answers
from ecg_fairseq.records.questions.question_file import Questions
from ecg_fairseq.tasks.ecg_qa_config import EcgQaConfig
from ecg_fairseq.tasks.provenance_task import ProvenanceTask

logger = logging.getLogger(__name__)
# fairseq prints this many hypotheses of a question: the answer and its whole closed set.
_HYPOTHESES_PRINTED = 1000


@register_task("ecg_qa", dataclass=EcgQaConfig)
class EcgQaTask(ProvenanceTask):
    """Questions about ECGs."""

    def __init__(self, cfg: EcgQaConfig) -> None:
        super().__init__(cfg)
        self.manifest = Manifest.load(Path(cfg.data).resolve())
        self.ecg_tokenizer = registered_tokenizer(self.manifest, cfg.ecg_tokenizer)
        self._present = provenance_of(self.manifest.path, self.ecg_tokenizer.sha256())
        made_for = (self.ecg_tokenizer.recipe, self.ecg_tokenizer.split_hash)
        check_tokenizer(*made_for, self._present, self.external_test)
        # Tokens that were trained are a stage before; a language model keeps their patients, too.
        source = getattr(self.ecg_tokenizer, "source", None)
        if source:
            super().begin_with({"task_state": source}, "the ECG tokenizer")
        self.layout = load_layout(cfg.prompt_layout)
        self.max_sequence = cfg.max_sequence
        self._predictions: Optional[PredictionFile] = None
        self._longest_training_answer = 0
        self._cut: Optional[CutAnswers] = None
        self._num_expected = 0
        self._text_tokenizer: Optional[TextTokenizer] = None
        self._vocabulary: Optional[EcgVocabulary] = None
        self._asked = AskedStages()

    @classmethod
    def setup_task(cls, cfg: EcgQaConfig, **kwargs: Any) -> "EcgQaTask":
        """Build the task; what fairseq-validate adds (``from_checkpoint``) makes no difference."""
        return cls(cfg)

    @property
    def text_tokenizer(self) -> TextTokenizer:
        """The checkpoint's, once one is loaded; else the one that the settings name."""
        if self._text_tokenizer is None:
            if self.cfg.text_tokenizer == "corpus":
                self._text_tokenizer = train_on_corpus(self.manifest, self.cfg.text_vocab_size)
            else:
                self._text_tokenizer = load_text_tokenizer(self.cfg.text_tokenizer)
        return self._text_tokenizer

    @property
    def vocabulary(self) -> EcgVocabulary:
        """Text rows first, then ECG and special rows in the layout's order."""
        if self._vocabulary is None:
            self._vocabulary = EcgVocabulary.build(
                self.layout.rows, self.text_tokenizer, self.ecg_tokenizer
            )
        return self._vocabulary

    @property
    def builder(self) -> PromptBuilder:
        """Builds the sequences of the layout."""
        return PromptBuilder(self.layout, self.vocabulary, self.text_tokenizer)

    @property
    def fingerprint(self) -> bytes:
        """Identifies both tokenizers; stored with the weights."""
        return self.vocabulary.fingerprint(
            self.text_tokenizer.sha256(), self.ecg_tokenizer.sha256()
        )

    @property
    def source_dictionary(self) -> TextDictionary:
        """Prints questions."""
        return TextDictionary(self)

    @property
    def target_dictionary(self) -> TextDictionary:
        """Prints answers."""
        return TextDictionary(self)

    @property
    def longest_answer(self) -> int:
        """Tokens that an answer may have: what is asked for, else what training answers had."""
        if self.cfg.max_new_tokens is not None:
            return self.cfg.max_new_tokens
        return longest_answer({"longest_answer": self._longest_training_answer})

    @property
    def present(self) -> Provenance:
        """What is known of the manifest and its tokenizer."""
        return self._present

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold besides weights, in plain types."""
        return {
            **super().state_dict(),
            "text_tokenizer": self.text_tokenizer.state(),
            "ecg_tokenizer": self.ecg_tokenizer.state(),
            "ecg_tokenizer_kind": self.ecg_tokenizer.kind,
            "recipe": json.dumps(self.manifest.meta["recipe"]),
            "max_sequence": self.max_sequence,
            "prompt_layout": json.dumps(self.layout.to_dict()),
            "longest_answer": self._longest_training_answer,
            **self._asked.to_state(),
        }

    def begin_with(self, state: Mapping[str, Any], path: Path | str) -> None:
        """Check a checkpoint that weights are taken from; what it was asked counts as trained."""
        super().begin_with(state, path)
        self._asked.begin_with(state.get("task_state") or {})

    def resume_from(self, state: Mapping[str, Any], path: Path | str) -> None:
        """Check that a checkpoint is of this very training; CheckpointError if not."""
        super().resume_from(state, path)
        self._asked.resume_from(state.get("task_state") or {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Adopt a checkpoint's text tokenizer and prompt layout; check that all else matches.

        fairseq-generate does not hand the layout's name over, so the default gives way.

        Raises:
            CheckpointError: tokenizer or recipe are others, it was trained on patients that the
                manifest tests on, or the settings ask for another prompt layout.
        """
        super().load_state_dict(state_dict)
        layout = embedded_layout(state_dict)
        if self.layout.name not in (layout.name, DEFAULT_LAYOUT):
            raise CheckpointError(
                f"the checkpoint was trained with prompt layout {layout.name}, the settings name "
                f"{self.layout.name}; set task.prompt_layout={layout.name}"
            )
        self.layout = layout
        self._text_tokenizer = text_tokenizer_from_state(state_dict["text_tokenizer"])
        self._vocabulary = None
        self.max_sequence = max(self.max_sequence, int(state_dict["max_sequence"]))
        noted = int(state_dict.get("longest_answer", 0))
        self._longest_training_answer = max(self._longest_training_answer, noted)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build the model and refuse sequences that it cannot place or keep apart."""
        model = super().build_model(cfg, from_checkpoint)
        if self.cfg.pairs_per_ecg > 1 and not model.network.attention.packs:
            raise EcgError(
                f"task.pairs_per_ecg={self.cfg.pairs_per_ecg} puts several questions behind one "
                f"ECG, but the attention of {cfg.llm!r} counts places by itself and would mix "
                "them; set task.pairs_per_ecg=1"
            )
        if self.max_sequence > model.max_positions():
            raise EcgError(
                f"task.max_sequence={self.max_sequence} is longer than the model's "
                f"{model.max_positions()} positions; lower it or choose another model.llm"
            )
        return model

    def load_dataset(
        self,
        split: str,
        combine: bool = False,
        task_cfg: Optional[FairseqDataclass] = None,
        **kwargs: Any,
    ) -> None:
        """Load a split: for teacher forcing in training and validation, for answering otherwise.

        fairseq's trainer and fairseq-validate name the epoch; fairseq-generate does not.
        """
        questions = self.manifest.questions(split)
        if not questions:
            raise no_questions(self.manifest, split)
        self.watch_contents(self.manifest.path)
        tokens = load_ecg_tokens(self.manifest, self.ecg_tokenizer)
        arguments = (tokens, self.builder, self.max_sequence)
        if "epoch" in kwargs:
            items = self._training_items(questions, tokens)
            allow_cut = split.startswith("train")
            self.datasets[split] = TrainingQuestions(items, *arguments, allow_cut, self.cfg.seed)
            if allow_cut:
                self._asked.train_on(questions)
                longest = int(items.questions.texts[1].lengths.max(initial=0))
                self._longest_training_answer = max(self._longest_training_answer, longest)
        else:
            if unseen := unseen_windows(self.manifest, questions):
                logger.warning(unseen)
            indices, encoded = self._answering_items(questions)
            items = [[question] for question in encoded]
            say_long_answers([len(q.answer_ids) for q in encoded], self.longest_answer)
            self.datasets[split] = AnswerQuestions(indices, items, *arguments, False, self.cfg.seed)
            if self.cfg.results_path:
                folder = Path(self.cfg.results_path)
                self._predictions = PredictionFile(folder, questions, self.cfg.blind)
        logger.info(
            f"{split}: {len(questions):,} questions in {len(self.datasets[split]):,} sequences"
        )

    def _training_items(self, questions: Questions, tokens: CachedTokens) -> PackedQuestions:
        """Encode questions, one copy per window of their recording, and pack them."""
        has_headers = self.layout.asks("header")
        headers = [self._header(question) for question in questions] if has_headers else None
        encoded = encode_questions(self.manifest, questions, self._encode, headers)
        builder = self.builder

        def space_for_text(lengths: tuple[int, ...], header: str) -> int:
            return self.max_sequence - builder.shared_length(lengths, header)

        limits = PackingLimits(self.cfg.pairs_per_ecg, space_for_text, builder.own_length)
        return pack_encoded(encoded, np.diff(tokens.offsets), limits, self.cfg.seed)

    def _answering_items(
        self, questions: Sequence[Question]
    ) -> tuple[list[int], list[EncodedQuestion]]:
        """Encode questions with their closed sets; a recording is judged by its first window."""
        shown: list[Optional[int]] = list(range(len(questions)))
        if self.cfg.blind:
            shown = blind_partners(questions)
            dropped = sum(partner is None for partner in shown)
            logger.info(f"blind: every question gets another patient's ECG; {dropped} have none")
        indices, encoded = [], []
        for index, (question, question_ids, answer_ids) in enumerate(self._encode(questions)):
            partner = shown[index]
            if partner is None:
                continue
            rows = shown_rows(self.manifest, questions[partner])[0]
            texts = [] if self.cfg.skip_closed_set else candidate_answers(question)
            candidates = self._encode_answers(texts)
            refuse_equal_candidates(question, texts, candidates)
            indices.append(index)
            header = self._header(questions[partner])
            encoded.append(
                EncodedQuestion(question, rows, question_ids, answer_ids, candidates, header)
            )
        if not encoded:
            raise ManifestError(
                f"none of the {len(questions)} questions has another patient's ECG within its "
                "template, so there is nothing to answer blind; leave out --blind or add patients"
            )
        return indices, encoded

    def _encode(self, questions: Sequence[Question]) -> list[tuple[Question, list[int], list[int]]]:
        """Return each question with the ids of its text and of its answer with end token."""
        builder = self.builder
        texts = [builder.question_text(q.question, self._header(q)) for q in questions]
        answer_texts = [q.answer_text for q in questions]
        say_losses(self.text_tokenizer, texts, answer_texts)
        encoded = self.text_tokenizer.encode_many(texts)
        answers = self._encode_answers(answer_texts)
        return [
            (question, list(text), list(answer))
            for question, text, answer in zip(questions, encoded, answers, strict=True)
        ]

    def _encode_answers(self, answers: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Return ids of answers, end token included."""
        builder = self.builder
        return tuple(builder.answer_ids(ids) for ids in self.text_tokenizer.encode_many(answers))

    def _header(self, question: Question) -> str:
        """Return what the prompt may tell of the patient, where the layout asks for it."""
        if not self.layout.asks("header"):
            return ""
        record = self.manifest.record_row(question.record_ids[0])
        return patient_header(record.age, record.sex)

    def get_batch_iterator(self, dataset: Any, *arguments: Any, **options: Any) -> Any:
        """Return fairseq's batches; answering heeds ``--num-shards``, which fairseq-generate drops.

        What this shard answers is noted: its predictions are written when all of it is there.
        """
        if not isinstance(dataset, AnswerQuestions):
            return super().get_batch_iterator(dataset, *arguments, **options)
        if self.cfg.num_shards > 1:
            options |= {"num_shards": self.cfg.num_shards, "shard_id": self.cfg.shard_id}
        batches = super().get_batch_iterator(dataset, *arguments, **options)
        own = batches.frozen_batches[batches.shard_id :: batches.num_shards]
        self._num_expected = sum(len(batch) for batch in own)
        if self._predictions is not None:
            self._predictions.expect(dataset.indices[place] for batch in own for place in batch)
        return batches

    def build_generator(
        self, models: Sequence[Any], args: Any, *arguments: Any, **options: Any
    ) -> AnswerGenerator:
        """Return the answer generator: greedy unless ``--sampling`` is given.

        Raises:
            EcgError: options ask for what answers do not heed, such as beams or an ensemble.
        """
        refuse_unheeded(args, models)
        args.nbest = max(args.nbest, _HYPOTHESES_PRINTED)
        decoding = DecodingOptions(
            max_new_tokens=self.longest_answer,
            do_sample=bool(args.sampling),
            temperature=float(args.temperature),
            seed=int(self.cfg.seed),
        )
        ends = self.layout.ends_with_eos
        self._cut = CutAnswers(self.longest_answer, self.vocabulary.eos_id if ends else None)
        self._cut.num_expected = self._num_expected
        return AnswerGenerator(decoding, not self.cfg.skip_closed_set, self.vocabulary.eos_id)

    def inference_step(
        self,
        generator: AnswerGenerator,
        models: Sequence[Any],
        sample: Any,
        prefix_tokens: Any = None,
        constraints: Any = None,
    ) -> list[list[dict[str, Any]]]:
        """Answer a batch of prompts.

        Raises:
            EcgError: prefixes or constraints are given.
        """
        if prefix_tokens is not None or constraints is not None:
            raise EcgError(
                "answers begin behind their question and are free: leave out --prefix-size and "
                "--constraints"
            )
        with autocast(self.cfg.autocast, sample["net_input"]["src_tokens"].device):
            hypotheses = generator.generate(models[0], sample)
        if self._cut is not None:
            self._cut.add(hypotheses)
        if self._predictions is not None:
            for index, found in zip(sample["id"].tolist(), hypotheses, strict=True):
                self._predictions.add(index, written_answers(found, self.target_dictionary))
        return hypotheses

    def max_positions(self) -> int:
        """Longest sequence S."""
        return self.max_sequence
