"""What the classification criterion logs: areas, the challenge's score, figures of keys."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ecg_fairseq.errors import EcgError, ScoreError
from ecg_fairseq.evaluation.labels.cinc_score import cinc_score, read_weights
from ecg_fairseq.records.labels.snomed_codes import SCORED_CLASSES, snomed_label_set

pytest.importorskip("fairseq")

from fairseq import metrics

NUM = 40


@pytest.fixture(scope="module")
def rows() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    label = torch.randint(2, (NUM, 3), generator=generator).float()
    logits = torch.randn(NUM, 3, generator=generator) + label
    return {"id": torch.arange(NUM), "logits": logits, "label": label}


def batches_of(rows: dict[str, torch.Tensor], size: int = 7) -> list[dict[str, Any]]:
    """Cut into batches; the last two overlap, as a resumed or padded pass may."""
    starts = [*range(0, NUM, size), NUM - size]
    found = []
    for start in starts:
        cut = {name: values[start : start + size] for name, values in rows.items()}
        source = cut.pop("logits")
        found.append({**cut, "net_input": {"source": source}})
    return found


def areas_of(label: torch.Tensor, logits: torch.Tensor) -> tuple[list[float], list[float]]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    columns = range(label.shape[1])
    return (
        [roc_auc_score(label[:, k], logits[:, k]) for k in columns],
        [average_precision_score(label[:, k], logits[:, k]) for k in columns],
    )


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_areas_are_of_the_whole_pass_though_fairseq_asks_at_every_step(
    average: str, rows: Any, repeater: Any, make_criterion: Any, validate: Any
) -> None:
    from sklearn.metrics import roc_auc_score

    criterion = make_criterion(report_auc=True, auc_average=average)
    for _ in range(2):  # the second pass must not remember the first
        found = validate(criterion, repeater, batches_of(rows))
        auroc, auprc = areas_of(rows["label"], rows["logits"])
        assert found["auroc_macro"] == pytest.approx(np.mean(auroc))
        assert found["auprc_macro"] == pytest.approx(np.mean(auprc))
        micro = roc_auc_score(rows["label"].ravel(), rows["logits"].ravel())
        assert found["auroc_micro"] == pytest.approx(micro)
        assert found["auroc"] == found[f"auroc_{average}"]
        assert found["auprc"] == found[f"auprc_{average}"]
        assert all(type(value) in (float, int) for value in found.values())


def test_areas_are_computed_once_a_pass(
    monkeypatch: pytest.MonkeyPatch, rows: Any, repeater: Any, make_criterion: Any, validate: Any
) -> None:
    from ecg_fairseq.criterions import score_collector

    calls = []
    plain = score_collector.label_scores
    monkeypatch.setattr(
        score_collector, "label_scores", lambda *args: calls.append(1) or plain(*args)
    )
    criterion = make_criterion(["a", "b", "c"], report_auc=True, report_labels=True)
    validate(criterion, repeater, batches_of(rows))
    assert len(calls) == 1


def test_fairseq_validate_reduces_everything_at_its_end(
    rows: Any, repeater: Any, make_criterion: Any
) -> None:
    criterion = make_criterion(report_auc=True)
    logs = [criterion(repeater, batch)[2] for batch in batches_of(rows)]
    with metrics.aggregate() as whole:
        type(criterion).reduce_metrics(logs)
        found = whole.get_smoothed_values()
    assert found["auroc"] == pytest.approx(np.mean(areas_of(rows["label"], rows["logits"])[0]))
    assert "auroc" not in metrics.get_meters("default")


def test_nothing_of_it_enters_a_checkpoint(rows: Any, repeater: Any, make_criterion: Any) -> None:
    from fairseq.logging.meters import MetersDict

    criterion = make_criterion(report_auc=True, per_log_keys=["kind"])
    batch = batches_of({**rows, "kind": torch.zeros(NUM).long()})[0]
    with metrics.aggregate(new_root=True) as whole:
        type(criterion).reduce_metrics([criterion(repeater, batch)[2]])
    restored = MetersDict()
    restored.load_state_dict(whole.state_dict())
    assert not [name for name in restored if "auroc" in name or "scores" in name]
    assert "kind_0_em_accuracy" in restored


def test_each_label_has_its_own_figures(
    rows: Any, repeater: Any, make_criterion: Any, validate: Any
) -> None:
    criterion = make_criterion(["AF", "CLBBB|LBBB", "a/b c"], report_auc=True, report_labels=True)
    found = validate(criterion, repeater, batches_of(rows))
    auroc, auprc = areas_of(rows["label"], rows["logits"])
    for k, name in enumerate(["AF", "CLBBB|LBBB", "a_b_c"]):
        assert found[f"auroc_of_{name}"] == pytest.approx(auroc[k])
        assert found[f"auprc_of_{name}"] == pytest.approx(auprc[k])
    unnamed = make_criterion(report_auc=True, report_labels=True)
    assert validate(unnamed, repeater, batches_of(rows))["auroc_of_2"] == pytest.approx(auroc[2])


def test_labels_of_one_value_leave_a_number_to_choose_checkpoints_by(
    rows: Any, repeater: Any, make_criterion: Any, validate: Any, caplog: Any
) -> None:
    criterion = make_criterion(report_auc=True, report_labels=True)
    label = rows["label"].clone()
    label[:, 1] = 0
    found = validate(criterion, repeater, batches_of({**rows, "label": label}))
    auroc = areas_of(rows["label"], rows["logits"])[0]
    assert found["auroc"] == pytest.approx((auroc[0] + auroc[2]) / 2)
    assert math.isnan(found["auroc_of_1"])
    assert not caplog.records
    found = validate(criterion, repeater, batches_of({**rows, "label": torch.zeros(NUM, 3)}))
    assert found["auroc"] == found["auprc_micro"] == 0.0
    assert "no label is both true and false among the 40 segments" in caplog.text
    assert "checkpoint_best.pt" in caplog.text


def test_keys_have_figures_of_their_own(
    rows: Any, repeater: Any, make_criterion: Any, validate: Any
) -> None:
    kind = torch.arange(NUM) % 4 - 1
    criterion = make_criterion(report_auc=True, per_log_keys=["kind"])
    starts = batches_of({**rows, "kind": kind})[:-1]  # without the overlap: counts are sums
    found = validate(criterion, repeater, starts)
    for value in range(3):
        chosen = kind == value
        label, logits = rows["label"][chosen], rows["logits"][chosen]
        exact = ((logits.sigmoid() > 0.5) == label.bool()).all(1).double().mean()
        assert found[f"kind_{value}_em_accuracy"] == pytest.approx(float(exact), abs=1e-5)
        assert found[f"kind_{value}_auroc"] == pytest.approx(np.mean(areas_of(label, logits)[0]))
    assert not [name for name in found if name.startswith("kind_-1") or "kind_3" in name]
    repeater.train()
    with metrics.aggregate(new_root=True) as whole:
        type(criterion).reduce_metrics([criterion(repeater, starts[0])[2]])
    in_training = whole.get_smoothed_values()
    assert "kind_0_em_accuracy" in in_training
    assert "kind_0_auroc" not in in_training


def test_key_that_no_batch_has_is_refused(rows: Any, repeater: Any, make_criterion: Any) -> None:
    criterion = make_criterion(per_log_keys=["kind"])
    with pytest.raises(EcgError, match="'kind'; it has id, label, net_input"):
        criterion(repeater, batches_of(rows)[0])
    with pytest.raises(EcgError, match="kind=99999; values must be below"):
        criterion(repeater, batches_of({**rows, "kind": torch.full((NUM,), 99999)})[0])


def summed(logs: list[dict[str, Any]]) -> dict[str, Any]:
    """What fairseq makes of the logs of several processes."""
    return {name: sum(torch.as_tensor(log[name]).double() for log in logs) for name in logs[0]}


def test_sums_over_processes_are_exact(
    rows: Any, repeater: Any, make_criterion: Any, weights_file: Path, validate: Any
) -> None:
    generator = torch.Generator().manual_seed(1)
    names = snomed_label_set("challenge_2021", ()).labels
    label = torch.randint(2, (NUM, len(names)), generator=generator).float()
    logits = torch.randn(NUM, len(names), generator=generator)
    kind = torch.arange(NUM) % 3
    criterion = make_criterion(
        names, report_cinc_score=True, weights_file=str(weights_file), per_log_keys=["kind"]
    )
    many = {"id": rows["id"], "label": label, "logits": logits, "kind": kind}
    whole = batches_of(many, NUM)[:1]
    one = validate(criterion, repeater, whole)
    uneven = [{name: v[a:b] for name, v in many.items()} for a, b in ((0, 5), (5, 29), (29, NUM))]
    logs = [
        criterion(repeater, {**part, "net_input": {"source": part["logits"]}})[2] for part in uneven
    ]
    with metrics.aggregate(new_root=True) as total:
        type(criterion).reduce_metrics([summed(logs)])
    assert dict(total.get_smoothed_values()) == pytest.approx(dict(one))
    by_hand = cinc_score(
        read_weights(weights_file), label.numpy(), (logits.sigmoid() > 0.5).numpy(), names
    )
    assert one["cinc_score"] == pytest.approx(by_hand)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the challenge's form, with made-up numbers, in an order of its own."""
    classes = ["|".join(item.code for item in members) for members in SCORED_CLASSES][::-1]
    values = np.random.default_rng(0).random((len(classes), len(classes)))
    np.fill_diagonal(values, 1.0)
    lines = ["," + ",".join(classes)]
    lines += [
        f"{name},{','.join(map(str, row))}" for name, row in zip(classes, values, strict=True)
    ]
    path = tmp_path_factory.mktemp("weights") / "weights.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_score_does_not_depend_on_the_order_of_labels(
    repeater: Any, make_criterion: Any, weights_file: Path, validate: Any
) -> None:
    names = snomed_label_set("challenge_2021", ()).labels
    generator = torch.Generator().manual_seed(5)
    label = torch.randint(2, (NUM, len(names)), generator=generator).float()
    logits = torch.randn(NUM, len(names), generator=generator)
    settings = {"report_cinc_score": True, "weights_file": str(weights_file)}
    scores = []
    for order in (torch.arange(len(names)), torch.randperm(len(names), generator=generator)):
        criterion = make_criterion([names[k] for k in order], **settings)
        rows = {"id": torch.arange(NUM), "label": label[:, order], "logits": logits[:, order]}
        scores.append(validate(criterion, repeater, batches_of(rows, 9)[:-1])["cinc_score"])
    assert scores[0] == pytest.approx(scores[1])
    assert scores[0] != 0.0


