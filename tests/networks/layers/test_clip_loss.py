"""Contrastive losses of pairs against plain loops; two processes against one."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers.clip_loss import (
    PairedEmbeddings,
    Temperature,
    clip_loss,
    ecg_text_loss,
)

NUM_ROWS, WIDTH = 5, 6


def rows(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(NUM_ROWS, WIDTH, generator=generator, dtype=dtype)


def slow_loss(first: Tensor, second: Tensor, temperature: float) -> float:
    """Row by row."""

    def cosine(i: int, j: int) -> float:
        return float(torch.cosine_similarity(first[i], second[j], dim=0)) / temperature

    total, everyone = 0.0, range(len(first))
    for i in everyone:
        total -= cosine(i, i) - math.log(sum(math.exp(cosine(i, j)) for j in everyone))
        total -= cosine(i, i) - math.log(sum(math.exp(cosine(j, i)) for j in everyone))
    return total


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_equals_its_definition(temperature: float) -> None:
    first, second = rows(1), rows(2) * 40
    wanted = slow_loss(first, second, temperature)
    assert float(clip_loss(first, second, temperature)) == pytest.approx(wanted, rel=1e-5)
    mean = clip_loss(first, second, temperature, reduction="mean")
    assert float(mean) == pytest.approx(wanted / NUM_ROWS, rel=1e-5)


def test_both_terms_and_their_weights() -> None:
    one = PairedEmbeddings(rows(1), rows(2), rows(3), rows(4))
    terms = ecg_text_loss(one, temperature=0.2, uni_modal_weight=0.5)
    cross, uni = slow_loss(rows(1), rows(2), 0.2), slow_loss(rows(3), rows(4), 0.2)
    assert float(terms.parts["cross_modal"]) == pytest.approx(cross, rel=1e-5)
    assert float(terms.parts["uni_modal"]) == pytest.approx(0.5 * uni, rel=1e-5)
    assert float(terms.total) == pytest.approx(cross + 0.5 * uni, rel=1e-5)
    assert terms.num_terms == NUM_ROWS
    for without in (ecg_text_loss(one, uni_modal_weight=0.0), ecg_text_loss(
        PairedEmbeddings(rows(1), rows(2))
    )):  # fmt: skip
        assert list(without.parts) == ["cross_modal"]


def test_autocast_does_not_reach_the_similarities() -> None:
    first, second = rows(1, torch.float32), rows(2, torch.float32)
    plain = clip_loss(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(clip_loss(first, second), plain)


def test_temperature_is_learned_and_kept_in_bounds() -> None:
    fixed, learned = Temperature(0.07), Temperature(0.07, is_learned=True)
    assert float(fixed()) == pytest.approx(0.07)
    assert [parameter for parameter in fixed.parameters() if parameter.requires_grad] == []
    # Pairs that fit want colder; the bound must not be a trap for pairs that do not fit any more.
    optimizer = torch.optim.SGD(learned.parameters(), lr=5.0)
    for _ in range(20):
        optimizer.zero_grad()
        clip_loss(rows(1), rows(1) + 0.3 * rows(2), learned(), reduction="mean").backward()
        optimizer.step()
    coldest = float(learned().detach())
    for _ in range(20):
        optimizer.zero_grad()
        clip_loss(rows(1), rows(1).roll(1, 0), learned(), reduction="mean").backward()
        optimizer.step()
    assert 0.01 - 1e-6 <= coldest < 0.05
    assert 0.2 < float(learned().detach()) <= 1.0 + 1e-6
    learned.log_scale.data.fill_(100.0)
    assert float(learned().detach()) == pytest.approx(0.01)
    for start in (0.0, -1.0, 0.001, 2.0):
        with pytest.raises(EcgError, match="between its bounds"):
            Temperature(start)


def test_refusals() -> None:
    with pytest.raises(EcgError, match=r"\(5, 6\) and \(4, 6\)"):
        clip_loss(rows(1), rows(2)[:4])
    with pytest.raises(EcgError, match=r"\(0, 6\)"):
        clip_loss(rows(1)[:0], rows(2)[:0])
    with pytest.raises(EcgError, match="reduction='max' must be one of sum, mean"):
        clip_loss(rows(1), rows(2), reduction="max")
    with pytest.raises(EcgError, match="gather='some' must be one of none, local, all"):
        clip_loss(rows(1), rows(2), gather="some")


# ---- two processes -----------------------------------------------------------------------------


def weighted_loss(part: slice, gather: str) -> dict[str, Tensor]:
    """Loss and gradients of two projections and a temperature, on a part of the rows."""
    torch.manual_seed(0)
    projections = [torch.nn.Linear(WIDTH, WIDTH).double() for _ in range(2)]
    temperature = Temperature(0.2, is_learned=True)
    first, second = (
        projection(rows(seed)[part]) for seed, projection in enumerate(projections, start=1)
    )
    loss = clip_loss(first, second, temperature(), gather=gather)
    loss.backward()
    gradients = {
        "first": projections[0].weight.grad,
        "second": projections[1].weight.grad,
        "temperature": temperature.log_scale.grad,
    }
    return {"loss": loss.detach(), **{name: g for name, g in gradients.items() if g is not None}}


def one_of_two(rank: int, folder: str) -> None:
    """Write what a process found; processes have three rows and two."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    part = slice(0, 3) if rank == 0 else slice(3, NUM_ROWS)
    found = {gather: weighted_loss(part, gather) for gather in ("none", "local", "all")}
    torch.save(found, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_are_one_with_both_batches(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    wanted = weighted_loss(slice(0, NUM_ROWS), "none")
    assert set(wanted) == {"loss", "first", "second", "temperature"}
    for gather in ("local", "all"):
        for name, value in wanted.items():
            summed = found[0][gather][name] + found[1][gather][name]
            torch.testing.assert_close(summed, value, atol=1e-5, rtol=1e-5)
    apart = found[0]["none"]["loss"] + found[1]["none"]["loss"]
    assert float(apart) < float(wanted["loss"])
