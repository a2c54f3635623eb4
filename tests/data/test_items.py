"""What an item is: the task's field, else the criterion's declaration; never a part of a name."""

import pytest
from fairseq.criterions import CRITERION_REGISTRY

from ecg_fairseq import criterions
from ecg_fairseq.data.items import check_targets, items_of, views_of
from ecg_fairseq.errors import EcgError

PRETRAINING = ("segments", "cmsc_pairs", "two_views")


@pytest.mark.parametrize(
    ("criterion", "items", "views"),
    [
        ("cmsc", "cmsc_pairs", "augmented"),
        ("wav2vec2_with_cmsc", "cmsc_pairs", "augmented"),
        ("simclr", "two_views", "augmented"),
        ("3kg", "two_views", "3kg"),
        ("wav2vec2", "segments", "augmented"),
        ("binary_cross_entropy_with_logits", "segments", "augmented"),
        ("", "segments", "augmented"),
    ],
)
def test_auto_is_what_the_criterion_declares(criterion, items, views):
    assert criterions
    assert items_of("auto", criterion, PRETRAINING) == items
    assert views_of("auto", criterion) == views


def test_a_task_that_lacks_what_is_declared_makes_its_usual_items():
    assert items_of("auto", "cmsc", ("segments", "survival")) == "segments"


def test_a_declaration_is_inherited_and_a_name_says_nothing(monkeypatch):
    class Mine(CRITERION_REGISTRY["simclr"]):
        pass

    monkeypatch.setitem(CRITERION_REGISTRY, "mine", Mine)
    assert items_of("auto", "mine", PRETRAINING) == "two_views"
    monkeypatch.setitem(CRITERION_REGISTRY, "not_cmsc", CRITERION_REGISTRY["wav2vec2"])
    assert items_of("auto", "not_cmsc", PRETRAINING) == "segments"


def test_the_setting_decides():
    assert items_of("cmsc_pairs", "wav2vec2", PRETRAINING) == "cmsc_pairs"
    assert items_of("two_views", "cmsc", PRETRAINING) == "two_views"
    assert views_of("3kg", "simclr") == "3kg"


@pytest.mark.parametrize(
    ("setting", "criterion", "message"),
    [
        ("questions", "wav2vec2", "questions is not offered by this task; it offers segments, cm"),
        ("survival", "wav2vec2", "survival is not offered by this task"),
        ("pairs", "wav2vec2", "'pairs' is not one of auto, segments"),
        ("segments", "cmsc", "compares two rows an item .* set task.items=cmsc_pairs"),
    ],
)
def test_what_cannot_be_is_refused(setting, criterion, message):
    with pytest.raises(EcgError, match=message):
        items_of(setting, criterion, PRETRAINING)


def test_unknown_views_and_targets_are_refused():
    with pytest.raises(EcgError, match=r"task\.views='two' is not one of auto, augmented, 3kg"):
        views_of("two", "simclr")
    check_targets("binary", "binary_cross_entropy_with_logits")
    check_targets("real", "arcface")
    with pytest.raises(EcgError, match="learns binary targets, the manifest's are real"):
        check_targets("real", "binary_cross_entropy_with_logits")
