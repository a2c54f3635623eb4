"""fairseq's trainer names parameters that are shared, and no layer that does without a bias."""

import torch
from fairseq import trainer
from torch import nn

from ecg_fairseq.compat import name_shared_parameters_only
from ecg_fairseq.networks.layers.resnet import ResNet, ResNetConfig


def test_absent_biases_are_not_shared_parameters() -> None:
    name_shared_parameters_only()
    name_shared_parameters_only()
    network = nn.Sequential(ResNet(ResNetConfig(num_leads=2, widths=(4, 4, 4, 4), stem_width=4)))
    assert trainer._catalog_shared_params(network) == []


def test_shared_parameters_are_still_found() -> None:
    name_shared_parameters_only()
    network = nn.ModuleDict({"one": nn.Linear(2, 2, bias=False), "two": nn.Linear(2, 2)})
    network["three"] = nn.Linear(2, 2, bias=False)
    network["two"].weight = network["one"].weight
    assert trainer._catalog_shared_params(network) == [["one.weight", "two.weight"]]
    assert torch.equal(network["two"].weight, network["one"].weight)
