"""What an item of training is: a field of the task, else what the criterion declares that it needs.

A criterion class declares ``items`` (and ``views``, for two views; ``targets``, for labels) where
its loss needs them; a subclass inherits them. Names of criterions and of splits mean nothing.
"""

from collections.abc import Sequence

from fairseq.criterions import CRITERION_REGISTRY

from ecg_fairseq.errors import EcgError

AUTO = "auto"
# In this order: one segment, two neighbouring segments of one recording, two views of one segment,
# a segment with its text, ECG tokens, questions about ECGs, a segment with time and event.
ITEMS = (
    "segments", "cmsc_pairs", "two_views", "signal_text", "tokens", "questions", "survival",
)  # fmt: skip
VIEWS = ("augmented", "3kg")
# Items that fill two rows of a batch; a loss that compares rows needs either.
_TWO_ROWS = ("cmsc_pairs", "two_views")


def items_of(setting: str, criterion: str, offered: Sequence[str]) -> str:
    """Return what an item is.

    Args:
        setting: ``task.items``.
        criterion: registered name; an unknown one declares nothing.
        offered: what the task can make; its usual one first.

    Raises:
        EcgError: the setting is unknown, is not offered, or gives the criterion nothing to compare.
    """
    declared = _declared(criterion, "items")
    if setting == AUTO:
        return declared if declared in offered else offered[0]
    if setting not in ITEMS:
        raise EcgError(f"task.items={setting!r} is not one of {', '.join((AUTO, *ITEMS))}")
    if setting not in offered:
        raise EcgError(
            f"task.items={setting} is not offered by this task; it offers {', '.join(offered)}"
        )
    if declared in _TWO_ROWS and setting not in _TWO_ROWS:
        raise EcgError(
            f"criterion {criterion} compares two rows an item and task.items={setting} gives one; "
            f"set task.items={declared}"
        )
    return setting


def views_of(setting: str, criterion: str) -> str:
    """Return how two views are made; ``augmented`` where neither setting nor criterion says it.

    Raises:
        EcgError: the setting is unknown.
    """
    if setting == AUTO:
        return _declared(criterion, "views") or VIEWS[0]
    if setting not in VIEWS:
        raise EcgError(f"task.views={setting!r} is not one of {', '.join((AUTO, *VIEWS))}")
    return setting


def check_targets(kind: str, criterion: str) -> None:
    """Refuse targets that a criterion cannot learn; EcgError.

    Args:
        kind: of the targets: ``binary``, ``real`` or ``survival``.
        criterion: registered name.
    """
    wanted = _declared(criterion, "targets")
    if wanted and wanted != kind:
        raise EcgError(
            f"criterion {criterion} learns {wanted} targets, the manifest's are {kind}; choose "
            "another criterion or task.label_file"
        )


def _declared(criterion: str, what: str) -> str:
    return getattr(CRITERION_REGISTRY.get(criterion), what, "")
