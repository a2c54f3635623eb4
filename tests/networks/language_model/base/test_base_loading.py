"""A pretrained base is taken whole, as the model that its files name, or not at all."""

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_models import build_family, build_prefix, random_rows, save_family, text_tokenizer

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.answering import DecodingOptions, generate_answers
from ecg_fairseq.networks.language_model.export import (
    _within_rows,
    _write_generation_settings,
    _write_weights,
)
from ecg_fairseq.networks.language_model.text_tokenizer import load_text_tokenizer

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
}
LAYER = "model.layers.1."


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_family(tmp_path_factory.mktemp("base"), "LlamaConfig", **SHAPE)


def changed(llama: str, folder: Path, tensors=None, **config) -> str:
    """Copy a base with other tensors (None: removed) and other settings."""
    shutil.copytree(llama, folder, dirs_exist_ok=True)
    state = {**load_file(folder / "model.safetensors"), **(tensors or {})}
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**written, **config}))
    return str(folder)


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        ({"lm_head.weight": None}, {}, r"1 are missing \(lm_head\.weight\)"),
        ({f"{LAYER}mlp.up_proj.weight": None}, {}, r"1 are missing.*layers\.1\.mlp\.up_proj"),
        ({}, {"num_hidden_layers": 3}, r"9 are missing \(model\.layers\.2\..*, \.\.\.\)"),
        ({}, {"num_hidden_layers": 1}, r"9 have no place in it \(model\.layers\.1\."),
        ({f"{LAYER}self_attn.q_proj.bias": torch.ones(32)}, {}, r"no place.*q_proj\.bias"),
        ({"model.norm.weight": torch.ones(16)}, {}, r"another shape.*norm.*\(16,\) instead of"),
        ({}, {"intermediate_size": 64}, r"6 have another shape"),
    ],
)
def test_other_tensors_than_the_settings_ask_for_are_named(
    llama, tmp_path, tensors, config, message
):
    with pytest.raises(EcgError, match=message):
        build_family(changed(llama, tmp_path, tensors, **config))


def test_a_head_beside_the_language_model_is_said_and_left_out(llama, tmp_path, caplog):
    folder = changed(llama, tmp_path, {"v_head.weight": torch.ones(1, 32)})
    with caplog.at_level(logging.WARNING):
        build_family(folder)
    assert "v_head.weight" in caplog.text