def test_labels_without_names_are_taken_in_the_order_of_the_file_and_said(
    repeater: Any, make_criterion: Any, weights_file: Path, validate: Any, caplog: Any
) -> None:
    weights = read_weights(weights_file)
    label = torch.eye(len(weights.classes))
    settings = {"report_cinc_score": True, "weights_file": str(weights_file)}
    batch = {"id": torch.arange(26), "label": label, "net_input": {"source": 2 * label - 1}}
    found = validate(make_criterion(**settings), repeater, [batch])
    assert found["cinc_score"] == pytest.approx(1.0)
    assert "in the order of" in caplog.text
    batch = {**batch, "label": label[:, :3], "net_input": {"source": label[:, :3]}}
    with pytest.raises(ScoreError, match="3 labels without names for the 26 classes"):
        make_criterion(**settings)(repeater, batch)


def test_settings_that_cannot_work_are_refused(
    make_criterion: Callable[..., Any], weights_file: Path
) -> None:
    with pytest.raises(EcgError, match="auc_average='weighted'; expected macro or micro"):
        make_criterion(auc_average="weighted")
    with pytest.raises(EcgError, match=r"needs criterion\.weights_file"):
        make_criterion(report_cinc_score=True)
    with pytest.raises(ScoreError, match="AFX"):
        make_criterion(["AFX"], report_cinc_score=True, weights_file=str(weights_file))


