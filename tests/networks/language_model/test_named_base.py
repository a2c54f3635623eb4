"""LoRA and full tuning over a pretrained folder: what is stored, what trains, what is blind."""

import itertools
import shutil

import pytest
import torch
from toy_models import (
    build,
    build_prefix,
    logits_of,
    random_rows,
    save_named_base,
    text_tokenizer,
    train_two_steps,
)

from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.language_model.prompt import pack
from ecg_fairseq.networks.language_model.text_tokenizer import load_text_tokenizer

# family, tied output table, rows beyond the tokenizer's
BASES = (
    ("llama", True, 0),
    ("llama", True, 8),
    ("llama", False, 0),
    ("gpt2", True, 0),
    ("opt", True, 3),
    ("gemma", True, 0),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {base: save_named_base(tmp_path_factory.mktemp("base"), *base) for base in BASES}


@pytest.fixture(scope="module")
def llama(folders):
    return folders["llama", True, 0]


def make(folder: str, seed: int = 1, **settings):
    text = load_text_tokenizer(folder)
    return build(text, seed, **{"llm": folder, "tuning": "lora", "lora_rank": 4, **settings})


def sequences_for(model, seed: int = 3):
    vocabulary = model.vocabulary
    prefix = build_prefix([random_rows(vocabulary, 20, seed, text=False)], vocabulary)
    return [pack(prefix, [([7, 8, 9], [12, 13, vocabulary.eos_id])])]


def input_table(model) -> torch.Tensor:
    """Return the rows that inputs are looked up in, adapters applied."""
    with torch.no_grad():
        return model.llm.get_input_embeddings()(torch.arange(model.vocabulary.size)).clone()


@pytest.mark.parametrize("new_rows", ["trained", "frozen_mean"])
@pytest.mark.parametrize("base", BASES, ids=str)
def test_reload_under_another_seed_gives_equal_logits(folders, base, new_rows):
    model = make(folders[base], new_rows=new_rows)
    sequences = sequences_for(model)
    losses = train_two_steps(model, sequences)
    assert losses[1] < losses[0]
    after = logits_of(model, sequences)
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = make(folders[base], seed=2, new_rows=new_rows)
    assert not torch.equal(logits_of(other, sequences), after)
    other.load_checkpoint_tensors(saved)
    assert torch.equal(logits_of(other, sequences), after)


@pytest.mark.parametrize("base", BASES, ids=str)
def test_only_what_cannot_be_rebuilt_is_stored(folders, base):
    model = make(folders[base])
    trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
    state = model.state_dict()
    assert set(state) == {*trained, "fingerprint"}
    tables = 1 if base[1] else 2
    rows = sum(w.numel() for name, w in trained.items() if "trainable_tokens" in name)
    assert rows == tables * model.vocabulary.num_new_rows * 32
    stored, everything = (
        sum(tensor.numel() for tensor in tensors)
        for tensors in (state.values(), model.parameters())
    )
    assert stored < 0.5 * everything


def test_training_changes_new_rows_and_no_old_row(llama):
    model = make(llama)
    old = model.vocabulary.num_text_rows
    before = input_table(model)
    base = {n: w.clone() for n, w in model.named_parameters() if not w.requires_grad}
    sequences = sequences_for(model)
    train_two_steps(model, sequences)
    after = input_table(model)
    assert torch.equal(after[:old], before[:old])
    used = torch.tensor(sequences[0].input_ids[sequences[0].input_ids >= old]).unique()
    assert (after[used] != before[used]).any(dim=1).all()
    for name, weight in model.named_parameters():
        assert name not in base or torch.equal(weight, base[name])


def test_frozen_mean_trains_no_row_and_stores_them_all_the_same(llama):
    model = make(llama, new_rows="frozen_mean")
    old = model.vocabulary.num_text_rows
    before = input_table(model)
    train_two_steps(model, sequences_for(model))
    assert torch.equal(input_table(model), before)
    assert torch.equal(model.state_dict()["frozen_rows.input"], before[old:])


def test_new_rows_start_with_the_old_rows_spread(llama):
    model = make(llama)
    old = model.vocabulary.num_text_rows
    table = input_table(model)
    ratio = table[old:].std(0).mean() / table[:old].std(0).mean()
    assert 0.8 < ratio < 1.2


def test_the_published_rows_are_blind_and_ours_are_not(llama):
    """Fact sheet 3.2: cosine 1.0000 among published rows, so tokens cannot be told apart."""
    published, ours = make(llama, new_rows="frozen_mean"), make(llama)
    for model, is_blind in ((published, True), (ours, False)):
        rows = input_table(model)[model.vocabulary.num_text_rows :][:5]
        cosines = [torch.cosine_similarity(a, b, dim=0) for a, b in itertools.combinations(rows, 2)]
        assert (min(cosines) > 0.99) == is_blind
        first, second = (
            logits_of(model, sequences_for(model, seed))[0, -1, : model.vocabulary.num_text_rows]
            for seed in (3, 4)
        )
        difference = (first - second).abs().max()
        assert (difference < 1e-3) == is_blind, float(difference)


def test_bf16_base_stays_bf16_and_trains_in_fp32(llama):
    model = make(llama, base_dtype="bfloat16")
    dtypes = {(w.requires_grad, w.dtype) for w in model.parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    sequences = sequences_for(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = train_two_steps(model, sequences)
    assert losses[1] < losses[0]
    assert {t.dtype for t in model.state_dict().values()} == {torch.float32, torch.uint8}
    rotary = [b for n, b in model.named_buffers() if n.endswith("inv_freq")]
    assert rotary
    assert all(buffer.dtype == torch.float32 for buffer in rotary)


def test_full_tuning_stores_and_restores_everything(llama):
    model = make(llama, tuning="full")
    sequences = sequences_for(model)
    losses = train_two_steps(model, sequences)
    assert losses[1] < losses[0]
    other = make(llama, seed=2, tuning="full")
    other.load_checkpoint_tensors(model.state_dict())
    assert torch.equal(logits_of(other, sequences), logits_of(model, sequences))


def test_a_checkpoint_of_other_tuning_or_rows_is_refused(llama):
    saved = make(llama).state_dict()
    with pytest.raises(CheckpointError, match=r"are missing"):
        make(llama, new_rows="frozen_mean").load_checkpoint_tensors(saved)
    with pytest.raises(CheckpointError, match=r"shape \(4, 32\).*\(2, 32\)"):
        make(llama, lora_rank=2).load_checkpoint_tensors(saved)
    with pytest.raises(CheckpointError, match="are unexpected"):
        make(llama, lora_targets=["q_proj"]).load_checkpoint_tensors(saved)


def test_a_text_tokenizer_of_another_model_is_refused(llama):
    with pytest.raises(EcgError, match=r"rows but the vocabulary.*same name as model\.llm"):
        build(text_tokenizer(), llm=make_longer(llama), tuning="lora")


def make_longer(folder: str) -> str:
    """Save the same model with one row more beside it; return its folder."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(model.config.vocab_size + 1, mean_resizing=False)
    longer = f"{folder}-longer"
    model.save_pretrained(longer)
    return longer


def test_an_unknown_hub_name_is_one_clear_sentence_offline():
    with pytest.raises(EcgError, match=r"'no-such/model' cannot be loaded.*preset.*local path"):
        build(text_tokenizer(), llm="no-such/model")


def test_pickled_weights_are_not_read(llama, tmp_path):
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    folder.mkdir()
    shutil.copy(f"{llama}/config.json", folder)
    torch.save(load_file(f"{llama}/model.safetensors"), folder / "pytorch_model.bin")
    with pytest.raises(EcgError, match="safetensors"):
        build(load_text_tokenizer(llama), llm=str(folder))


def trained_groups(model) -> set[str]:
    """Which parts of the model train, read off its parameters."""
    groups = set()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            kinds = {"lora_": "lora", "norm": "norms", "trainable_tokens_delta": "new_rows"}
            groups.add(next((kind for key, kind in kinds.items() if key in name), name))
    return groups


@pytest.mark.parametrize(
    ("tuning", "expected"),
    [
        ("lora", {"lora", "new_rows"}),
        ("lora+norms", {"lora", "norms"}),
        ("lora+norms+new_rows", {"lora", "norms", "new_rows"}),
        ("new_rows", {"new_rows"}),
        ("norms", {"norms"}),
        ("norms+new_rows", {"norms", "new_rows"}),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_tuning_names_what_trains_and_reloads(folders, tuning, expected, tied):
    folder = folders["llama", tied, 0]
    model = make(folder, tuning=tuning)
    assert trained_groups(model) == expected
    sequences = sequences_for(model)
    old, table = model.vocabulary.num_text_rows, input_table(model)
    losses = train_two_steps(model, sequences)
    assert losses[1] < losses[0]
    moved = input_table(model) != table
    assert not moved[:old].any()
    assert bool(moved[old:].any()) == ("new_rows" in expected)
    after = logits_of(model, sequences)
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert sum(tensor.numel() for tensor in saved.values()) < sum(
        weight.numel() for weight in model.parameters()
    )
    other = make(folder, seed=2, tuning=tuning)
    assert not torch.equal(logits_of(other, sequences), after)
    other.load_checkpoint_tensors(saved)
    assert torch.equal(logits_of(other, sequences), after)


@pytest.mark.parametrize("tuning", ["full", "all", "lora+all"])
def test_all_is_full_tuning(llama, tuning):
    model = make(llama, tuning=tuning)
    assert all(weight.requires_grad for weight in model.parameters())
    assert not any("lora_" in name for name, _ in model.named_parameters())
    with pytest.raises(EcgError, match=r"task\.autocast=bf16"):
        make(llama, tuning=tuning, base_dtype="bfloat16")


@pytest.mark.parametrize("tuning", ["lora+rows", "norms+full", "", "lora+"])
def test_unknown_parts_are_named(llama, tuning):
    with pytest.raises(EcgError, match=r"nor parts joined by \+ \(lora, norms, new_rows, all\)"):
        make(llama, tuning=tuning)
