"""Feature vectors in the ECG's place: forward, generation and closed sets from embeddings."""

import numpy as np
import pytest
import torch
from toy_models import FAMILIES, build, text_tokenizer

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.answering import (
    DecodingOptions,
    generate_answers,
    pack_candidates,
    score_candidates,
)
from ecg_fairseq.networks.language_model.layout import load_layout
from ecg_fairseq.networks.language_model.prompt import pad_left, pad_packed
from ecg_fairseq.networks.language_model.prompt_builder import PromptBuilder
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary, RowOrder

TEXT = text_tokenizer()
LAYOUT = load_layout("two_stage")
VOCABULARY = EcgVocabulary.build(LAYOUT.rows, TEXT, None)
BUILDER = PromptBuilder(LAYOUT, VOCABULARY, TEXT)
NUM_VECTORS = (5, 2)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return build(TEXT, vocabulary=VOCABULARY, llm=request.param)


def prompts() -> list[np.ndarray]:
    """Two prompts with five and two places, of different length."""
    asked = [TEXT.encode("Does this ECG show a tall pulse?"), TEXT.encode("What form is new?")]
    pairs = zip(asked, NUM_VECTORS, strict=True)
    return [BUILDER.prompt(ids, [BUILDER.feature_rows(count)]) for ids, count in pairs]


def features_of(model, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random vectors (B, K, D) of the embeddings' size, and which of them count."""
    width = model.llm.get_input_embeddings().weight.shape[1]
    spread = float(model.llm.get_input_embeddings().weight.std())
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(2, max(NUM_VECTORS), width, generator=generator) * spread * 4
    mask = torch.arange(max(NUM_VECTORS)) < torch.tensor(NUM_VECTORS)[:, None]
    return vectors, mask


def forward(model, rows: np.ndarray, features=None, mask=None) -> torch.Tensor:
    """Logits (S, V) of one sequence."""
    ids = torch.from_numpy(rows)[None]
    with torch.no_grad():
        return model(ids, torch.arange(len(rows))[None], features=features, feature_mask=mask)[0]


def test_embeddings_of_token_rows_as_features_equal_the_token_path(model):
    """Also where a family scales its embeddings (gemma): features take the embeddings' place."""
    prompt = prompts()[0]
    places = prompt == VOCABULARY.feature_id
    rows = np.where(places, np.cumsum(places) + 20, prompt)
    vectors = model.llm.get_input_embeddings()(torch.from_numpy(rows[places]))[None].detach()
    expected = forward(model, rows)
    assert torch.equal(forward(model, prompt, vectors), expected)
    assert not torch.allclose(forward(model, prompt, vectors.flip(1)), expected, atol=1e-4)


def test_generation_from_features_equals_the_teacher_forced_argmax(model):
    features, mask = features_of(model)
    rows = prompts()
    ids, attention = (torch.from_numpy(array) for array in pad_left(rows, VOCABULARY.pad_id))
    options = DecodingOptions(max_new_tokens=6)
    answers = generate_answers(model, ids, attention, options, features, mask)
    for row, (answer, scores) in enumerate(answers):
        whole = np.concatenate([rows[row], answer.numpy()])
        own = features[row : row + 1], mask[row : row + 1]
        logits = forward(model, whole, *own)[len(rows[row]) - 1 : -1, : TEXT.num_rows]
        assert logits.argmax(-1).tolist() == answer.tolist()
        best = torch.log_softmax(logits.float(), -1).amax(-1)
        torch.testing.assert_close(scores, best, rtol=0, atol=1e-4)


def test_other_features_change_the_logits_and_padding_vectors_do_not(model):
    features, mask = features_of(model)
    prompt = prompts()[1]
    first = forward(model, prompt, features[1:], mask[1:])
    changed = features.clone()
    changed[1, 2:] = 7.0
    assert torch.equal(forward(model, prompt, changed[1:], mask[1:]), first)
    other, _ = features_of(model, seed=1)
    assert not torch.allclose(forward(model, prompt, other[1:], mask[1:]), first, atol=1e-4)


def test_gradient_reaches_the_features(model):
    features, _ = features_of(model)
    vectors = features[:1].requires_grad_()
    prompt = torch.from_numpy(prompts()[0])[None]
    positions = torch.arange(prompt.shape[1])[None]
    model(prompt, positions, features=vectors)[0, -1].float().logsumexp(-1).backward()
    assert (vectors.grad.abs().sum(-1) > 0).all()
    model.zero_grad()


def test_closed_sets_are_scored_behind_features(model):
    features, mask = features_of(model)
    prompt = prompts()[1]
    options = [BUILDER.answer_ids(TEXT.encode(text)) for text in ("yes", "tall pulse; none")]
    packed = pad_packed([pack_candidates(prompt, options)], VOCABULARY.pad_id)
    batch = {name: torch.from_numpy(array) for name, array in packed.items()}
    batch |= {"features": features[1:], "feature_mask": mask[1:]}
    (scores,) = score_candidates(model, batch)
    for option, score in zip(options, scores, strict=True):
        whole = np.concatenate([prompt, np.array(option)])
        logits = forward(model, whole, features[1:], mask[1:])[len(prompt) - 1 : -1]
        logits = logits[:, : TEXT.num_rows].float().log_softmax(-1)
        expected = logits[torch.arange(len(option)), torch.tensor(option)]
        torch.testing.assert_close(score, expected, rtol=0, atol=1e-4)


def test_a_wrong_number_of_features_is_said(model):
    features, _ = features_of(model)
    with pytest.raises(EcgError, match=r"\[4\] feature vectors are given for \[5\] places"):
        forward(model, prompts()[0], features[:1, :4])


def test_a_model_of_ecg_tokens_alone():
    """No text rows: it builds, predicts and generates ECG tokens (forecasting)."""
    order = ("<pad>", "<start>", "<end>", "ecg")
    rows = RowOrder(order=order, bos="<start>", eos="<end>", ecg_name="code_{id}")
    vocabulary = EcgVocabulary(0, tuple(range(40)), 1, 2, rows)
    model = build(TEXT, vocabulary=vocabulary, llm="tiny")
    assert model.llm.get_input_embeddings().weight.shape[0] == 43
    ecg = vocabulary.rows_of(np.arange(12))
    prompt = torch.from_numpy(np.concatenate([[1], ecg]))[None]
    options = DecodingOptions(max_new_tokens=5)
    ((answer, _),) = generate_answers(model, prompt, torch.ones_like(prompt), options)
    whole = np.concatenate([prompt[0].numpy(), answer.numpy()])
    assert forward(model, whole)[12:-1].argmax(-1).tolist() == answer.tolist()
    assert vocabulary.text_rows(answer.tolist()) == []
