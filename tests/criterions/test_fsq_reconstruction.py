"""Criterion ``fsq_reconstruction``: loss, errors by lead in sd and mV, and the use of codes."""

import math
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("fairseq")

from ecg_fairseq.networks.heartllm.config import config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder


@pytest.fixture
def model() -> FsqAutoencoder:
    torch.manual_seed(0)
    network = FsqAutoencoder(config_of({"in_d": 2, "channels_per_lead": 8, "levels": [3, 4]}))
    with torch.no_grad():
        network.enc.to_code.weight.mul_(20)
    return network.eval()


@pytest.fixture
def criterion(make_criterion):
    made = make_criterion(name="fsq_reconstruction")
    made.lead_names = ("I", "V2")
    return made


def batch(count: int, seed: int = 0, **more) -> dict:
    source = torch.randn(count, 2, 160, generator=torch.Generator().manual_seed(seed))
    return {"id": torch.arange(count), "net_input": {"source": source}, **more}


def test_loss_is_the_mean_square(model, criterion, validate):
    sample = batch(3)
    loss, size, log = criterion(model, sample)
    output = model(sample["net_input"]["source"])
    wanted = torch.nn.functional.mse_loss(output.reconstruction, sample["net_input"]["source"])
    assert size == 3 * 2 * 160
    torch.testing.assert_close(loss / size, wanted)
    assert validate(criterion, model, [sample])["loss"] == pytest.approx(wanted.item(), abs=1e-5)
    assert log["nsignals"] == 3


def test_errors_by_lead_add_up_over_batches(model, criterion, validate):
    """A root of a mean over all samples, not a mean of roots; mV by each segment's deviation."""
    scaling = torch.tensor([[[0.1, 0.5], [0.0, 2.0]], [[0.2, 1.5], [0.3, 0.0]]])
    samples = [batch(2, 1, lead_scaling=scaling), batch(2, 2, lead_scaling=3 * scaling)]
    logged = validate(criterion, model, samples)
    squares, in_mv = [], []
    for sample in samples:
        source = sample["net_input"]["source"]
        difference = (model(source).reconstruction - source).detach().double()
        squares.append(difference.square())
        in_mv.append((difference * sample["lead_scaling"][..., 1:].double()).square())
    for row, lead in enumerate(("I", "V2")):
        for unit, values in (("sd", squares), ("mv", in_mv)):
            wanted = math.sqrt(torch.cat(values)[:, row].mean())
            assert logged[f"rmse_{unit}_{lead}"] == pytest.approx(wanted, abs=1e-5)


def test_without_scaling_there_are_no_millivolts(model, criterion, validate):
    logged = validate(criterion, model, [batch(2)])
    assert "rmse_sd_I" in logged
    assert not [name for name in logged if "mv" in name]


def test_use_of_codes_is_counted_over_all_batches(model, criterion, validate):
    samples = [batch(2, seed) for seed in range(3)]
    logged = validate(criterion, model, samples)
    codes = torch.cat([model(one["net_input"]["source"]).code.levels for one in samples])
    ids = model.quantizer.ids(codes).flatten()
    shares = torch.bincount(ids, minlength=12).double() / len(ids)
    used = shares[shares > 0]
    assert logged["codes_used"] == pytest.approx(len(used) / 12, abs=1e-5)
    assert logged["code_perplexity"] == pytest.approx(
        float(torch.exp(-(used * used.log()).sum())), abs=1e-3
    )
    for place, number in enumerate((3, 4)):
        for level in range(number):
            share = float((codes[..., place] == level).double().mean())
            assert logged[f"level_{place}_{level}"] == pytest.approx(share, abs=1e-5)


def test_the_published_figure_would_be_one(model, criterion, validate):
    """All scalar levels occur somewhere, yet few of the ids: only the latter is told."""
    with torch.no_grad():
        model.enc.to_code.weight[1] = model.enc.to_code.weight[0]
        model.enc.to_code.bias[1] = model.enc.to_code.bias[0]
    logged = validate(criterion, model, [batch(4)])
    assert all(logged[f"level_1_{level}"] > 0 for level in range(4))
    assert logged["codes_used"] < 0.6


def test_processes_add_up(model, criterion, reduced):
    logs = [criterion(model, batch(2, seed))[2] for seed in range(2)]
    summed = {name: logs[0][name] + logs[1][name] for name in logs[0]}
    assert criterion.logging_outputs_can_be_summed()
    assert reduced(criterion, [summed]) == pytest.approx(reduced(criterion, logs), rel=1e-9)


def test_training_logs_no_details(model, criterion):
    log = criterion(model.train(), batch(2))[2]
    assert set(log) == {"loss", "sample_size", "nsignals", "_id_counts"}


def test_padding_counts_nowhere(model, criterion, validate):
    padded = batch(1)
    source = padded["net_input"]["source"].clone()
    short = {"id": torch.arange(1), "net_input": {"source": source[..., :90].clone()}}
    source[..., 90:] = 7.0
    mask = torch.arange(160).unsqueeze(0) >= 90
    padded["net_input"] = {"source": source, "padding_mask": mask}
    assert validate(criterion, model, [padded]) == pytest.approx(
        validate(criterion, model, [short]), abs=2e-5
    )


def test_names_of_leads_come_from_the_task(make_criterion):
    from ecg_fairseq.criterions.fsq_reconstruction import FsqReconstruction

    task = SimpleNamespace(present=SimpleNamespace(leads=("I", "II")))
    assert FsqReconstruction(task).lead_names == ("I", "II")


def test_it_learns(model, criterion):
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    sample, losses = batch(4), []
    for _ in range(12):
        loss, size, _ = criterion(model.train(), sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
        losses.append(float(loss / size))
    assert losses[-1] < 0.9 * losses[0]
