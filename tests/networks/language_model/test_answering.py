"""Free text and closed sets: batch == single, greedy score == closed-set score, seeds, ends."""

import numpy as np
import pytest
import torch
from toy_models import FAMILIES, build, build_prefix, random_rows, text_tokenizer, train_two_steps

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.answering import (
    DecodingOptions,
    answer_lengths,
    generate_answers,
    pack_candidates,
    score_candidates,
)
from ecg_fairseq.networks.language_model.prompt import pack, pad_left, pad_packed

TEXT = text_tokenizer()
ANSWERS = ("yes", "no", "tall pulse; none")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    """A model that has seen its answers, so that some end within a few tokens."""
    model = build(TEXT, llm=request.param)
    answers = [[*ids, TEXT.eos_id] for ids in TEXT.encode_many(ANSWERS)]
    sequences = [
        pack(prompt[:-1], [([int(prompt[-1])], answer)])
        for prompt, answer in zip(prompts_of(model), answers, strict=True)
    ]
    for _ in range(6):
        train_two_steps(model, sequences)
    return model


def prompts_of(model) -> list[np.ndarray]:
    """Three prompts of different lengths."""
    vocabulary = model.vocabulary
    return [
        np.concatenate(
            [
                build_prefix([random_rows(vocabulary, 8 + 9 * k, k, text=False)], vocabulary),
                TEXT.encode("Does this ECG show a tall pulse?"),
            ]
        )
        for k in range(3)
    ]


def answer(model, prompts, **options):
    ids, mask = (torch.from_numpy(a) for a in pad_left(prompts, model.vocabulary.pad_id))
    return generate_answers(model, ids, mask, DecodingOptions(**{"max_new_tokens": 12, **options}))


def score(model, prompt, candidates) -> list[torch.Tensor]:
    packed = pad_packed([pack_candidates(prompt, candidates)], model.vocabulary.pad_id)
    batch = {name: torch.from_numpy(array) for name, array in packed.items()}
    return score_candidates(model, batch)[0]


def test_batch_equals_single(model):
    together = answer(model, prompts_of(model))
    for prompt, (rows, scores) in zip(prompts_of(model), together, strict=True):
        ((alone, alone_scores),) = answer(model, [prompt])
        assert rows.tolist() == alone.tolist()
        torch.testing.assert_close(scores, alone_scores, rtol=0, atol=1e-4)


def test_answers_end_at_the_end_token_and_hold_text_only(model):
    for rows, scores in answer(model, prompts_of(model)):
        assert len(rows) == len(scores) <= 12
        assert (rows < model.vocabulary.num_text_rows).all()
        assert TEXT.eos_id not in rows[:-1].tolist()
        assert rows[-1] == TEXT.eos_id or len(rows) == 12


def test_greedy_equals_a_loop_without_cache(model):
    """The slow readable twin: a whole forward pass a token, the likeliest text row each time."""
    for prompt in prompts_of(model):
        rows = list(prompt)
        for _ in range(12):
            ids = torch.tensor([rows])
            with torch.no_grad():
                logits = model(ids, torch.arange(len(rows))[None])[0, -1]
            rows.append(int(logits[: model.vocabulary.num_text_rows].argmax()))
            if rows[-1] == TEXT.eos_id:
                break
        ((ours, _),) = answer(model, [prompt])
        assert ours.tolist() == rows[len(prompt) :]


def test_free_text_score_equals_the_same_texts_candidate_score(model):
    for prompt in prompts_of(model):
        ((rows, scores),) = answer(model, [prompt])
        (as_candidate,) = score(model, prompt, [rows.tolist()])
        torch.testing.assert_close(scores, as_candidate, rtol=0, atol=1e-4)


