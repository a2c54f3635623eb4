"""Scores of several processes are taken together; a segment counts once."""

from typing import Any

import pytest
import torch

pytest.importorskip("fairseq")

from fairseq import metrics

from ecg_fairseq.criterions.score_collector import AreaReport, ScoreCollector, log_areas
from ecg_fairseq.errors import ScoreError

SCORES = torch.tensor([[0.1], [0.4], [0.35], [0.8]])
LABELS = torch.tensor([[0], [0], [1], [1]])


def collected(ids: list[int]) -> ScoreCollector:
    collector = ScoreCollector()
    keys = {"kind": torch.tensor(ids) % 2}
    collector.add(torch.tensor(ids), SCORES[ids], LABELS[ids], keys)
    return collector


def join(monkeypatch: pytest.MonkeyPatch, *others: ScoreCollector) -> list[int]:
    """Pretend that other processes run beside this one; return a list with an entry a gathering."""
    calls: list[int] = []

    def gather(parts: list[Any], own: Any) -> None:
        calls.append(len(own))
        parts[:] = [own, *(other._batches for other in others)]

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1 + len(others))
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    return calls


def test_areas_take_all_processes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = join(monkeypatch, collected([2, 3, 1]), ScoreCollector())
    found = collected([0, 1])
    assert found.result().auroc_macro == 0.75
    assert found.result().auroc_micro == 0.75
    assert len(calls) == 1


def test_process_without_a_segment_sees_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    join(monkeypatch, collected([0, 1]), collected([2, 3]))
    nothing = ScoreCollector()
    assert nothing.result().auroc_macro == 0.75
    assert nothing.of_key("kind", 0).auroc_macro == 1.0


def test_processes_log_figures_of_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    join(monkeypatch, collected([0, 1]), collected([2, 3]))
    pending = ScoreCollector(report=AreaReport("micro", ("AF",)))
    with metrics.aggregate(new_root=True) as whole:
        log_areas(pending, {"kind": [0, 1]})
    found = whole.get_smoothed_values()
    assert {"auroc", "auprc_macro", "auroc_of_AF", "kind_0_auroc", "kind_1_auprc"} <= set(found)
    assert found["auroc"] == found["auroc_of_AF"] == 0.75
    assert found["kind_0_auroc"] == found["kind_1_auroc"] == 1.0


def test_later_batches_are_seen_after_a_result() -> None:
    collector = collected([0, 2])
    assert collector.result().auroc_macro == 1.0
    collected([1, 3]).move_to(collector)
    assert collector.result().auroc_macro == 0.75
    collected([1, 3]).move_to(collector)
    assert collector.result().auroc_macro == 0.75


def test_what_is_handed_over_is_gone() -> None:
    pending, kept = collected([0, 1, 2, 3]), ScoreCollector()
    pending.report = AreaReport("micro")
    pending.move_to(kept)
    assert kept.report.average == "micro"
    assert kept.result().auroc_macro == 0.75
    assert pending._batches == []


def test_labels_that_nobody_gave_are_refused() -> None:
    labels = LABELS.float()
    labels[2] = torch.nan
    with pytest.raises(ScoreError, match="1 labels of a batch are NaN"):
        ScoreCollector().add(torch.arange(4), SCORES, labels)