def test_a_tied_head_is_not_missing(tmp_path):
    folder = save_family(tmp_path, "LlamaConfig", **SHAPE, tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(Path(folder) / "model.safetensors")
    build_family(folder)


def test_damaged_files_are_one_sentence(llama, tmp_path):
    weights, config = (changed(llama, tmp_path / name) for name in ("weights", "config"))
    (Path(weights) / "model.safetensors").write_bytes(b"no tensors")
    (Path(config) / "config.json").write_text("{")
    for folder in (weights, config):
        with pytest.raises(EcgError, match="cannot be loaded"):
            build_family(folder)


def test_a_model_of_images_and_text_is_refused(tmp_path):
    import transformers

    text_tokenizer().tokenizer.save_pretrained(tmp_path)
    shape = transformers.Gemma3Config(
        text_config={**SHAPE, "vocab_size": text_tokenizer().size, "head_dim": 8},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
    )
    transformers.Gemma3ForConditionalGeneration(shape).save_pretrained(tmp_path)
    assert load_text_tokenizer(str(tmp_path)).num_rows == text_tokenizer().size
    with pytest.raises(EcgError, match=r"reads more than text \(Gemma3Config.*text-only release"):
        build_family(str(tmp_path))


def test_experts_take_lora_without_dropout(tmp_path):
    folder = save_family(tmp_path, "MixtralConfig", **SHAPE, num_local_experts=2)
    with pytest.raises(EcgError, match=r"does not fit.*set model\.lora_dropout=0"):
        build_family(folder)
    model = build_family(folder, lora_dropout=0.0)
    assert any("experts" in n for n, w in model.named_parameters() if w.requires_grad)


def test_capped_scores_run_in_eager(tmp_path):
    """Gemma-2 has no sdpa in transformers; its numbers are those of eager."""
    import transformers

    folder = save_family(tmp_path, "Gemma2Config", **SHAPE, head_dim=8)
    model = build_family(folder)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    ids = torch.tensor([[5, 60, 70, 80]])
    with torch.no_grad():
        given = model(ids, torch.arange(4)[None])[..., : model.vocabulary.num_text_rows]
        wanted = base.eval()(input_ids=ids).logits
    torch.testing.assert_close(given, wanted, rtol=0, atol=1e-5)
    assert model.attention.kernel == "eager"


# Rows and words ---------------------------------------------------------------------------------


def longer_tokenizer(llama: str, folder: Path, token: str, special: bool) -> str:
    """Copy a base whose tokenizer got one token more than the table has rows."""
    from transformers import AutoTokenizer

    shutil.copytree(llama, folder, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.add_tokens([token], special_tokens=special)
    if special:
        tokenizer.pad_token = token
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_special_token_without_a_row_is_never_read(llama, tmp_path):
    """Llama-2 with [PAD] added and no resize: 32001 tokens, 32000 rows."""
    folder = longer_tokenizer(llama, tmp_path, "[PAD]", special=True)
    text, plain = load_text_tokenizer(folder), load_text_tokenizer(llama)
    assert text.size == plain.size + 1
    assert text.num_rows == plain.num_rows
    question = "Is [PAD] a rhythm?"
    assert text.encode(question) == plain.encode(question)
    assert text.token_id("[PAD]") is None
    with pytest.raises(EcgError, match=r"'\[PAD\]'.*no row"):
        text.encode_special(question)
    build_family(folder)
    exported = _within_rows(text.tokenizer, text.num_rows)
    assert len(exported) == plain.size
    assert exported.encode(question) == plain.encode(question)
    assert (exported.bos_token, exported.eos_token) == ("<s>", "</s>")


def test_a_word_without_a_row_is_refused(llama, tmp_path):
    folder = longer_tokenizer(llama, tmp_path, "tachycardia", special=False)
    with pytest.raises(EcgError, match=r"1 tokens could not be read \(tachycardia\)"):
        load_text_tokenizer(folder)


# What a base's files say about writing ------------------------------------------------------------

WRITING = [
    {},
    {"repetition_penalty": 1.3, "do_sample": True, "top_p": 0.8, "temperature": 0.7, "top_k": 20},
    {"no_repeat_ngram_size": 2},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 4, "num_return_sequences": 2},
    {"min_new_tokens": 8, "min_length": 200},
    {"max_length": 20},
    {"suppress_tokens": list(range(5, 150)), "begin_suppress_tokens": list(range(150, 300))},
    {"bad_words_ids": [[k] for k in range(5, 200)]},
    {"exponential_decay_length_penalty": [1, 3.0]},
    {"guidance_scale": 3.0, "renormalize_logits": True, "remove_invalid_values": True},
    {"eos_token_id": [1, 7, 9]},
]
# What only None leaves off: a merged model and the product forget these, and so does a base whose
# settings are replaced as the model card says.
ONLY_FORGOTTEN = [{"forced_eos_token_id": 7}, {"sequence_bias": [[[40], 50.0]]}]


def greedy(model, prompt: list[int]) -> list[int]:
    """The likeliest text row each time, by whole forward passes."""
    rows = list(prompt)
    for _ in range(10):
        with torch.no_grad():
            logits = model(torch.tensor([rows]), torch.arange(len(rows))[None])[0, -1]
        rows.append(int(logits[: model.vocabulary.num_text_rows].argmax()))
        if rows[-1] == model.vocabulary.eos_id:
            break
    return rows[len(prompt) :]


def prompt_of(model) -> list[int]:
    prefix = build_prefix([random_rows(model.vocabulary, 12, 5, text=False)], model.vocabulary)
    return [*prefix.tolist(), 7, 8, 9]


# Older folders keep such settings in config.json.
PLACES = [("generation_config.json", asked) for asked in WRITING + ONLY_FORGOTTEN]
PLACES += [("config.json", asked) for asked in (*WRITING[1:4], ONLY_FORGOTTEN[0])]


@pytest.mark.parametrize(("place", "writing"), PLACES)
def test_greedy_is_greedy_whatever_a_base_asks_for(llama, tmp_path, writing, place):
    import peft
    import transformers

    is_config = place == "config.json"
    base = changed(llama, tmp_path / "base", **(writing if is_config else {}))
    if not is_config:
        (tmp_path / "base" / place).write_text(json.dumps(writing))
    model = build_family(base)
    prompt = prompt_of(model)
    ids = torch.tensor([prompt])
    wanted = greedy(model, prompt)
    options = DecodingOptions(max_new_tokens=10)
    ((rows, _),) = generate_answers(model, ids, torch.ones_like(ids), options)
    assert rows.tolist() == wanted

    system = SimpleNamespace(model=model, vocabulary=model.vocabulary, longest_answer=10)
    adapter, merged = tmp_path / "adapter", tmp_path / "merged"
    for folder in (adapter, merged):
        folder.mkdir()
        _write_weights(system, folder, folder == merged)
        _write_generation_settings(system, folder)
        model = build_family(base)
        system.model = model
    plain = transformers.AutoModelForCausalLM.from_pretrained(merged)
    assert written(plain.generate(ids, attention_mask=torch.ones_like(ids)), ids) == wanted
    loaded = transformers.AutoModelForCausalLM.from_pretrained(base)
    loaded.resize_token_embeddings(model.vocabulary.size, mean_resizing=False)
    settings = transformers.GenerationConfig.from_pretrained(adapter)
    if writing in ONLY_FORGOTTEN:
        loaded.generation_config = settings
    plain = peft.PeftModel.from_pretrained(loaded, adapter)
    given = plain.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
    )
    assert written(given, ids) == wanted


def written(sequences: torch.Tensor, ids: torch.Tensor) -> list[int]:
    """What stands behind the prompt, as far as padding."""
    (rows,) = sequences[:, ids.shape[1] :].tolist()
    return list(np.trim_zeros(np.array(rows), "b"))
