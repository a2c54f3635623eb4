"""Packed sequences and closed sets equal one sequence at a time, whatever a base's attention is."""

import numpy as np
import pytest
import torch
from toy_models import build_family, build_prefix, random_rows, save_family

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.answering import pack_candidates, score_candidates
from ecg_fairseq.networks.language_model.prompt import pack, pad_packed

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
}
WINDOW = {**SHAPE, "sliding_window": 8}
# config, settings, whether packed sequences are exact in it
FAMILIES = {
    "llama": ("LlamaConfig", SHAPE, True),
    "mistral": ("MistralConfig", WINDOW, True),
    "mixtral": ("MixtralConfig", {**WINDOW, "num_local_experts": 2}, True),
    "phi3": ("Phi3Config", {**WINDOW, "num_key_value_heads": 4, "pad_token_id": 0}, True),
    "starcoder2": ("Starcoder2Config", WINDOW, True),
    "qwen2": ("Qwen2Config", {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}, True),
    "qwen2_off": ("Qwen2Config", {**WINDOW, "use_sliding_window": False}, True),
    "gemma2": ("Gemma2Config", {**WINDOW, "head_dim": 8}, True),
    "gemma3": ("Gemma3TextConfig", {**WINDOW, "head_dim": 8}, True),
    "cohere2": ("Cohere2Config", WINDOW, True),
    "falcon_alibi": (
        "FalconConfig",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True},
        False,
    ),
    "gpt_neo_local": (
        "GPTNeoConfig",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 8,
            "max_position_embeddings": 256,
        },
        False,
    ),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, False),
}
QUESTIONS = (([7, 8, 9], [12, 13, 2]), ([10, 11], [14, 2]), ([9], [15, 16, 17, 2]))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    config, shape, packs = FAMILIES[request.param]
    folder = save_family(tmp_path_factory.mktemp("base"), config, **shape)
    # experts in one tensor take no dropout
    return build_family(folder, lora_dropout=0.0), packs


def prefix_of(model) -> np.ndarray:
    return build_prefix([random_rows(model.vocabulary, 20, 3, text=False)], model.vocabulary)


def plain_logits(model, rows) -> torch.Tensor:
    """The base as transformers' users call it: neither positions nor a mask."""
    with torch.no_grad():
        return model.llm(input_ids=torch.tensor([rows])).logits[0]


def test_packed_questions_equal_single_ones_or_are_refused(family):
    model, packs = family
    assert model.attention.packs == packs
    prefix = prefix_of(model)
    batch = pad_packed([pack(prefix, QUESTIONS)], model.vocabulary.pad_id)
    inputs = [torch.from_numpy(batch[k]) for k in ("input_ids", "position_ids", "segment_ids")]
    if not packs:
        with pytest.raises(EcgError, match=r"several questions.*task\.pairs_per_ecg=1"):
            model(*inputs)
        return
    with torch.no_grad():
        packed = model(*inputs)[0]
    first = len(prefix)
    for context, answer in QUESTIONS:
        length = len(context) + len(answer)
        alone = plain_logits(model, [*prefix, *context, *answer])[len(prefix) :]
        torch.testing.assert_close(packed[first : first + length], alone, rtol=0, atol=1e-4)
        first += length


def test_closed_sets_equal_plain_sequences(family):
    model, _ = family
    prompt = np.concatenate([prefix_of(model), [7, 8, 9]])
    candidates = [answer for _, answer in QUESTIONS] * 4
    packed = pad_packed([pack_candidates(prompt, candidates)], model.vocabulary.pad_id)
    batch = {name: torch.from_numpy(array) for name, array in packed.items()}
    (scores,) = score_candidates(model, batch)
    assert len(scores) == len(candidates)
    for candidate, score in zip(candidates, scores, strict=True):
        logits = plain_logits(model, [*prompt, *candidate])[len(prompt) - 1 : -1]
        known = logits[:, : model.vocabulary.num_answer_rows].log_softmax(-1)
        wanted = known.gather(1, torch.tensor(candidate)[:, None])[:, 0]
        torch.testing.assert_close(score, wanted, rtol=0, atol=1e-4)


def test_a_window_matters_here(tmp_path):
    """The families above have something to get wrong: without the window, logits are others."""
    with_window, without = (
        build_family(save_family(tmp_path / str(window), "MistralConfig", **SHAPE, **window))
        for window in ({"sliding_window": 8}, {"sliding_window": None})
    )
    rows = [*prefix_of(with_window), 7, 8, 9]
    difference = plain_logits(with_window, rows)[-1] - plain_logits(without, rows)[-1]
    assert difference.abs().max() > 1e-2
    assert with_window.attention.window == 8
    assert with_window.llm.config.sliding_window == 8  # the probe puts it back
    assert without.attention.window is None


def test_a_base_whose_tokens_look_ahead_is_refused(tmp_path):
    shape = {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}
    folder = save_family(tmp_path, "BertConfig", **shape)
    with pytest.raises(EcgError, match=r"BertLMHeadModel.*see the ones behind.*looks back only"):
        build_family(folder)


def test_a_base_that_fails_on_a_short_sequence_is_one_sentence(tmp_path):
    folder = save_family(tmp_path, "StableLmConfig", **{**SHAPE, "num_key_value_heads": 32})
    with pytest.raises(EcgError, match=r"fails on a sequence of 12 tokens \(StableLm"):
        build_family(folder)


def test_the_probe_leaves_modes_as_they_were(tmp_path):
    folder = save_family(tmp_path, "LlamaConfig", **SHAPE)
    model = build_family(folder)
    before = torch.get_rng_state()
    model.train()
    from ecg_fairseq.networks.language_model.base.attention import attention_rule

    attention_rule(model.llm.get_base_model(), "again")
    assert all(module.training for module in model.llm.modules())
    assert torch.equal(torch.get_rng_state(), before)
