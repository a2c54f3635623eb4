"""A seeded sample of a side's questions, for evaluations that need not ask all of them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.record_row import SPLITS


def parse_limits(text: str) -> dict[str, int]:
    """Return side -> most questions, from text such as ``valid=500,test=1500``.

    Raises:
        ManifestError: a side is unknown or a number is not positive.
    """
    limits: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        side, _, number = part.partition("=")
        if side not in SPLITS or not number.isdigit() or int(number) < 1:
            raise ManifestError(
                f"--max-questions {text!r}: {part!r} is not SIDE=NUMBER with a side of "
                f"{', '.join(SPLITS)}"
            )
        limits[side] = int(number)
    return limits


def limit_questions(
    questions: Mapping[str, Sequence[Question]], limits: Mapping[str, int], seed: int
) -> tuple[dict[str, list[Question]], dict[str, Any]]:
    """Keep at most ``limits[side]`` questions of each side, in their order.

    A question is drawn by the hash of seed and id, whatever else the side holds.

    Returns:
        The questions, and a note for ``meta.json`` with the numbers before sampling.
    """
    kept = {side: list(asked) for side, asked in questions.items()}
    sampled = {}
    for side, limit in limits.items():
        asked = kept.get(side, [])
        if len(asked) <= limit:
            continue
        chosen = {q.id for q in sorted(asked, key=lambda q: _draw(seed, q.id))[:limit]}
        kept[side] = [question for question in asked if question.id in chosen]
        sampled[side] = {"kept": limit, "of": len(asked)}
    return kept, {"questions_sampled": sampled} if sampled else {}


def _draw(seed: int, question_id: str) -> str:
    return hashlib.sha256(f"{seed}\t{question_id}".encode()).hexdigest()
