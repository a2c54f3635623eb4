"""Tokenize 12-lead recordings of 10 s with HeartLLM's autoencoder at full size, on one thread.

The peer is the published formulation (fact sheet heartllm 1.3): lead after lead, three convolutions
and a pooled one side by side, a whole batch at a time. Ids are compared, and so is reading them
from a cache beside a manifest.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import interleave, versions
from ecg_fairseq.data.tokens.cached_tokens import CachedTokens
from ecg_fairseq.networks.heartllm.config import FsqAutoencoderConfig
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder

NUM_SAMPLES = 5000
_CACHE_READS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the stage."""
    parser.add_argument("--records", type=int, default=16, help="recordings of a batch")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--channels", type=int, default=32, help="channels of a lead (32)")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the times of both formulations and the number of ids that differ."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = FsqAutoencoderConfig(channels_per_lead=arguments.channels)
    network = FsqAutoencoder(config).eval()
    signal = torch.randn(arguments.records, config.in_d, NUM_SAMPLES)
    with torch.no_grad():
        ours, theirs = network.token_ids(signal), published_ids(network, signal)
        timings = interleave(
            {
                "published": lambda: published_ids(network, signal),
                "ours": lambda: network.token_ids(signal),
            },
            arguments.repeats,
        )
    per_record = 1e3 / arguments.records
    return {
        "stage": "fsq-encode",
        "records": arguments.records,
        "ids": ours.numel(),
        "ids_differing": int((ours != theirs).sum()),
        "ms_per_record": {
            name: timings.median_wall(name) * per_record for name in ("published", "ours")
        },
        "cpu_ms_per_record": {
            name: float(np.median(timings.cpu_s[name])) * per_record
            for name in ("published", "ours")
        },
        "ms_per_cached_record": _cached_ms(ours.numpy()),
        **timings.to_dict("published"),
        "versions": versions(),
    }


def published_ids(network: FsqAutoencoder, signal: Tensor) -> Tensor:
    """Return ids (B, S) of signals (B, L, T) as the published code computes them."""
    encoder = network.enc
    leads = []
    for lead in range(signal.shape[1]):
        values = signal[:, lead : lead + 1]
        for residual, down in encoder.blocks:
            values = down(_published_block(residual, values))
        leads.append(_published_block(encoder.bottleneck, values))
    code = torch.sigmoid(encoder.to_code(torch.cat(leads, dim=1).transpose(1, 2)))
    steps = torch.tensor(network.quantizer.levels) - 1
    return network.quantizer.ids(torch.round(code * steps).long())


def _published_block(block: Any, values: Tensor) -> Tensor:
    inner = block.inc
    branches = [branch(values) for branch in (inner.b1, inner.b2, inner.b3)]
    branches.append(inner.b4(F.max_pool1d(values, 3, stride=1, padding=1)))
    return F.leaky_relu(block.norm(torch.cat(branches, dim=1) + block.match(values)), 0.01)


def _cached_ms(ids: np.ndarray) -> float:
    """Return the milliseconds that the ids of one recording take from a mapped cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids.npy"
        np.save(path, ids.astype(np.uint32).ravel())
        offsets = np.arange(len(ids) + 1) * ids.shape[1]
        cached = CachedTokens(np.load(path, mmap_mode="r"), offsets)
        rows = [row % len(ids) for row in range(_CACHE_READS)]
        # A copy: a mapped row is read when it is used.
        timings = interleave({"cached": lambda: [np.array(cached[row]) for row in rows]}, 3)
    return timings.median_wall("cached") / _CACHE_READS * 1e3
