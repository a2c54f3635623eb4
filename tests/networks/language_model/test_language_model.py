"""Random bases: families, tuning, checkpoints, gradient checkpointing, contradictory settings."""

import pytest
import torch
from toy_models import (
    FAMILIES,
    build,
    build_prefix,
    logits_of,
    random_rows,
    text_tokenizer,
    train_two_steps,
)

from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel
from ecg_fairseq.networks.language_model.prompt import pack
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

TEXT = text_tokenizer()


def sequences_for(model: EcgLanguageModel):
    vocabulary = model.vocabulary
    prefix = build_prefix([random_rows(vocabulary, 20, 3, text=False)], vocabulary)
    answers = [[*random_rows(vocabulary, 3, k, text=True).tolist(), 2] for k in (1, 2)]
    return [pack(prefix, [([7, 8, 9], answers[0]), ([10, 11], answers[1])])]


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_trains_saves_and_reloads_under_another_seed(family, tuning):
    model = build(TEXT, seed=1, llm=family, tuning=tuning)
    sequences = sequences_for(model)
    before = logits_of(model, sequences)
    losses = train_two_steps(model, sequences)
    after = logits_of(model, sequences)
    assert losses[1] < losses[0]
    assert not torch.equal(before, after)
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = build(TEXT, seed=2, llm=family, tuning=tuning)
    assert not torch.allclose(logits_of(other, sequences), after, atol=1e-3)
    other.load_checkpoint_tensors(saved)
    assert torch.equal(logits_of(other, sequences), after)


def test_lora_over_a_random_base_trains_adapters_and_new_rows_only():
    model = build(TEXT, llm="tiny", tuning="lora", lora_dropout=0.0)
    names = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert names
    assert all("lora_" in name or "trainable_tokens_delta" in name for name in names)
    trained = set(model.state_dict()) & names
    assert trained == names, "a random base is stored whole, adapters included"
    assert any("q_proj.base_layer.weight" in name for name in model.state_dict())


def test_random_weights_depend_on_the_seed_only_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build(TEXT, seed=3, llm="tiny")
    assert torch.equal(torch.rand(3), expected)
    second = build(TEXT, seed=3, llm="tiny")
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_gradient_checkpointing_gives_equal_gradients(tuning):
    gradients = []
    for checkpointing in (False, True):
        model = build(
            TEXT, llm="tiny", tuning=tuning, lora_dropout=0.0, gradient_checkpointing=checkpointing
        )
        train_two_steps(model, sequences_for(model))
        gradients.append({n: w.grad for n, w in model.named_parameters() if w.requires_grad})
    plain, recomputed = gradients
    assert list(plain) == list(recomputed)
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-5, atol=1e-7)


def test_dropout_on_attention_acts_in_training_only():
    model = build(TEXT, llm="tiny", attention_dropout=0.5)
    sequences = sequences_for(model)
    assert torch.equal(logits_of(model, sequences), logits_of(model, sequences))
    model.train()
    assert not torch.equal(logits_of(model, sequences), logits_of(model, sequences))


@pytest.mark.parametrize("family", ["gpt2_tiny", "opt_tiny", "gemma_tiny"])
def test_dropout_is_known_in_every_family(family):
    model = build(TEXT, llm=family, attention_dropout=0.25)
    config = model.llm.config
    assert 0.25 in (getattr(config, "attention_dropout", None), getattr(config, "attn_pdrop", None))


def test_base_dtype_holds_for_presets_too():
    model = build(TEXT, llm="tiny", tuning="lora", base_dtype="bfloat16")
    dtypes = {(w.requires_grad, w.dtype) for w in model.parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    sequences = sequences_for(model)
    losses = train_two_steps(model, sequences)
    assert losses[1] < losses[0]


def _saved(**settings):
    model = build(TEXT, seed=1, llm="tiny", **settings)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_another_vocabulary_is_refused():
    smaller = EcgVocabulary(TEXT.num_rows, tuple(range(97, 122)), TEXT.bos_id, TEXT.eos_id)
    config = build(TEXT, llm="tiny").config
    other = EcgLanguageModel(config, smaller, smaller.fingerprint(TEXT.sha256(), "ecg"), 1)
    with pytest.raises(CheckpointError, match=r"another vocabulary.*task\.data"):
        other.load_checkpoint_tensors(_saved())


def test_missing_extra_and_misshapen_tensors_are_refused():
    model = build(TEXT, llm="tiny")
    partial = _saved()
    partial.pop(next(name for name in partial if "mlp" in name))
    with pytest.raises(CheckpointError, match=r"1 are missing \['llm.*mlp"):
        model.load_checkpoint_tensors(partial)
    with pytest.raises(CheckpointError, match=r"1 are unexpected \['surplus'\]"):
        model.load_checkpoint_tensors({**_saved(), "surplus": torch.zeros(1)})
    without = _saved()
    del without["fingerprint"]
    with pytest.raises(CheckpointError, match="fingerprint"):
        model.load_checkpoint_tensors(without)
    with pytest.raises(CheckpointError, match=r"shape \(329, 64\).*\(329, 32\).*size settings"):
        model.load_checkpoint_tensors(_saved(hidden_size=64))
    with pytest.raises(CheckpointError, match=r"model\.tuning"):
        model.load_checkpoint_tensors(_saved(tuning="lora"))


def test_a_refused_checkpoint_changes_nothing():
    model = build(TEXT, seed=1, llm="tiny")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    broken = {n: t.clone() for n, t in build(TEXT, seed=2, llm="tiny").state_dict().items()}
    broken[list(broken)[-2]] = torch.zeros(1)
    with pytest.raises(CheckpointError):
        model.load_checkpoint_tensors(broken)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tuning": "some"}, r"model\.tuning='some' is not one of full, lora"),
        ({"new_rows": "frozen"}, r"model\.new_rows"),
        ({"attention": "flash_attention_2"}, r"model\.attention.*sdpa, eager"),
        ({"base_dtype": "float16"}, r"model\.base_dtype"),
        ({"base_dtype": "bfloat16"}, r"task\.autocast=bf16"),
        ({"tuning": "lora", "lora_rank": 0}, r"model\.lora_rank=0"),
        ({"num_heads": 3}, r"hidden_size=128, model\.num_heads=3"),
        ({"num_heads": 4, "num_key_value_heads": 3}, r"num_key_value_heads=3"),
    ],
)
def test_contradictory_settings_are_named(settings, message):
    config = LanguageModelConfig(**{"hidden_size": 128, **settings})
    vocabulary = EcgVocabulary(10, (97,), 1, 2)
    with pytest.raises(EcgError, match=message):
        EcgLanguageModel(config, vocabulary, bytes(32), 1)
