"""Our wav2vec 2.0 against fairseq's, in variants that no recorded file covers.

fairseq's model reads one channel, so it gets our convolutions; everything behind them is its own:
masking, position convolution, Transformer, quantisers, targets, similarities.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

VARIANTS = {
    "as published": {},
    "pre-norm": {"layer_norm_first": True},
    "odd position kernel": {"conv_pos": 15},
    "latent_dim differs from final_dim": {"latent_dim": 12},
    "gated targets": {"target_glu": True, "latent_groups": 1},
    "no quantiser": {"quantize_targets": False},
    "no projection": {"conv_feature_layers": "[(32, 2, 2)] * 4", "layer_norm_first": True},
    "odd kernels with bias": {"conv_feature_layers": "[(16, 3, 2)] * 4", "conv_bias": True},
    "quantised input": {"quantize_input": True, "conv_feature_layers": "[(32, 2, 2)] * 4"},
    "negatives from everywhere": {"negatives_from_everywhere": True},
    "three groups": {"latent_groups": 3, "final_dim": 12},
}


def fairseq_twin(network: Any, negatives: Tensor) -> Any:
    """Return fairseq's model with our weights and the given negatives."""
    from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config, Wav2Vec2Model

    class Twin(Wav2Vec2Model):
        def sample_negatives(self, y: Tensor, num: Any, padding_count: Any = None) -> Any:
            flat = y.reshape(-1, y.shape[-1])
            return flat[negatives].permute(2, 0, 1, 3), None

    cfg, ours = Wav2Vec2Config(), network.config
    for name in vars(cfg):
        if hasattr(ours, name):
            setattr(cfg, name, getattr(ours, name))
    cfg.latent_temp, cfg.dropout_input, cfg.dropout_features = tuple(ours.latent_temp), 0.0, 0.0
    cfg.final_dim = ours.prediction_dim
    twin = Twin(cfg)
    twin.feature_extractor = network.feature_extractor
    renamed = {
        key.replace("conv_pos.pos_conv", "encoder.pos_conv")
        .replace("parametrizations.weight.original0", "weight_g")
        .replace("parametrizations.weight.original1", "weight_v"): tensor
        for key, tensor in network.state_dict().items()
    }
    twin.load_state_dict(renamed)
    return twin.eval()


@pytest.mark.parametrize("is_padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_equals_fairseq(
    changes: dict[str, Any], is_padded: bool, build: Callable[..., Any], signals: Tensor
) -> None:
    network = build("wav2vec2_cmsc", **changes).eval()
    torch.manual_seed(2)
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1 or "fc" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    mask = torch.zeros(8, network.feature_extractor.num_frames(640), dtype=torch.bool)
    mask[:, 4:9] = True
    mask[3] = mask[3].roll(7)
    num_candidates = 8 * (mask.shape[1] if changes.get("negatives_from_everywhere") else 5)
    negatives = torch.randint(num_candidates, (8, 5, 7))
    # Our own-row path picks from the same segment only.
    width = num_candidates // 8
    negatives = negatives % width + torch.arange(8)[:, None, None] * width
    padding_mask = None
    if is_padded:
        padding_mask = torch.arange(640) >= torch.tensor([640, 500, 333, 640] * 2)[:, None]
    with torch.no_grad():
        ours = network(signals, padding_mask, mask=mask, negatives=negatives)
        twin = fairseq_twin(network, negatives)
        theirs = twin(signals, padding_mask, mask_indices=mask)
        context = twin(signals, padding_mask, mask_indices=mask, features_only=True)["x"]
    # Nothing looks at padded frames; what they hold differs, because ours are emptied once more.
    found, wanted = ours.encoded.frames, context
    if ours.encoded.padding is not None:
        found, wanted = found[~ours.encoded.padding], wanted[~ours.encoded.padding]
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(ours.logits.permute(2, 0, 1), theirs["x"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.encoded.features_penalty, theirs["features_pen"])
    if ours.quantized is not None and not changes.get("negatives_from_everywhere"):
        for name in ("prob_perplexity", "code_perplexity"):
            torch.testing.assert_close(getattr(ours.quantized, name), theirs[name])
