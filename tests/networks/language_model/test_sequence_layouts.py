"""Padding and packing change no logits, in any family and with either attention kernel."""

import numpy as np
import pytest
import torch
from toy_models import FAMILIES, build, build_prefix, logits_of, random_rows, text_tokenizer

from ecg_fairseq.networks.language_model.prompt import pack, pad_left

TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request, family):
    return build(text_tokenizer(), llm=family, attention=request.param)


def _parts(model, num_segments: int):
    """Return a prefix over two ECGs and (question, answer) rows of different lengths."""
    vocabulary = model.vocabulary
    ecgs = [random_rows(vocabulary, length, length, text=False) for length in (17, 9)]
    prefix = build_prefix(ecgs, vocabulary)
    segments = [
        (
            random_rows(vocabulary, 3 + i, i, text=True).tolist(),
            [*random_rows(vocabulary, 2 + 2 * i, 50 + i, text=True).tolist(), vocabulary.eos_id],
        )
        for i in range(num_segments)
    ]
    return prefix, segments


def test_packed_equals_separate_sequences(model):
    prefix, segments = _parts(model, 3)
    packed = logits_of(model, [pack(prefix, segments)])[0]
    start = len(prefix)
    for segment in segments:
        alone = logits_of(model, [pack(prefix, [segment])], with_segments=False)[0]
        length = sum(map(len, segment))
        torch.testing.assert_close(
            packed[start : start + length], alone[len(prefix) :], rtol=0, atol=TOLERANCE
        )
        start += length
    torch.testing.assert_close(packed[: len(prefix)], alone[: len(prefix)], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("with_segments", [True, False])
def test_right_padding_changes_nothing(model, with_segments):
    prefix, segments = _parts(model, 2)
    short, long = pack(prefix[:8], segments[:1]), pack(prefix, segments[1:])
    both = logits_of(model, [short, long], with_segments)
    for row, sequence in enumerate((short, long)):
        alone = logits_of(model, [sequence], with_segments)[0]
        torch.testing.assert_close(both[row][: len(alone)], alone, rtol=0, atol=TOLERANCE)


def test_left_padding_in_generation_equals_right_padding_in_training(model):
    prefix, segments = _parts(model, 1)
    prompt = np.concatenate([prefix, segments[0][0]])
    longer = np.concatenate([prefix, prefix[1:], segments[0][0]])
    ids, mask = (torch.from_numpy(array) for array in pad_left([prompt, longer], 0))
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    with torch.no_grad():
        left = model.llm(input_ids=ids, attention_mask=mask, position_ids=positions).logits[0]
    right = logits_of(model, [pack(prefix, [(segments[0][0], [])])], with_segments=False)[0]
    torch.testing.assert_close(left[-len(prompt) :], right, rtol=0, atol=TOLERANCE)


def test_segments_do_not_see_each_other(model):
    prefix, segments = _parts(model, 2)
    changed = [segments[0], ([5, 6, 7, 8], segments[1][1])]
    first, second = (logits_of(model, [pack(prefix, s)])[0] for s in (segments, changed))
    end = len(prefix) + sum(map(len, segments[0]))
    assert torch.equal(first[:end], second[:end])
    assert not torch.allclose(first[end:], second[end : end + len(first) - end], atol=1e-3)


def test_logits_only_where_asked(model):
    prefix, segments = _parts(model, 1)
    sequence = pack(prefix, segments)
    whole = logits_of(model, [sequence], with_segments=False)
    ids = torch.from_numpy(sequence.input_ids)[None]
    keep = torch.tensor([3, 7, len(sequence.input_ids) - 2])
    with torch.no_grad():
        some = model(ids, torch.arange(ids.shape[1])[None], None, logits_to_keep=keep)
    torch.testing.assert_close(some, whole[:, keep], rtol=0, atol=TOLERANCE)


def test_distinct_new_rows_give_distinct_logits(model):
    prefix, segments = _parts(model, 1)
    other = prefix.copy()
    other[5] = model.vocabulary.num_text_rows + (other[5] + 1) % len(model.vocabulary.ecg_ids)
    first, second = (
        logits_of(model, [pack(p, segments)], with_segments=False)[0, -1] for p in (prefix, other)
    )
    assert (first - second).abs().max() > 1e-4
