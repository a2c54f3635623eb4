"""ECG-FM's losses against plain loops."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ecg_fairseq.networks.ecg_fm import losses
from ecg_fairseq.networks.layers.contrastive_losses import cmsc_loss


@pytest.mark.parametrize("infonce", [True, False])
def test_contrastive_loss_equals_its_definition(infonce: bool, build: Any, signals: Tensor) -> None:
    output = build("wav2vec2_cmsc").eval()(signals)
    wanted = 0.0
    for row in output.logits.flatten(0, 1).tolist():
        if infonce:
            top = max(row)
            wanted += top + math.log(sum(math.exp(x - top) for x in row)) - row[0]
        else:
            wanted += math.log1p(math.exp(-row[0]))
            wanted += sum(math.log1p(math.exp(x)) for x in row[1:] if x != -math.inf)
    terms = losses.wav2vec2_loss(output, infonce, 0.1, 10.0)
    num_terms = output.logits.shape[0] * output.logits.shape[1]
    assert terms.num_terms == num_terms
    assert float(terms.parts["contrastive"]) == pytest.approx(wanted, rel=1e-4)
    diversity = (12 - float(output.quantized.prob_perplexity)) / 12
    assert float(terms.parts["diversity"]) == pytest.approx(0.1 * diversity * num_terms, rel=1e-5)
    penalty = float(output.encoded.features_penalty)
    assert float(terms.parts["penalty"]) == pytest.approx(10 * penalty * num_terms, rel=1e-5)
    patients, segments = torch.arange(8) // 2, torch.arange(8) % 2
    joint = losses.wav2vec2_with_cmsc_loss(output, patients, segments, terms, 0.5)
    cmsc = cmsc_loss(output.encoded.pooled, patients, segments)
    wanted_total = terms.total + 0.5 * cmsc * num_terms
    torch.testing.assert_close(joint.total, wanted_total)
