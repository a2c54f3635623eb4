"""Answers from a language model: free text with a KV cache, and scores of a closed set.

Free text is Hugging Face's own ``generate`` on left-padded batches, greedy by default. The closed
set (yes/no, the offered findings, ...) is scored in one forward pass: the candidates stand side by
side behind one copy of the prompt, each seeing the prompt and itself only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel
from ecg_fairseq.networks.language_model.prompt import IGNORED_LABEL, PackedSequence, pack


@dataclass(frozen=True)
class DecodingOptions:
    """How free text is generated.

    Attributes:
        max_new_tokens: longest answer, end token included.
        do_sample: draw tokens instead of taking the likeliest one; the default is greedy whatever a
            model's own generation settings say.
        temperature: of sampling.
        seed: of sampling; independent of the training seed.
    """

    max_new_tokens: int = 64
    do_sample: bool = False
    temperature: float = 1.0
    seed: int = 0


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


@torch.no_grad()
def generate_answers(
    model: EcgLanguageModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    options: DecodingOptions,
    features: Tensor | None = None,
    feature_mask: Tensor | None = None,
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

    Returns:
        For each prompt the answer's rows (A,) up to and with its end token, and per token the
        natural log probability of the likeliest token (A,): under greedy decoding, its own.

    Raises:
        EcgError: prompt and answer together are longer than the model's positions.
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
    settings = GenerationConfig(
        max_new_tokens=options.max_new_tokens,
        do_sample=options.do_sample,
        temperature=options.temperature if options.do_sample else None,
        top_k=0 if options.do_sample else None,
        pad_token_id=vocabulary.pad_id,
        eos_token_id=vocabulary.eos_id,
        bos_token_id=vocabulary.bos_id,
    )
    logits = _AnswerLogits(vocabulary.num_answer_rows)
    if options.do_sample:
        torch.manual_seed(options.seed)
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
