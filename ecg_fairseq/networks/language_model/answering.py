"""Answers from a language model: free text with a KV cache, and scores of a closed set.

Free text is Hugging Face's own ``generate`` on left-padded batches, greedy by default. The closed
set (yes/no, the offered findings, ...) is scored in one forward pass: the candidates stand side by
side behind one copy of the prompt, each seeing the prompt and itself only. Bases that cannot take
them so (see :mod:`base.attention`) score them one behind another, with the same numbers.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.base.attention import plain_rows
from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel
from ecg_fairseq.networks.language_model.prompt import IGNORED_LABEL, PackedSequence, pack

# Longest answer where nobody says otherwise and no training answer was longer.
DEFAULT_NEW_TOKENS = 64


@dataclass(frozen=True)
class DecodingOptions:
    """How free text is generated.

    Attributes:
        max_new_tokens: longest answer, end token included.
        do_sample: draw tokens instead of taking the likeliest one; the default is greedy whatever a
            model's own generation settings say.
        temperature: of sampling.
        seed: of sampling; independent of the training seed. Every question draws from a generator
            of its own, so that neither its batch nor its place changes its answer.

    Raises:
        EcgError: a number is out of range.
    """

    max_new_tokens: int = DEFAULT_NEW_TOKENS
    do_sample: bool = False
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise EcgError(
                f"answers of {self.max_new_tokens} tokens were asked for; task.max_new_tokens "
                "(--max-new-tokens) must be at least 1"
            )
        if self.do_sample and not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise EcgError(
                f"temperature {self.temperature:g} cannot be sampled with; give a positive "
                "number, or leave out --sampling for the likeliest answer"
            )


# Scores of this many steps x rows x vocabulary are kept before they are reduced: few enough to
# be in the cache still, enough to save a tiny model the small kernels of every step.
_SCORES_KEPT = 1 << 16


@dataclass
class _AnswerLogits:
    """Logits processor: only text can be generated; the likeliest token's log probability is kept.

    The scores of a few steps are reduced together: one by one, the small kernels would cost a tiny
    model some of its speed; all at the end, a large vocabulary's would fill the memory.
    """

    num_answer_rows: int
    pending: list[Tensor] = field(default_factory=list)
    reduced: list[Tensor] = field(default_factory=list)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores[:, self.num_answer_rows :] = float("-inf")
        text = scores[:, : self.num_answer_rows]
        self.pending.append(text)
        if len(self.pending) * text.numel() >= _SCORES_KEPT:
            self._reduce()
        return scores

    def _reduce(self) -> None:
        if self.pending:
            scores = torch.stack(self.pending, dim=1)
            self.reduced.append(scores.amax(-1) - scores.logsumexp(-1))
            self.pending.clear()

    def best_log_probabilities(self) -> Tensor:
        """Return the log probability of the likeliest token of every step so far (B, A)."""
        self._reduce()
        return torch.cat(self.reduced, dim=1)


class _DrawnLogits(_AnswerLogits):
    """The same for sampling: each row's next token is drawn, and its log probability is kept.

    What is drawn is the only token left, so that taking the likeliest one takes it.

    Args:
        num_answer_rows: rows that compete.
        temperature: of the draws; log probabilities are the model's own, at temperature 1.
        uniform: float64 (B, max_new_tokens) in [0, 1): what decides each draw.
    """

    def __init__(self, num_answer_rows: int, temperature: float, uniform: np.ndarray) -> None:
        super().__init__(num_answer_rows)
        self.temperature = temperature
        self.uniform = torch.from_numpy(uniform)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        text = scores[:, : self.num_answer_rows]
        shares = (text.double() / self.temperature).softmax(-1).cumsum(-1)
        wanted = self.uniform[:, len(self.reduced)].to(text.device)[:, None] * shares[:, -1:]
        drawn = torch.searchsorted(shares, wanted, right=True).clamp_max(self.num_answer_rows - 1)
        self.reduced.append(text.log_softmax(-1).gather(1, drawn))
        return torch.full_like(scores, float("-inf")).scatter(1, drawn, 0.0)


def uniform_draws(
    prompts: Sequence[np.ndarray], keys: Sequence[str], seed: int, count: int
) -> np.ndarray:
    """Return numbers in [0, 1) for every question, from a generator of its own.

    Args:
        prompts: rows (S,) of each question.
        keys: further marks of each question, such as its id.
        seed: of the run.
        count: numbers for each question; asking for more begins with the same ones.

    Returns:
        float64 (B, count), a pure function of a question's rows, its key and the seed.
    """
    drawn = []
    for prompt, key in zip(prompts, keys, strict=True):
        mark = hashlib.sha256(f"{seed}:{key}:".encode() + prompt.astype("<i8").tobytes())
        generator = np.random.default_rng(int.from_bytes(mark.digest()[:16], "little"))
        drawn.append(generator.random(count))
    return np.stack(drawn)


@torch.no_grad()
def generate_answers(
    model: EcgLanguageModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    options: DecodingOptions,
    features: Tensor | None = None,
    feature_mask: Tensor | None = None,
    keys: Sequence[str] | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """Generate one answer per prompt.

    Args:
        model: in evaluation mode.
        input_ids: prompts (B, S), padded at the left end.
        attention_mask: (B, S), 1 where a token counts.
        options: decoding settings.
        features: vectors (B, K, D) for the prompts' feature rows; see
            :meth:`EcgLanguageModel.forward`.
        feature_mask: which of them count (B, K) bool; None for all.
        keys: a mark of each question for sampling, such as its id; None where its rows say which
            it is, which those of feature vectors do not.

    Returns:
        For each prompt the answer's rows (A,) up to and with its end token, and the natural log
        probability (A,) that the model gives each of them.

    Raises:
        EcgError: prompt and answer together are longer than the model's positions, or questions
            with feature vectors are sampled without keys.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    longest = int(attention_mask.sum(1).max()) + options.max_new_tokens
    if longest > model.max_positions():
        raise EcgError(
            f"the longest prompt and an answer of {options.max_new_tokens} tokens need {longest} "
            f"positions but the model has {model.max_positions()}; allow shorter answers "
            "(task.max_new_tokens, --max-new-tokens)"
        )
    vocabulary = model.vocabulary
    # Greedy, also for sampling: see _DrawnLogits. What a base's files ask for was left behind.
    settings = GenerationConfig(
        max_new_tokens=options.max_new_tokens,
        do_sample=False,
        pad_token_id=vocabulary.pad_id,
        eos_token_id=vocabulary.eos_id,
        bos_token_id=vocabulary.bos_id,
    )
    logits = _AnswerLogits(vocabulary.num_answer_rows)
    if options.do_sample:
        if keys is None and features is not None:
            raise EcgError("questions about feature vectors are sampled by keys; give one for each")
        uniform = _uniform_of(input_ids, attention_mask, keys, options)
        logits = _DrawnLogits(vocabulary.num_answer_rows, options.temperature, uniform)
    inputs = model.inputs(input_ids, features, feature_mask)
    sequences = model.llm.generate(
        **inputs,
        attention_mask=attention_mask,
        generation_config=settings,
        logits_processor=LogitsProcessorList([logits]),
    )
    # From embeddings, what is generated comes alone; from rows, behind the prompt.
    answers = sequences[:, input_ids.shape[1] :] if "input_ids" in inputs else sequences
    scores = logits.best_log_probabilities()
    lengths = answer_lengths(answers, vocabulary.eos_id)
    return [
        (answer[:length], score[:length])
        for answer, score, length in zip(answers, scores, lengths, strict=True)
    ]


