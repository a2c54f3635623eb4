"""Texts to vectors: poolings, batches, what is cut, what is frozen, and models that do not fit."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.encoders.text import (
    TextEncoderConfig,
    open_text_encoder,
    text_encoder_from_state,
)
from ecg_fairseq.networks.encoders.text.text_models import make_tiny

CORPUS = ["sinus rhythm", "atrial fibrillation with rapid response", "normal ecg", "Vorhofflimmern"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A local Hugging Face folder."""
    return save_model(tmp_path_factory.mktemp("text") / "bert", "BertModel")


def save_model(path: Path, class_name: str) -> str:
    """Save a small model of a BERT class, with its tokenizer; return the folder."""
    import transformers

    tiny = make_tiny(CORPUS, 300, seed=2)
    torch.manual_seed(2)
    getattr(transformers, class_name)(tiny.network.config).save_pretrained(path)
    tiny.tokenizer.save_pretrained(path)
    return str(path)


def hidden_states(folder: str, text: str, pad_to: int = 0) -> tuple[Tensor, Tensor]:
    """The last layer of one text by transformers alone, and the pooler's output."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"]
    mask = [1] * len(ids) + [0] * max(0, pad_to - len(ids))
    ids += [tokenizer.pad_token_id] * (len(mask) - len(ids))
    with torch.no_grad():
        output = model(torch.tensor([ids]), torch.tensor([mask]))
    return output.last_hidden_state[0], output.pooler_output[0]


@pytest.mark.parametrize("pooling", ["masked_mean", "pooler", "cls", "published"])
def test_pooling_equals_each_text_alone(pooling: str, folder: str) -> None:
    config = TextEncoderConfig(folder, pooling, max_tokens=40, batch_size=2)
    vectors = open_text_encoder(config).encode(CORPUS)
    assert vectors.shape == (4, 64)
    for text, vector in zip(CORPUS, vectors, strict=True):
        tokens, pooler = hidden_states(folder, text, 40 if pooling == "published" else 0)
        wanted = {"pooler": pooler, "cls": tokens[0]}.get(pooling, tokens.mean(0))
        torch.testing.assert_close(vector, wanted, atol=2e-6, rtol=1e-5)


def test_padding_changes_the_published_mean_only(folder: str) -> None:
    for pooling, is_equal in [("published", False), ("masked_mean", True)]:
        short, long = (
            open_text_encoder(TextEncoderConfig(folder, pooling, max_tokens=length)).encode(CORPUS)
            for length in (40, 60)
        )
        assert torch.allclose(short, long, atol=1e-5) is is_equal


def test_tiny_needs_no_hub_and_is_reproducible() -> None:
    state = torch.get_rng_state()
    vectors = open_text_encoder(TextEncoderConfig(), CORPUS).encode(CORPUS)
    assert torch.equal(torch.get_rng_state(), state)
    again = open_text_encoder(TextEncoderConfig(), reversed(CORPUS)).encode(CORPUS)
    assert torch.equal(vectors, again)
    other = open_text_encoder(TextEncoderConfig(seed=2), CORPUS).encode(CORPUS)
    assert not torch.allclose(vectors, other)
    bytes_only = open_text_encoder(TextEncoderConfig())
    assert bytes_only.encode(["naïve – 心電図"]).shape == (1, bytes_only.width)
    assert bytes_only.encode([]).shape == (0, bytes_only.width)


def test_truncated_texts_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    encoder = open_text_encoder(TextEncoderConfig(max_tokens=8))
    with caplog.at_level(logging.WARNING):
        vectors = encoder.encode(["a" * 100, "short", "b" * 7])
        encoder.encode(["c" * 100])
    assert (encoder.num_texts, encoder.num_truncated) == (4, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 3 texts are longer than 8 tokens and are cut; further ones are only counted "
        "(num_truncated)"
    ]
    # The end token stays.
    torch.testing.assert_close(vectors[0], encoder.encode(["a" * 5])[0])


def test_special_tokens_are_spelled_only_where_asked() -> None:
    text = "[CLS] sinus rhythm [SEP]"
    added, in_text = (
        open_text_encoder(TextEncoderConfig(special_tokens=kind, pooling="cls"), CORPUS)
        for kind in ("added", "in_text")
    )
    spelled = [encoder.token_ids([text])[0] for encoder in (added, in_text)]
    assert spelled[1][0] == in_text.tokenizer.cls_token_id
    assert len(spelled[0]) > len(spelled[1]) + 4
    with pytest.raises(EcgError, match="text 1 of 2, '', has no token"):
        in_text.encode(["a", ""])


@pytest.mark.parametrize("is_trainable", [False, True])
def test_gradients_flow_only_into_a_trainable_model(is_trainable: bool) -> None:
    encoder = open_text_encoder(TextEncoderConfig(is_trainable=is_trainable), CORPUS).train()
    vectors = encoder.encode(CORPUS)
    assert vectors.requires_grad is is_trainable
    assert encoder.model.training is is_trainable
    assert any(parameter.requires_grad for parameter in encoder.parameters()) is is_trainable
    if is_trainable:
        vectors.sum().backward()
        assert encoder.model.get_input_embeddings().weight.grad is not None


def test_a_checkpoint_brings_its_tokenizer(folder: str) -> None:
    tiny = open_text_encoder(TextEncoderConfig(vocabulary_size=280, seed=5), CORPUS)
    wanted = tiny.encode(CORPUS)
    assert torch.equal(text_encoder_from_state(tiny.state()).encode(CORPUS), wanted)
    named = open_text_encoder(TextEncoderConfig(folder))
    state = named.state()
    named.encode(CORPUS)
    assert named.state() == state
    assert torch.equal(text_encoder_from_state(state).encode(CORPUS), named.encode(CORPUS))
    with pytest.raises(CheckpointError, match="not the one of this checkpoint"):
        text_encoder_from_state({**state, "sha256": "0" * 64})


def test_a_model_without_a_pooler_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "mlm", "BertForMaskedLM")
    with pytest.raises(EcgError, match="has no trained pooler; use pooling=masked_mean"):
        open_text_encoder(TextEncoderConfig(folder, "pooler"))
    assert open_text_encoder(TextEncoderConfig(folder)).encode(["a"]).shape == (1, 64)


def test_roberta_takes_fewer_tokens_than_it_has_positions(tmp_path: Path) -> None:
    import transformers

    tokenizer = make_tiny(CORPUS, 300, seed=2).tokenizer
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=34, pad_token_id=1,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder = open_text_encoder(TextEncoderConfig(str(tmp_path)))
    assert encoder.max_tokens == 32
    assert encoder.encode(["a" * 500]).shape == (1, 16)


def test_models_that_cannot_be_used(folder: str, tmp_path: Path) -> None:
    pickled = Path(save_model(tmp_path / "pickled", "BertModel"))
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    damaged = Path(save_model(tmp_path / "damaged", "BertModel"))
    (damaged / "model.safetensors").write_bytes(b"nonsense")
    for name, reason in [
        ("./no/such/folder", "is not a folder"),
        (str(tmp_path / "absent"), "is not a folder"),
        ("no-such-owner/no-such-model", "cannot be loaded"),
        (str(tmp_path), "cannot be loaded"),
        (str(pickled), "cannot be loaded"),
        (str(damaged), "cannot be loaded"),
    ]:
        with pytest.raises(EcgError, match=reason):
            open_text_encoder(TextEncoderConfig(name))
    with pytest.raises(EcgError, match="max_tokens=300 is more than the 256"):
        open_text_encoder(TextEncoderConfig(folder, max_tokens=300))


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(save_model(tmp_path / "part", "BertModel"))
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EcgError, match=r"lacks 1 of its weights \(encoder\.layer\.1"):
        open_text_encoder(TextEncoderConfig(str(folder)))


@pytest.mark.parametrize(
    "settings",
    [{"pooling": "mean"}, {"special_tokens": "none"}, {"batch_size": 0}, {"max_tokens": 0}],
)
def test_settings_that_cannot_work(settings: dict[str, object]) -> None:
    with pytest.raises(EcgError, match=next(iter(settings))):
        open_text_encoder(TextEncoderConfig(**settings))  # type: ignore[arg-type]
