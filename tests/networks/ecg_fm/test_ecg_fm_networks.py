"""ECG-FM's networks: published sizes, variants, oracles, and input they refuse."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS
from ecg_fairseq.networks.ecg_fm.convolutions import parse_conv_layers
from ecg_fairseq.networks.ecg_fm.losses import wav2vec2_loss
from ecg_fairseq.networks.ecg_fm.network import EncodedEcg, mean_of_nonzero
from ecg_fairseq.networks.layers.gumbel_quantizer import GumbelQuantizer
from ecg_fairseq.networks.layers.transformer import EncoderLayer, TransformerSizes

Build = Callable[..., torch.nn.Module]
PRETRAINED = {"apply_mask": True, "quantize_targets": True, "final_dim": 256}
LARGE = {
    "encoder_layers": 24, "encoder_embed_dim": 1024, "encoder_ffn_embed_dim": 4096,
    "encoder_attention_heads": 16,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [
        ("wav2vec2_cmsc", PRETRAINED, 90_883_072),
        ("ecg_wav2vec2", PRETRAINED, 90_883_072),
        ("wav2vec2_cmsc", {**PRETRAINED, **LARGE}, 311_940_352),
        ("wav2vec2_cmsc", {**PRETRAINED, **LARGE, "final_dim": 768}, 313_153_792),
        ("wav2vec2_cmsc", {**PRETRAINED, "encoder_layers": 8}, 62_531_584),
        ("ecg_transformer", {}, 90_373_248),
        ("ecg_transformer_classifier", {"num_labels": 17}, 90_386_321),
        ("ecg_transformer_classifier", {"num_labels": 26}, 90_393_242),
        ("arcface", {"num_labels": 1000}, 91_141_248),
        (
            "arcface",
            {"num_labels": 1000, "encoder_embed_dim": 512, "encoder_attention_heads": 8},
            53_566_592,
        ),
    ],
)
def test_published_parameter_counts(name: str, settings: dict[str, Any], wanted: int) -> None:
    network, config = NETWORKS[name]
    with torch.device("meta"):
        built = network(config(**settings))
    assert sum(parameter.numel() for parameter in built.parameters()) == wanted


VARIANTS = {
    "as published": {},
    "pre-norm": {"layer_norm_first": True},
    "latent_dim differs from final_dim": {"latent_dim": 12},
    "final_dim 0 means the width": {"final_dim": 0},
    "odd position kernel": {"conv_pos": 15},
    "other convolutions": {"conv_feature_layers": "[(16, 3, 2)] * 2 + [(24, 4, 3)]"},
    "no projection": {"conv_feature_layers": "[(32, 2, 2)] * 4"},
    "convolutions with bias": {"conv_bias": True},
    "layer norm in the convolutions": {"extractor_mode": "layer_norm"},
    "no quantiser": {"quantize_targets": False},
    "gated targets": {"target_glu": True},
    "quantised input": {"quantize_input": True},
    "same quantiser": {
        "quantize_input": True, "same_quantizer": True, "conv_feature_layers": "[(32, 2, 2)] * 4",
    },
    "negatives from everywhere": {"negatives_from_everywhere": True},
    "negatives from everywhere, no quantiser": {
        "negatives_from_everywhere": True, "quantize_targets": False,
    },
    "negatives of the batch": {"cross_sample_negatives": 5, "num_negatives": 0},
    "negatives of the codebook": {"codebook_negatives": 5},
    "hidden channels": {"mask_channel_prob": 0.5, "mask_channel_length": 4},
    "layer drop": {"encoder_layerdrop": 0.5},
    "frozen convolutions": {"feature_grad_mult": 0.0},
    "recomputed activations": {"checkpoint_activations": True},
}  # fmt: skip


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_variant_learns(changes: dict[str, Any], build: Build, signals: Tensor) -> None:
    network = build("wav2vec2_cmsc", **changes)
    output = network(signals)
    terms = wav2vec2_loss(output, True, 0.1, 10.0)
    terms.total.backward()
    assert output.logits.shape[-1] == 1 + sum(
        getattr(network.config, f"{kind}negatives")
        for kind in ("num_", "cross_sample_", "codebook_")
    )
    gradients = {
        name: weight.grad for name, weight in network.named_parameters() if weight.requires_grad
    }
    assert all(g is None or bool(g.isfinite().all()) for g in gradients.values())
    unused = {name for name, gradient in gradients.items() if gradient is None}
    if changes.get("encoder_layerdrop"):
        return
    is_frozen = changes.get("feature_grad_mult") == 0.0
    assert all(name.startswith("feature_extractor") == is_frozen for name in unused), unused
    assert not is_frozen or unused


@pytest.mark.parametrize("is_norm_first", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_layer_equals_fairseqs(is_norm_first: bool, need_weights: bool) -> None:
    from fairseq.models.wav2vec.wav2vec2 import TransformerSentenceEncoderLayer

    sizes = TransformerSizes(1, 16, 20, 2, is_norm_first)
    torch.manual_seed(0)
    ours = EncoderLayer(sizes).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    theirs = TransformerSentenceEncoderLayer(
        16, 20, 2, activation_fn="gelu", layer_norm_first=is_norm_first
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    frames = torch.randn(3, 7, 16)
    padding = torch.arange(7) >= torch.tensor([7, 5, 6])[:, None]
    with torch.no_grad():
        found, weights = ours(frames, ~padding[:, None, None, :], need_weights)
        expected, _ = theirs(frames.transpose(0, 1), self_attn_padding_mask=padding)
    torch.testing.assert_close(found, expected.transpose(0, 1), atol=1e-5, rtol=1e-5)
    assert (weights is not None) == need_weights
    if weights is not None:
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 7))
        assert float(weights[1, :, 5:].abs().max()) == 0.0


def test_quantizer_equals_fairseqs() -> None:
    from fairseq.modules import GumbelVectorQuantizer

    torch.manual_seed(0)
    ours = GumbelQuantizer(16, 5, 2, 8, (2.0, 0.5, 0.999))
    theirs = GumbelVectorQuantizer(16, 5, (2.0, 0.5, 0.999), 2, False, 8, True)
    theirs.load_state_dict(ours.state_dict())
    frames = torch.randn(3, 11, 16)
    found, expected = ours.eval()(frames), theirs.eval()(frames, produce_targets=True)
    torch.testing.assert_close(found.frames, expected["x"])
    assert torch.equal(found.codes, expected["targets"])
    torch.testing.assert_close(found.prob_perplexity, expected["prob_perplexity"])
    torch.testing.assert_close(found.code_perplexity, expected["code_perplexity"])
    for num_updates in (0, 100, 10_000):
        ours.set_num_updates(num_updates)
        theirs.set_num_updates(num_updates)
        assert ours.temperature == theirs.curr_temp


def test_logits_equal_negatives_laid_out_one_by_one(build: Build, signals: Tensor) -> None:
    network = build("wav2vec2_cmsc", cross_sample_negatives=3).eval()
    mask = torch.zeros(8, 40, dtype=torch.bool)
    mask[:, 5:20] = True
    negatives = torch.randint(8 * 15, (8, 15, 10))
    with torch.no_grad():
        output = network(signals, mask=mask, negatives=negatives)
        predictions = network.final_proj(output.encoded.frames[:, 5:20])
        targets = network.project_q(output.quantized.frames)
    others = targets.flatten(0, 1)[negatives]
    everything = torch.cat([targets.unsqueeze(2), others], 2)
    logits = torch.cosine_similarity(predictions.unsqueeze(2), everything, dim=-1) / 0.1
    is_same = (others == targets.unsqueeze(2)).all(-1)
    logits[..., 1:][is_same] = -torch.inf
    assert bool(is_same.any())
    torch.testing.assert_close(output.logits, logits, atol=1e-5, rtol=1e-5)
    assert torch.equal(output.flat_logits[1], output.logits[1, 0])


def test_own_row_path_equals_whole_batch_path(build: Build, signals: Tensor) -> None:
    one = build("wav2vec2_cmsc").eval()
    other = build("wav2vec2_cmsc", cross_sample_negatives=1).eval()
    mask = torch.zeros(8, 40, dtype=torch.bool)
    mask[:, 3:12] = True
    local = torch.randint(9, (8, 9, 6)) + torch.arange(8)[:, None, None] * 9
    with torch.no_grad():
        first = one(signals, mask=mask, negatives=local).logits
        second = other(signals, mask=mask, negatives=local).logits
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


def test_recomputed_activations_change_nothing(build: Build, signals: Tensor) -> None:
    plain = build("ecg_transformer", dropout=0.0, attention_dropout=0.0)
    saving = build(
        "ecg_transformer", dropout=0.0, attention_dropout=0.0, checkpoint_activations=True
    )
    for network in (plain, saving):
        network(signals).pooled.pow(2).sum().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def padded_batch(signals: Tensor) -> tuple[Tensor, Tensor]:
    padding_mask = torch.zeros(signals.shape, dtype=torch.bool)
    padding_mask[0, :, 320:] = True
    return signals.masked_fill(padding_mask, 0.0), padding_mask


def test_padding_does_not_change_a_segment(build: Build, signals: Tensor) -> None:
    # layer_norm mode, because group norm takes its statistics over padded samples, too
    network = build("ecg_transformer", extractor_mode="layer_norm").eval()
    source, padding_mask = padded_batch(signals)
    with torch.no_grad():
        padded = network.encode(source, padding_mask)
        alone = network.encode(signals[:1, :, :320])
    assert padded.padding is not None
    assert padded.padding.sum(1).tolist() == [20] + [0] * 7
    torch.testing.assert_close(padded.frames[:1, :20], alone.frames, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(padded.pooled[:1], alone.pooled, atol=1e-5, rtol=1e-5)
    leaky = replace(network.config, padding_reaches_positions=True)
    network.config = leaky
    with torch.no_grad():
        assert not torch.allclose(
            network.encode(source, padding_mask).frames[:1, :20], alone.frames
        )


def test_fully_padded_row_and_silent_leads_stay_finite(build: Build, signals: Tensor) -> None:
    network = build("ecg_transformer").eval()
    padding_mask = torch.zeros(8, 640, dtype=torch.bool)
    padding_mask[2] = True
    source = signals.clone()
    source[1] = 0.0
    source[3, :6] = 1.0
    with torch.no_grad():
        encoded = network.encode(source, padding_mask, need_weights=True)
    assert bool(encoded.frames.isfinite().all())
    assert bool((encoded.pooled[2] == 0).all())


def test_all_leads_masked_in_training(build: Build, signals: Tensor) -> None:
    network = build("wav2vec2_cmsc")
    terms = wav2vec2_loss(network(torch.zeros_like(signals)), True, 0.1, 10.0)
    terms.total.backward()
    assert bool(terms.total.isfinite())


def test_pooling_leaves_exact_zeros_out_as_upstream_does() -> None:
    frames = torch.tensor([[[0.0], [3.0], [5.0]]])
    assert mean_of_nonzero(frames, None).item() == 4.0


def test_mean_is_of_frames_that_are_no_padding() -> None:
    frames = torch.tensor([[[1.0, 0.25], [3.0, 0.75], [9.0, 9.0]], [[1.0, 1.0]] * 3])
    padding = torch.tensor([[False, False, True], [False] * 3])
    assert mean_of_nonzero(frames, padding).tolist() == [[2.0, 0.5], [1.0, 1.0]]


def test_saliency_reaches_the_signal_through_frozen_convolutions(
    build: Build, signals: Tensor
) -> None:
    network = build("ecg_transformer_classifier").eval()
    source = signals.clone().requires_grad_()
    output = network(source)
    output.logits[:, 0].sum().backward()
    assert source.grad is not None
    assert float(source.grad.abs().sum()) > 0
    assert isinstance(output.encoded, EncodedEcg)
    attention = network.encoder.attention(signals)
    assert attention.shape == (8, 2, 40, 40)


def test_frozen_updates_train_the_head_only(build: Build, signals: Tensor) -> None:
    network = build("ecg_transformer_classifier", freeze_finetune_updates=3).train()
    network(signals).logits.sum().backward()
    assert {name for name, p in network.named_parameters() if p.grad is not None} == {
        "proj.weight", "proj.bias",
    }  # fmt: skip
    network.set_num_updates(3)
    network(signals).logits.sum().backward()
    assert network.encoder.encoder.layers[0].fc1.weight.grad is not None


def test_arcface_gives_cosines(build: Build, signals: Tensor) -> None:
    output = build("arcface").eval()(signals)
    expected = torch.cosine_similarity(
        output.pooled[:, None], build("arcface").kernel[None], dim=-1
    )
    torch.testing.assert_close(output.logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [15, 1])
def test_segment_shorter_than_a_frame_is_refused(length: int, build: Build) -> None:
    with pytest.raises(EcgError, match="shorter than the 16 samples"):
        build("ecg_transformer")(torch.zeros(2, 12, length))


def test_other_leads_are_refused(build: Build) -> None:
    with pytest.raises(EcgError, match=r"12 leads, samples\), got \(2, 8, 640\)"):
        build("ecg_transformer")(torch.zeros(2, 8, 640))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_attention_heads": 5}, "not a multiple"),
        ({"conv_pos_groups": 5}, "not a multiple"),
        ({"extractor_mode": "group"}, "extractor_mode"),
        ({"mask_selection": "gamma"}, "mask_selection"),
        ({"latent_groups": 3}, "latent_groups"),
        ({"latent_temp": [1.0]}, "three numbers"),
        ({"codebook_negatives": 2, "quantize_targets": False}, "codebook_negatives"),
        ({"quantize_input": True, "same_quantizer": True}, "same_quantizer"),
        ({"conv_feature_layers": "[(8, 2)]"}, "conv_feature_layers"),
    ],
)
def test_contradictory_settings_are_refused(
    changes: dict[str, Any], message: str, build: Build
) -> None:
    with pytest.raises(EcgError, match=message):
        build("wav2vec2_cmsc", **changes)


def test_number_of_labels_is_required(build: Build) -> None:
    with pytest.raises(EcgError, match="num_labels"):
        build("ecg_transformer_classifier", num_labels=0)


@pytest.mark.parametrize(
    "text",
    ["__import__('os').getcwd()", "[(1, 2, 3)] * 10 ** 9", "[1]", "[]", "[(0, 2, 2)]", "x", "("],
)
def test_convolutions_are_never_evaluated_as_code(text: str) -> None:
    with pytest.raises(EcgError, match="conv_feature_layers"):
        parse_conv_layers(text)


@pytest.mark.slow
def test_compiled_layers_give_the_same(build: Build, signals: Tensor) -> None:
    plain, compiled = build("ecg_transformer").eval(), build("ecg_transformer", compile_layers=True)
    assert list(plain.state_dict()) == list(compiled.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(
            plain(signals).frames, compiled.eval()(signals).frames, atol=1e-5, rtol=1e-5
        )


def test_gradient_of_the_convolutions_is_scaled(build: Build, signals: Tensor) -> None:
    gradients = []
    for factor in (1.0, 0.25):
        network = build(
            "ecg_transformer", feature_grad_mult=factor, dropout=0.0, attention_dropout=0.0
        )
        encoded = network(signals)
        (encoded.frames.pow(2).sum() + encoded.features_penalty).backward()
        gradients.append({name: weight.grad for name, weight in network.named_parameters()})
    for name, gradient in gradients[0].items():
        scale = 0.25 if name.startswith("feature_extractor") else 1.0
        torch.testing.assert_close(gradients[1][name], gradient * scale)


def test_training_samples_codes_and_evaluation_takes_the_likeliest() -> None:
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(16, 5, 2, 8, (2.0, 0.5, 0.999))
    frames = torch.randn(4, 50, 16)
    sampled, likeliest = quantizer.train()(frames), quantizer.eval()(frames)
    assert 0.2 < float((sampled.codes == likeliest.codes).float().mean()) < 0.99
    book = quantizer.vars.view(2, 5, 4)
    wanted = torch.cat([book[group][sampled.codes[..., group]] for group in (0, 1)], -1)
    torch.testing.assert_close(sampled.frames, wanted)
    sampled.frames.sum().backward()
    assert float(quantizer.weight_proj.weight.grad.abs().sum()) > 0