def _uniform_of(
    input_ids: Tensor, attention_mask: Tensor, keys: Sequence[str] | None, options: DecodingOptions
) -> np.ndarray:
    """Return the draws of a batch of left-padded prompts; see :func:`uniform_draws`."""
    rows, counted = input_ids.cpu().numpy(), attention_mask.cpu().numpy() != 0
    prompts = [row[mask] for row, mask in zip(rows, counted, strict=True)]
    keys = [""] * len(prompts) if keys is None else keys
    return uniform_draws(prompts, keys, options.seed, options.max_new_tokens)


def answer_lengths(answers: Tensor, eos_id: int) -> list[int]:
    """Number of tokens (B,) up to and with the first end token, or all where none came."""
    ended = (answers == eos_id).int()
    first = torch.where(ended.any(1), ended.argmax(1) + 1, answers.shape[1])
    return first.tolist()


def pack_candidates(prompt: np.ndarray, candidates: Sequence[Sequence[int]]) -> PackedSequence:
    """Lay candidates out behind one copy of a prompt.

    The prompt's last token moves into each segment, so that every candidate's first token is
    predicted inside its own segment.

    Args:
        prompt: rows (S,), prefix and question.
        candidates: rows of each candidate, end token included.
    """
    last = [int(prompt[-1])]
    return pack(prompt[:-1], [(last, candidate) for candidate in candidates])


