"""What we register with fairseq for ECG-FM: names, settings, losses that train, checkpoints."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS
from ecg_fairseq.networks.ecg_fm.convert import convert_checkpoint

pytest.importorskip("fairseq")

from fairseq import metrics
from fairseq.criterions import CRITERION_REGISTRY, build_criterion
from fairseq.models import MODEL_DATACLASS_REGISTRY, MODEL_REGISTRY
from omegaconf import OmegaConf

from ecg_fairseq import tasks  # noqa: F401 - registers them and the criterions
from ecg_fairseq.models import (  # noqa: F401 - registers them
    arcface,
    ecg_transformer,
    ecg_transformer_classifier,
    ecg_wav2vec2,
    wav2vec2_cmsc,
)

CRITERIONS = (
    "wav2vec2", "wav2vec2_with_cmsc", "cmsc", "simclr", "3kg", "arcface",
    "binary_cross_entropy_with_logits",
)  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_registered_models_are_ours(name: str) -> None:
    assert MODEL_REGISTRY[name].__module__.startswith("ecg_fairseq.models.")
    fields = {field.name for field in dataclasses.fields(MODEL_DATACLASS_REGISTRY[name])}
    own = {field.name for field in dataclasses.fields(NETWORKS[name][1])}
    assert own <= fields


@pytest.mark.parametrize("name", CRITERIONS)
def test_registered_criterions_are_ours(name: str) -> None:
    assert CRITERION_REGISTRY[name].__module__.startswith("ecg_fairseq.criterions.")
    assert CRITERION_REGISTRY[name].logging_outputs_can_be_summed()


def test_fairseq_keeps_the_names_it_owns() -> None:
    assert MODEL_REGISTRY["wav2vec2"].__module__.startswith("fairseq.")
    assert CRITERION_REGISTRY["wav2vec"].__module__.startswith("fairseq.")


def fairseq_model(name: str, build: Callable[..., Any], **changes: Any) -> Any:
    """Build a model as fairseq does, from settings that hydra has read."""
    kind = MODEL_DATACLASS_REGISTRY[name]
    values = dataclasses.asdict(build(name, **changes).config)
    if "no_pretrained_weights" in values:
        values["no_pretrained_weights"] = True
    cfg = OmegaConf.merge(OmegaConf.structured(kind), values)
    return MODEL_REGISTRY[name].build_model(cfg, None)


def fairseq_criterion(name: str, **settings: Any) -> Any:
    """Build a criterion as fairseq does."""
    return build_criterion(OmegaConf.create({"_name": name, **settings}), None)


SAMPLE = {
    "patient_id": torch.arange(8) // 2,
    "segment": torch.arange(8) % 2,
}
JOINT = {"infonce": True, "loss_weights": [0.1, 10.0]}
PERPLEXITIES = ["prob_perplexity", "code_perplexity", "temp"]
PAIRS = {
    "joint": ("wav2vec2_cmsc", "wav2vec2_with_cmsc", {**JOINT, "log_keys": PERPLEXITIES}, None),
    "wav2vec2": ("ecg_wav2vec2", "wav2vec2", JOINT, None),
    "cmsc": ("ecg_transformer", "cmsc", {}, None),
    "simclr": ("ecg_transformer", "simclr", {}, None),
    "3kg": ("ecg_transformer", "3kg", {}, None),
    "arcface": ("arcface", "arcface", {}, torch.arange(8) % 3),
    "classifier": (
        "ecg_transformer_classifier",
        "binary_cross_entropy_with_logits",
        {"pos_weight": [1.0, 2.0, 3.0]},
        torch.eye(3)[torch.arange(8) % 3],
    ),
}


@pytest.mark.parametrize("case", PAIRS.values(), ids=PAIRS)
def test_loss_goes_down(case: Any, build: Callable[..., Any], signals: torch.Tensor) -> None:
    model_name, criterion_name, settings, label = case
    model = fairseq_model(model_name, build, dropout=0.0, attention_dropout=0.0)
    criterion = fairseq_criterion(criterion_name, **settings)
    sample = {**SAMPLE, "net_input": {"source": signals}, "label": label}
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    values = []
    for update in range(12):
        torch.manual_seed(7)
        model.train()
        model.set_num_updates(update)
        loss, sample_size, log = criterion(model, sample)
        optimizer.zero_grad()
        (loss / sample_size).backward()
        optimizer.step()
        values.append(float(loss.detach()) / sample_size)
    assert values[-1] < values[0] * 0.9, values
    with metrics.aggregate(new_root=True) as aggregator:
        type(criterion).reduce_metrics([log, log])
    smoothed = aggregator.get_smoothed_values()
    assert smoothed["loss"] == pytest.approx(values[-1] / 0.6931472, abs=2e-3)
    assert all(type(value) in (float, int) for value in smoothed.values())
    if criterion_name == "wav2vec2_with_cmsc":
        assert {"loss_0", "loss_1", "loss_2", "loss_3", *PERPLEXITIES} <= set(smoothed)
        assert smoothed["temp"] == pytest.approx(2.0 * 0.999995**11, abs=1e-3)
        assert 1.0 < smoothed["code_perplexity"] <= 12.0


def test_counts_of_labels_are_exact_over_batches(
    build: Callable[..., Any], signals: torch.Tensor
) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    model = fairseq_model("ecg_transformer_classifier", build).eval()
    criterion = fairseq_criterion("binary_cross_entropy_with_logits")
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (8, 3), generator=generator).float()
    logs = []
    for rows in (slice(0, 3), slice(3, 8)):
        sample = {"net_input": {"source": signals[rows]}, "label": labels[rows]}
        logs.append(criterion(model, sample)[2])
    with metrics.aggregate(new_root=True) as aggregator:
        for log in logs:
            type(criterion).reduce_metrics([log])
    found = aggregator.get_smoothed_values()
    predicted = model(signals).logits.sigmoid() > 0.5
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels.flatten(), predicted.flatten(), average="binary", zero_division=0
    )
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)
    assert found["f1"] == pytest.approx(f1)
    assert found["accuracy"] == pytest.approx(
        float((predicted == labels.bool()).float().mean()), abs=1e-4
    )
    wanted = float((predicted == labels.bool()).all(1).float().mean())
    assert found["em_accuracy"] == pytest.approx(wanted, abs=1e-4)


def test_areas_are_of_the_whole_pass(build: Callable[..., Any], signals: torch.Tensor) -> None:
    from sklearn.metrics import roc_auc_score

    model = fairseq_model("ecg_transformer_classifier", build).eval()
    criterion = fairseq_criterion("binary_cross_entropy_with_logits", report_auc=True)
    labels = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]] * 2)
    logits = model(signals).logits.detach()
    for shift in (0, 1):
        # The second pass must not remember the first; a batch of the training split never counts.
        truth = labels.roll(shift, 0)
        with metrics.aggregate(new_root=True) as aggregator:
            for rows in (slice(0, 3), slice(3, 8), slice(2, 4)):
                ids = torch.arange(8)[rows]
                sample = {"id": ids, "net_input": {"source": signals[rows]}, "label": truth[rows]}
                type(criterion).reduce_metrics([criterion(model, sample)[2]])
            training = {**sample, "label": 1 - truth[rows], "is_training": True}
            criterion(model, training)
        found = aggregator.get_smoothed_values()
        each = [roc_auc_score(truth[:, k], logits[:, k]) for k in (0, 1)]
        assert found["auroc_macro"] == pytest.approx(sum(each) / 2)
        assert found["auroc_micro"] == pytest.approx(roc_auc_score(truth.ravel(), logits.ravel()))
    model.train()
    with metrics.aggregate(new_root=True) as aggregator:
        type(criterion).reduce_metrics([criterion(model, sample)[2]])
    assert "auroc_macro" not in aggregator.get_smoothed_values()


def test_weights_of_positives_must_fit_the_labels(
    build: Callable[..., Any], signals: torch.Tensor
) -> None:
    with pytest.raises(EcgError, match=r"pos_weight\[1\]"):
        fairseq_criterion("binary_cross_entropy_with_logits", pos_weight=[1.0, float("inf")])
    criterion = fairseq_criterion("binary_cross_entropy_with_logits", pos_weight=[1.0, 2.0])
    model = fairseq_model("ecg_transformer_classifier", build)
    sample = {"net_input": {"source": signals}, "label": torch.zeros(8, 3)}
    with pytest.raises(EcgError, match="2 values for 3 labels"):
        criterion(model, sample)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("wav2vec2", {"loss_weights": [1.0, 2.0, 3.0]}, "loss_weights"),
        ("wav2vec2_with_cmsc", {"all_gather": True}, "all_gather"),
        ("cmsc", {"all_gather": True}, "all_gather"),
        ("binary_cross_entropy_with_logits", {"threshold": 1.5}, "threshold"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(EcgError, match=message):
        fairseq_criterion(name, **settings)


def test_unknown_log_key_is_refused(build: Callable[..., Any], signals: torch.Tensor) -> None:
    criterion = fairseq_criterion("wav2vec2", infonce=True, log_keys=["nothing"])
    with pytest.raises(EcgError, match="'nothing'"):
        criterion(fairseq_model("ecg_wav2vec2", build), {"net_input": {"source": signals}})


@pytest.mark.parametrize("name", ["wav2vec2", "ecg_transformer_classifier"])
def test_converted_checkpoint_loads_in_fairseq(
    name: str, foreign_file: Callable[..., Path], tmp_path: Path
) -> None:
    from fairseq.checkpoint_utils import load_checkpoint_to_cpu

    out = tmp_path / "ours.pt"
    convert_checkpoint(foreign_file(name), out)
    state = load_checkpoint_to_cpu(str(out))
    cfg = state["cfg"].model
    model = MODEL_REGISTRY[cfg._name].build_model(cfg, None)
    model.load_state_dict(state["model"], strict=True, model_cfg=cfg)
    assert all(torch.equal(model.state_dict()[key], state["model"][key]) for key in state["model"])


def test_undecided_model_is_not_right(build: Callable[..., Any], signals: torch.Tensor) -> None:
    model = fairseq_model("ecg_wav2vec2", build)
    torch.nn.init.zeros_(model.final_proj.weight)
    torch.nn.init.zeros_(model.final_proj.bias)
    model.config.num_negatives = 1
    criterion = fairseq_criterion("wav2vec2", infonce=True)
    sample = {"net_input": {"source": signals}}
    logits = model(signals).logits
    assert bool((logits[..., 0] == 0).all())
    log = criterion(model, sample)[2]
    # Only a negative that is the target, and therefore out of the race, leaves a winner.
    assert int(log["correct"]) < int(log["count"]) / 2
