"""fairseq task ``ecg_qa``: answer questions about ECGs with a language model over ECG tokens.

Training packs questions behind their ECG; ``fairseq-generate`` answers them and scores their closed
sets. Tokenizers, recipe and split travel in the checkpoint and are checked against the manifest.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import register_task
from omegaconf import II, MISSING

from ecg_fairseq.compat import AUTOCAST, COMMON_PRECISION, autocast
from ecg_fairseq.data.questions.answer_generator import (
    AnswerGenerator,
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
    shown_rows,
)
from ecg_fairseq.data.tokens.cached_tokens import CachedTokens, load_ecg_tokens
from ecg_fairseq.data.tokens.registered_tokenizer import registered_tokenizer
from ecg_fairseq.errors import CheckpointError, EcgError, ManifestError
from ecg_fairseq.evaluation.answers.blind import blind_partners
from ecg_fairseq.evaluation.answers.prediction_file import PredictionFile
from ecg_fairseq.networks.language_model.answering import DecodingOptions
from ecg_fairseq.networks.language_model.layout import DEFAULT_LAYOUT, load_layout
from ecg_fairseq.networks.language_model.prompt_builder import PromptBuilder, patient_header
from ecg_fairseq.networks.language_model.text_tokenizer import (
    TextTokenizer,
    load_text_tokenizer,
    text_tokenizer_from_state,
    train_text_tokenizer,
)
from ecg_fairseq.networks.language_model.trained_system import embedded_layout
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.provenance import Provenance, check_tokenizer, provenance_of
from ecg_fairseq.records.questions.question import Question, candidate_answers
from ecg_fairseq.records.questions.question_file import Questions
from ecg_fairseq.tasks.provenance_task import ProvenanceConfig, ProvenanceTask

logger = logging.getLogger(__name__)
# fairseq prints this many hypotheses of a question: the answer and its whole closed set.
_HYPOTHESES_PRINTED = 1000


@dataclass
class EcgQaConfig(ProvenanceConfig):
    """Settings of the task."""

    data: str = field(default=MISSING, metadata={"help": "manifest folder"})
    ecg_tokenizer: Optional[str] = field(
        default=None,
        metadata={
            "help": "ECG tokenizer file (default: the one named in the manifest's meta.json)"
        },
    )
    text_tokenizer: str = field(
        default="corpus",
        metadata={
            "help": "corpus: trained on the training questions; else a local folder or hub name, "
            "the same as model.llm"
        },
    )
    prompt_layout: str = field(
        default=DEFAULT_LAYOUT,
        metadata={
            "help": "how question, ECG and answer stand in a sequence: a layout of "
            "networks/language_model/layouts, or the path of a .yaml file"
        },
    )
    text_vocab_size: int = field(
        default=1024, metadata={"help": "most ids of a corpus text tokenizer"}
    )
    max_sequence: int = field(
        default=1024, metadata={"help": "longest sequence in tokens, ECG and text together"}
    )
    pairs_per_ecg: int = field(
        default=1, metadata={"help": "questions packed behind one copy of their ECG in training"}
    )
    autocast: str = field(
        default="none", metadata={"help": f"mixed precision: {', '.join(AUTOCAST)}"}
    )
    skip_closed_set: bool = field(
        default=False,
        metadata={"help": "fairseq-generate writes the free-text answer only, which is faster"},
    )
    blind: bool = field(
        default=False,
        metadata={"help": "fairseq-generate shows another patient's ECG of the same template"},
    )
    max_new_tokens: int = field(default=64, metadata={"help": "longest answer in text tokens"})
    seed: int = II("common.seed")
    results_path: Optional[str] = II("common_eval.results_path")
    num_shards: int = II("dataset.num_shards")
    shard_id: int = II("dataset.shard_id")
    common_precision: str = COMMON_PRECISION


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
            self.begin_with({"task_state": source}, "the ECG tokenizer")
        self.layout = load_layout(cfg.prompt_layout)
        self.max_sequence = cfg.max_sequence
        self._predictions: Optional[PredictionFile] = None
        self._text_tokenizer: Optional[TextTokenizer] = None
        self._vocabulary: Optional[EcgVocabulary] = None

    @classmethod
    def setup_task(cls, cfg: EcgQaConfig, **kwargs: Any) -> "EcgQaTask":
        """Build the task; what fairseq-validate adds (``from_checkpoint``) makes no difference."""
        return cls(cfg)

    @property
    def text_tokenizer(self) -> TextTokenizer:
        """The checkpoint's, once one is loaded; else the one that the settings name."""
        if self._text_tokenizer is None:
            if self.cfg.text_tokenizer == "corpus":
                self._text_tokenizer = _train_on_corpus(self.manifest, self.cfg.text_vocab_size)
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
        }

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

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build the model and refuse sequences that it cannot place."""
        model = super().build_model(cfg, from_checkpoint)
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
            raise ManifestError(
                f"{self.manifest.path}/{split}.jsonl holds no questions; make them with "
                "manifests/ecg_qa.py, --questions from-labels of manifests/ptb_xl.py, or "
                "--questions TABLE of manifests/own_data.py"
            )
        self.watch_contents(self.manifest.path)
        tokens = load_ecg_tokens(self.manifest, self.ecg_tokenizer)
        arguments = (tokens, self.builder, self.max_sequence)
        if "epoch" in kwargs:
            items = self._training_items(questions, tokens)
            allow_cut = split.startswith("train")
            self.datasets[split] = TrainingQuestions(items, *arguments, allow_cut, self.cfg.seed)
        else:
            indices, encoded = self._answering_items(questions)
            items = [[question] for question in encoded]
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
        texts = self.text_tokenizer.encode_many(
            [builder.question_text(q.question, self._header(q)) for q in questions]
        )
        answers = self._encode_answers([q.answer_text for q in questions])
        return [
            (question, list(text), list(answer))
            for question, text, answer in zip(questions, texts, answers, strict=True)
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
        if self._predictions is not None:
            own = batches.frozen_batches[batches.shard_id :: batches.num_shards]
            self._predictions.expect(dataset.indices[place] for batch in own for place in batch)
        return batches

    def build_generator(
        self, models: Sequence[Any], args: Any, *arguments: Any, **options: Any
    ) -> AnswerGenerator:
        """Return the answer generator: greedy unless ``--sampling`` is given."""
        args.nbest = max(args.nbest, _HYPOTHESES_PRINTED)
        decoding = DecodingOptions(
            max_new_tokens=self.cfg.max_new_tokens,
            do_sample=bool(args.sampling),
            temperature=float(args.temperature),
            seed=int(self.cfg.seed),
        )
        return AnswerGenerator(decoding, not self.cfg.skip_closed_set, self.vocabulary.eos_id)

    def inference_step(
        self,
        generator: AnswerGenerator,
        models: Sequence[Any],
        sample: Any,
        prefix_tokens: Any = None,
        constraints: Any = None,
    ) -> list[list[dict[str, Any]]]:
        """Answer a batch of prompts with the first model."""
        with autocast(self.cfg.autocast, sample["net_input"]["src_tokens"].device):
            hypotheses = generator.generate(models[0], sample)
        if self._predictions is not None:
            for index, found in zip(sample["id"].tolist(), hypotheses, strict=True):
                self._predictions.add(index, written_answers(found, self.target_dictionary))
        return hypotheses

    def max_positions(self) -> int:
        """Longest sequence S."""
        return self.max_sequence


def _train_on_corpus(manifest: Manifest, vocab_size: int) -> TextTokenizer:
    """Train the text tokenizer on the training split's questions and answers."""
    questions = manifest.questions("train")
    places, counts = np.unique(questions.columns.alike, return_counts=True)
    texts: Counter[str] = Counter()
    for place, count in zip(places.tolist(), counts.tolist(), strict=True):
        question = questions[place]
        for text in (question.question, question.answer_text, *(question.options or [])):
            texts[text] += count
    return train_text_tokenizer(texts, vocab_size)