@torch.no_grad()
def score_candidates(model: EcgLanguageModel, batch: dict[str, Tensor]) -> list[list[Tensor]]:
    """Score the candidates of each row of a batch of :func:`pack_candidates`.

    Args:
        model: in evaluation mode.
        batch: input_ids, position_ids, segment_ids, labels, each (B, S); features and feature_mask
            where the prompts have feature rows.

    Returns:
        For each row, for each candidate in order, the natural log probabilities of its tokens (A,).
    """
    if not model.attention.packs:
        return [_score_one_behind_another(model, batch, row) for row in range(len(batch["labels"]))]
    logits = model(**{name: tensor for name, tensor in batch.items() if name != "labels"})
    # Answers are text: the same rows compete here as in generate_answers.
    logits = logits[..., : model.vocabulary.num_answer_rows]
    labels = batch["labels"][:, 1:]
    losses = cross_entropy(
        logits[:, :-1].float().transpose(1, 2),
        labels,
        ignore_index=IGNORED_LABEL,
        reduction="none",
    )
    segments = batch["segment_ids"][:, 1:]
    rows = []
    for row in range(len(labels)):
        counted = labels[row] != IGNORED_LABEL
        count = int(segments[row].max())
        rows.append(
            [-losses[row][counted & (segments[row] == number)] for number in range(1, count + 1)]
        )
    return rows


# Candidates that stand in one batch where they cannot stand behind one prompt.
_CANDIDATES_TOGETHER = 8


def _score_one_behind_another(
    model: EcgLanguageModel, batch: dict[str, Tensor], row: int
) -> list[Tensor]:
    """Score the candidates of one row, each behind a prompt of its own."""
    sequences, num_shared = plain_rows(batch, row)
    labels, segments = batch["labels"][row], batch["segment_ids"][row]
    answers = [
        labels[(segments == number) & (labels != IGNORED_LABEL)]
        for number in range(1, len(sequences) + 1)
    ]
    scores: list[Tensor] = []
    for first in range(0, len(sequences), _CANDIDATES_TOGETHER):
        rows = sequences[first : first + _CANDIDATES_TOGETHER]
        places = torch.arange(rows.shape[1], device=rows.device).expand(len(rows), -1)
        given = {
            name: batch[name][row : row + 1].expand(len(rows), *batch[name].shape[1:])
            for name in ("features", "feature_mask")
            if name in batch
        }
        logits = model(rows, places, logits_to_keep=places[0, num_shared:], **given)
        known = logits[..., : model.vocabulary.num_answer_rows].float().log_softmax(-1)
        for number, answer in enumerate(answers[first : first + len(rows)]):
            # The prompt's last token stands first in a segment and predicts the answer's first.
            scores.append(known[number, : len(answer)].gather(1, answer[:, None])[:, 0])
    return scores
