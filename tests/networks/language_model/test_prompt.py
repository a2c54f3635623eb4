"""The sequence layout of ECG-Byte (fact sheet section 3.3) and its cut rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_models import build_prefix, builder_of

from ecg_fairseq.errors import RecordError
from ecg_fairseq.networks.language_model.prompt import (
    IGNORED_LABEL,
    cut_lengths,
    pack,
    pad_left,
    pad_packed,
)
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

# rows: text 0..9, ECG 10..35, <sig_start> 36, <sig_end> 37, <pad> 38
VOCABULARY = EcgVocabulary(10, tuple(range(97, 123)), bos_id=1, eos_id=2)
NO_BOS = EcgVocabulary(10, tuple(range(97, 123)), bos_id=None, eos_id=2)
ECG = np.array([10, 11, 12, 13])


def prefix_length(counts, vocabulary):
    return builder_of(vocabulary).shared_length(counts)


def fit_ecgs(ecgs, num_text_tokens, max_sequence, vocabulary, allow_cut, name):
    return builder_of(vocabulary).fit(ecgs, num_text_tokens, max_sequence, allow_cut, name)


def _published(ecg, question, answer, padded_to):
    """Fact sheet 3.3, written down independently: ids, mask, positions, labels."""
    space = padded_to - len(question) - len(answer)
    ids = [38] * (space - len(ecg)) + [1, 36, *ecg, 37, *question, *answer, 2]
    mask = [int(row != 38) for row in ids]
    positions = np.where(mask, np.cumsum(mask) - 1, 0)
    labels = [IGNORED_LABEL] * (len(ids) - len(answer) - 1) + [*answer, 2]
    return ids, mask, positions, labels


def test_worked_example_of_the_fact_sheet():
    question, answer = [3, 4], [5]
    ids, mask, positions, labels = _published(ECG, question, answer, 12)
    assert len(ids) == 16
    ours = pack(build_prefix([ECG], VOCABULARY), [(question, [*answer, 2])])
    counts = np.array(mask, dtype=bool)
    assert ours.input_ids.tolist() == np.array(ids)[counts].tolist()
    assert ours.position_ids.tolist() == positions[counts].tolist() == list(range(11))
    assert ours.labels.tolist() == np.array(labels)[counts].tolist()
    assert ours.labels.tolist() == [IGNORED_LABEL] * 9 + [5, 2]
    # Inference: the same without answer; padding, if any, at the left end as published.
    prompt = np.concatenate([build_prefix([ECG], VOCABULARY), question])
    longer = np.concatenate([prompt[:1], prompt])
    left, left_mask = pad_left([prompt, longer], 38)
    assert left[0].tolist() == [38, 1, 36, 10, 11, 12, 13, 37, 3, 4]
    assert left_mask[0].tolist() == [0] + [1] * 9


def test_two_ecgs_stand_in_order_between_their_own_marks():
    prefix = build_prefix([ECG, ECG[:2]], VOCABULARY)
    assert prefix.tolist() == [1, 36, 10, 11, 12, 13, 37, 36, 10, 11, 37]
    assert len(prefix) == prefix_length([4, 2], VOCABULARY)
    assert build_prefix([ECG], NO_BOS).tolist() == [36, 10, 11, 12, 13, 37]
    assert prefix_length([4], NO_BOS) == 6


def test_packed_questions_start_behind_the_prefix():
    packed = pack(build_prefix([ECG], VOCABULARY), [([3, 4], [5, 2]), ([6], [7, 8, 2])])
    assert packed.segment_ids.tolist() == [0] * 7 + [1] * 4 + [2] * 4
    assert packed.position_ids.tolist() == [*range(7), *range(7, 11), *range(7, 11)]
    ignored = IGNORED_LABEL
    assert packed.labels[7:].tolist() == [ignored, ignored, 5, 2, ignored, 7, 8, 2]


def test_right_padding_goes_on_in_positions_and_has_no_labels():
    short = pack(np.array([1]), [([3], [2])])
    long = pack(np.array([1]), [([3, 4, 5], [6, 2])])
    batch = pad_packed([short, long], 38)
    assert batch["input_ids"].tolist() == [[1, 3, 2, 38, 38, 38], [1, 3, 4, 5, 6, 2]]
    assert batch["position_ids"].tolist() == [list(range(6))] * 2
    assert batch["segment_ids"][0].tolist() == [0, 1, 1, -1, -1, -1]
    assert batch["labels"][0].tolist() == [-100, -100, 2, -100, -100, -100]


def test_training_cuts_the_end_of_the_ecg_only():
    kept = fit_ecgs([np.arange(10, 30)], 6, 16, VOCABULARY, True, "q1")
    assert kept[0].tolist() == list(range(10, 17))  # 16 - 6 text - 3 marks
    assert prefix_length([len(kept[0])], VOCABULARY) + 6 == 16


def test_evaluation_refuses_to_cut_and_names_the_question():
    with pytest.raises(RecordError, match=r"'q1' needs 29 tokens.*max_sequence is 16.*raise"):
        fit_ecgs([np.arange(10, 30)], 6, 16, VOCABULARY, False, "q1")


def test_text_that_does_not_fit_is_an_error_even_in_training():
    with pytest.raises(RecordError, match="'long one'"):
        fit_ecgs([ECG], 16, 16, VOCABULARY, True, "long one")


@given(st.lists(st.integers(0, 60), min_size=1, max_size=3), st.integers(0, 100))
def test_cutting_fills_the_space_and_shares_it(lengths, space):
    kept = cut_lengths(lengths, space)
    assert all(0 <= k <= n for k, n in zip(kept, lengths, strict=True))
    assert sum(kept) == min(space, sum(lengths)) or sum(kept) == sum(lengths)
    # Nobody is cut below what another keeps, up to rounding.
    cut = [k for k, n in zip(kept, lengths, strict=True) if k < n]
    assert not cut or max(kept) <= min(cut) + 1


def test_the_shorter_of_two_leaves_its_share():
    assert cut_lengths([100, 10], 60) == [50, 10]
    assert cut_lengths([30, 100], 60) == [30, 30]
    assert cut_lengths([7], -3) == [0]
