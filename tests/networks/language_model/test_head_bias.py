"""Output heads with a bias under trained rows: product, merged model and plain peft agree."""

from types import SimpleNamespace

import pytest
import torch
from toy_models import build_family, build_prefix, random_rows, save_family, train_two_steps

from ecg_fairseq.networks.language_model.export import _write_weights
from ecg_fairseq.networks.language_model.prompt import pack

WIDE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
NARROW = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "rotary_dim": 8}
FAMILIES = {
    "phi": ("PhiConfig", {**WIDE, "intermediate_size": 48}),
    "phi_tied": ("PhiConfig", {**WIDE, "intermediate_size": 48, "tie_word_embeddings": True}),
    "gptj": ("GPTJConfig", NARROW),
    "codegen": ("CodeGenConfig", NARROW),
    "gpt_neox": ("GPTNeoXConfig", {**WIDE, "intermediate_size": 48}),
}
IDS = torch.tensor([[5, 60, 70, 80, 90, 100]])
PLACES = torch.arange(6)[None]


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    config, shape = FAMILIES[request.param]
    return save_family(tmp_path_factory.mktemp("base"), config, **shape)


def logits(network) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=IDS, position_ids=PLACES).logits


@pytest.mark.parametrize("tuning", ["lora", "new_rows", "norms+new_rows"])
def test_an_untrained_adapter_changes_nothing(folder, tuning):
    import transformers

    base = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    model = build_family(folder, tuning=tuning)
    old = model.vocabulary.num_text_rows
    with torch.no_grad():
        given = model(IDS, PLACES)[..., :old]
    torch.testing.assert_close(given, logits(base)[..., :old], rtol=0, atol=1e-5)


@pytest.mark.parametrize("merge", [True, False])
def test_an_export_gives_the_products_logits(folder, merge, tmp_path):
    """Loaded as the model card says, by plain transformers and peft."""
    import peft
    import transformers

    model = build_family(folder)
    vocabulary = model.vocabulary
    prefix = build_prefix([random_rows(vocabulary, 20, 3, text=False)], vocabulary)
    train_two_steps(model, [pack(prefix, [([7, 8, 9], [12, 13, vocabulary.eos_id])])])
    ids = torch.tensor([[*prefix.tolist(), 7, 8, 9]])
    with torch.no_grad():
        wanted = model(ids, torch.arange(ids.shape[1])[None])
    kind = _write_weights(SimpleNamespace(model=model), tmp_path, merge)
    assert kind == ("model" if merge else "adapter")
    if merge:
        plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    else:
        base = transformers.AutoModelForCausalLM.from_pretrained(folder)
        base.resize_token_embeddings(vocabulary.size, mean_resizing=False)
        plain = peft.PeftModel.from_pretrained(base, tmp_path)
    with torch.no_grad():
        given = plain.eval()(input_ids=ids).logits
    torch.testing.assert_close(given, wanted, rtol=0, atol=1e-5)


def test_the_kept_bias_goes_away_with_the_adapter(folder):
    """Where peft itself uses the table, the bias is not added twice."""
    model = build_family(folder)
    wanted = logits(model.llm)
    with model.llm.disable_adapter():
        torch.testing.assert_close(logits(model.llm), wanted, rtol=0, atol=1e-5)
    model.llm.merge_adapter()
    torch.testing.assert_close(logits(model.llm), wanted, rtol=0, atol=1e-5)