def test_candidates_keep_their_order_and_do_not_disturb_each_other(model):
    prompt = prompts_of(model)[1]
    candidates = [[*ids, TEXT.eos_id] for ids in TEXT.encode_many(ANSWERS)]
    together = score(model, prompt, candidates)
    assert [len(s) for s in together] == [len(c) for c in candidates]
    backwards = score(model, prompt, candidates[::-1])[::-1]
    for candidate, first, second in zip(candidates, together, backwards, strict=True):
        torch.testing.assert_close(first, score(model, prompt, [candidate])[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(first, second, rtol=0, atol=1e-4)
        assert (first <= 0).all()


def test_candidate_rows_of_a_batch_equal_single_rows(model):
    prompts = prompts_of(model)
    sets = [[[5, 2], [6, 7, 2]], [[8, 2]], [[5, 2], [6, 2], [9, 9, 9, 2]]]
    packed = [pack_candidates(p, c) for p, c in zip(prompts, sets, strict=True)]
    padded = pad_packed(packed, model.vocabulary.pad_id)
    batch = {name: torch.from_numpy(array) for name, array in padded.items()}
    for prompt, candidates, row in zip(prompts, sets, score_candidates(model, batch), strict=True):
        alone = score(model, prompt, candidates)
        assert [len(s) for s in row] == [len(s) for s in alone]
        for first, second in zip(row, alone, strict=True):
            torch.testing.assert_close(first, second, rtol=0, atol=1e-4)


def test_sampling_is_repeatable_by_seed(model):
    prompts = prompts_of(model)

    def texts(seed: int) -> list[list[int]]:
        answers = answer(model, prompts, do_sample=True, temperature=3.0, seed=seed)
        return [rows.tolist() for rows, _ in answers]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    for rows in texts(3):
        assert max(rows) < model.vocabulary.num_text_rows


def test_sampling_heeds_neither_batch_nor_order(model):
    prompts = prompts_of(model)
    options = {"do_sample": True, "temperature": 3.0, "seed": 5}
    together = [rows.tolist() for rows, _ in answer(model, prompts, **options)]
    backwards = [rows.tolist() for rows, _ in answer(model, prompts[::-1], **options)]
    alone = [answer(model, [prompt], **options)[0][0].tolist() for prompt in prompts]
    assert together == backwards[::-1] == alone
    longer = answer(model, prompts, max_new_tokens=20, **options)
    for rows, (more, _) in zip(together, longer, strict=True):
        assert more.tolist()[: len(rows)] == rows


def test_sampling_leaves_the_programs_own_random_numbers_alone(model):
    before = torch.get_rng_state()
    answer(model, prompts_of(model), do_sample=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_score_of_a_sampled_answer_is_its_own(model):
    for prompt in prompts_of(model):
        ((rows, scores),) = answer(model, [prompt], do_sample=True, temperature=3.0)
        (as_candidate,) = score(model, prompt, [rows.tolist()])
        torch.testing.assert_close(scores, as_candidate, rtol=0, atol=1e-4)


def test_draws_follow_the_models_probabilities():
    """First tokens of one prompt under 3,000 keys against softmax at the temperature."""
    model = build(TEXT, llm="tiny")
    prompt = prompts_of(model)[0]
    count = 3000
    ids = torch.from_numpy(prompt)[None].expand(count, -1)
    options = DecodingOptions(max_new_tokens=1, do_sample=True, temperature=0.5)
    keys = [str(number) for number in range(count)]
    drawn = generate_answers(model, ids, torch.ones_like(ids), options, keys=keys)
    with torch.no_grad():
        logits = model(ids[:1], torch.arange(len(prompt))[None])[0, -1]
    wanted = (logits[: TEXT.num_rows].double() / 0.5).softmax(-1).numpy()
    given = np.bincount([int(rows[0]) for rows, _ in drawn], minlength=TEXT.num_rows) / count
    spread = np.sqrt(wanted * (1 - wanted) / count)
    assert (abs(given - wanted) < 5 * spread + 1 / count).all()


def test_equal_rows_are_told_apart_by_keys(model):
    prompt = prompts_of(model)[0]
    ids = torch.from_numpy(prompt)[None].expand(6, -1)
    options = DecodingOptions(max_new_tokens=12, do_sample=True, temperature=3.0)
    ask = {"keys": list("abcabc")}
    texts = [r.tolist() for r, _ in generate_answers(model, ids, ids * 0 + 1, options, **ask)]
    assert texts[:3] == texts[3:]
    assert texts[0] != texts[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, r"answers of 0 tokens.*at least 1"),
        ({"do_sample": True, "temperature": 0.0}, r"temperature 0 cannot.*--sampling"),
        ({"do_sample": True, "temperature": float("nan")}, r"temperature nan cannot"),
    ],
)
def test_decoding_options_out_of_range_are_named(options, message):
    with pytest.raises(EcgError, match=message):
        DecodingOptions(**options)


def test_an_answer_that_the_positions_cannot_hold_is_refused(model):
    prompt = np.full(250, 5)
    with pytest.raises(EcgError, match=r"258 positions.*has 256.*max_new_tokens"):
        answer(model, [prompt], max_new_tokens=8)
    ((rows, _),) = answer(model, [prompt], max_new_tokens=6)
    assert len(rows) <= 6


def test_lengths_reach_the_first_end_token():
    answers = torch.tensor([[5, 2, 2, 9], [2, 5, 5, 5], [5, 5, 5, 5], [5, 5, 5, 2]])
    assert answer_lengths(answers, 2) == [2, 1, 4, 4]
