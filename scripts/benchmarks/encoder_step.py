"""``train-step --system ecg-fm``: an ECG-FM pretraining update against fairseq's own wav2vec 2.0.

The peer is the straightforward way to ECG-FM on fairseq: a sub-class of its ``Wav2Vec2Model`` whose
first convolution reads twelve leads, with fairseq's criterion. Both have the same weights (which is
checked on the unmasked context), the same batch, AdamW, and the contrastive loss without CMSC.
"""

import argparse
import copy
from typing import Any

import torch
from torch import nn

from benchmarks.profiling import largest_operators, share_outside_products
from benchmarks.timing import interleave, versions

TOLERANCE = 2e-4
_SAMPLES = 2500
# ours -> fairseq's; its weight norm still has torch's older form
_RENAMED = {
    "conv_pos.pos_conv.0.": "encoder.pos_conv.0.",
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}
_SHARED_SETTINGS = {
    "quantize_targets": True,
    "final_dim": 256,
    "mask_prob": 0.65,
    "feature_grad_mult": 0.1,
    "dropout_input": 0.1,
    "dropout_features": 0.1,
    "latent_temp": (2.0, 0.5, 0.999995),
    "conv_feature_layers": "[(256, 2, 2)] * 4",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this system."""
    parser.add_argument("--segments", type=int, default=4, help="ecg-fm: 5-s segments in a batch")
    parser.add_argument("--layers", type=int, default=12, help="ecg-fm: Transformer layers")
    parser.add_argument("--device", default="cpu", help="ecg-fm: cpu or cuda")
    parser.add_argument("--bf16", action="store_true", help="ecg-fm: bf16 autocast in both")
    parser.add_argument("--compile", action="store_true", help="ecg-fm: torch.compile our layers")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time both updates and profile ours."""
    torch.manual_seed(1)
    device = torch.device(arguments.device)
    ours, plain = _networks(arguments, device)
    source = torch.randn(arguments.segments, 12, _SAMPLES, device=device)
    difference = _check_equal(ours, plain, source)
    steps = {
        "ours": _our_update(ours, source, arguments.bf16),
        "fairseq Wav2Vec2Model": _plain_update(plain, source, arguments.bf16),
    }
    timings = interleave(steps, arguments.repeats)
    result = {
        "shape": {"segments": arguments.segments, "samples": _SAMPLES, "layers": arguments.layers},
        "parameters": sum(parameter.numel() for parameter in ours.parameters()),
        "context_max_abs_difference": difference,
        "segments_per_second": {
            name: arguments.segments / timings.median_wall(name) for name in steps
        },
        "share_outside_matrix_products": {
            name: share_outside_products(step) for name, step in steps.items()
        },
        "largest_operators": largest_operators(steps["ours"]),
        "threads": torch.get_num_threads(),
        **timings.to_dict("fairseq Wav2Vec2Model"),
        "versions": versions(("torch", "fairseq-fixed")),
    }
    if device.type == "cuda":
        result["peak_memory_bytes"] = {name: _peak_memory(step) for name, step in steps.items()}
    return result


def _networks(arguments: argparse.Namespace, device: Any) -> tuple[Any, Any]:
    """Return our network and fairseq's with the same weights."""
    from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config as PlainConfig
    from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Model

    from ecg_fairseq.networks.ecg_fm.config import Wav2Vec2Config
    from ecg_fairseq.networks.ecg_fm.wav2vec2 import EcgWav2Vec2

    settings = {**_SHARED_SETTINGS, "encoder_layers": arguments.layers}
    ours = EcgWav2Vec2(
        Wav2Vec2Config(apply_mask=True, compile_layers=arguments.compile, **settings)
    )
    # What is not named here has the same default in both.
    plain = Wav2Vec2Model(PlainConfig(encoder_layerdrop=0.0, **settings))
    plain.feature_extractor = TwelveLeadConvolutions(ours.feature_extractor)
    weights = {_plain_name(key): value for key, value in ours.state_dict().items()}
    left = set(plain.state_dict()) ^ set(weights)
    if left:
        raise ValueError(f"the networks differ in {sorted(left)[:5]}")
    plain.load_state_dict(weights)
    return ours.to(device).train(), plain.to(device).train()


def _plain_name(key: str) -> str:
    for ours, plain in _RENAMED.items():
        key = key.replace(ours, plain)
    return key


class TwelveLeadConvolutions(nn.Module):
    """fairseq's convolutions for (B, 12, T), with copies of our layers; fairseq's take (B, T)."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.conv_layers = copy.deepcopy(extractor.conv_layers)

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        """Return frames (B, C, F)."""
        for layer in self.conv_layers:
            source = layer(source)
        return source


def _check_equal(ours: Any, plain: Any, source: Any) -> float:
    """Return the largest difference of the unmasked contexts; raise where it is not rounding."""
    ours.eval(), plain.eval()
    with torch.no_grad():
        context = ours.encode(source).frames
        other = plain(source, mask=False, features_only=True)["x"]
    ours.train(), plain.train()
    difference = float((context - other).abs().max())
    if difference > TOLERANCE:
        raise ValueError(f"the contexts of both networks differ by {difference:g}")
    return difference


def _our_update(network: Any, source: Any, is_bf16: bool) -> Any:
    from ecg_fairseq.networks.ecg_fm.losses import wav2vec2_loss

    def loss() -> Any:
        terms = wav2vec2_loss(network(source), True, 0.1, 10.0)
        return terms.total / terms.num_terms

    return _update_of(network, loss, source, is_bf16)


def _plain_update(network: Any, source: Any, is_bf16: bool) -> Any:
    from fairseq.criterions.wav2vec_criterion import Wav2vecCriterion

    criterion = Wav2vecCriterion(None, infonce=True, loss_weights=[0.1, 10.0])
    sample = {"net_input": {"source": source}, "id": source.new_zeros(len(source))}

    def loss() -> Any:
        total, num_terms, _ = criterion(network, sample)
        return total / num_terms

    return _update_of(network, loss, source, is_bf16)


def _update_of(network: Any, loss: Any, source: Any, is_bf16: bool) -> Any:
    """Return a call that does one update and waits for it."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)

    def update() -> float:
        optimizer.zero_grad()
        with torch.autocast(source.device.type, torch.bfloat16, enabled=is_bf16):
            value = loss()
        value.backward()
        optimizer.step()
        return float(value.detach())

    return update


def _peak_memory(call: Any) -> int:
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated()