def test_training_logs_no_score(
    rows: Any, repeater: Any, make_criterion: Any, weights_file: Path
) -> None:
    names = snomed_label_set("challenge_2021", ()).labels
    criterion = make_criterion(
        names, report_auc=True, report_cinc_score=True, weights_file=str(weights_file)
    )
    repeater.train()
    label = torch.ones(4, len(names))
    sample = {"id": torch.arange(4), "label": label, "net_input": {"source": label}}
    with metrics.aggregate(new_root=True) as whole:
        type(criterion).reduce_metrics([criterion(repeater, sample)[2]])
    assert not {"auroc", "cinc_score"} & set(whole.get_smoothed_values())


def test_batch_of_the_training_split_does_not_count(
    rows: Any, repeater: Any, make_criterion: Any, validate: Any
) -> None:
    criterion = make_criterion(report_auc=True)
    batches = batches_of(rows)
    wrong = {**batches[0], "id": batches[0]["id"] + 1000, "label": 1 - batches[0]["label"]}
    plain = validate(criterion, repeater, batches)
    mixed = validate(criterion, repeater, [*batches, {**wrong, "is_training": True}])
    assert mixed["auroc"] == plain["auroc"]


def test_no_task_is_needed(make_criterion: Callable[..., Any]) -> None:
    from ecg_fairseq.criterions.binary_cross_entropy_with_logits import (
        BinaryCrossEntropyWithLogits,
    )

    assert BinaryCrossEntropyWithLogits(None).label_names is None
    assert BinaryCrossEntropyWithLogits(SimpleNamespace()).label_names is None


def test_nsignals_of_a_pass_is_its_number_of_signals(
    rows: Any, repeater: Any, make_criterion: Any, validate: Any
) -> None:
    once = batches_of(rows)[:-1]  # without the overlap
    assert validate(make_criterion(), repeater, once)["nsignals"] == NUM
