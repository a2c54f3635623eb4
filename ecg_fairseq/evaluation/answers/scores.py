"""All figures of one result, from predictions and, if there was one, a blind run.

Exact match (free text) and closed-set accuracy are different columns and never mixed. Every share
is 0 to 1. Intervals are bootstraps by patient; differences are paired over the same questions.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.majority_floor import (
    closed_set_hits,
    exact_match_hits,
    majority_answers,
    majority_hits,
)
from ecg_fairseq.evaluation.answers.predictions import Prediction
from ecg_fairseq.evaluation.answers.text_metrics import text_scores
from ecg_fairseq.evaluation.intervals import DEFAULT_RESAMPLES, bootstrap_interval

# Below these the report warns: a 95 % interval is then wider than about 0.1.
FEW_QUESTIONS = 300
FEW_PATIENTS = 30

Interval = Callable[[np.ndarray], list[float] | None]


def score_predictions(
    predictions: Sequence[Prediction],
    blind: Sequence[Prediction] | None = None,
    *,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Return every figure of ``scores.json``.

    Args:
        predictions: one answer per question.
        blind: answers to the same questions with another patient's ECG; questions may be absent
            (no other patient in the template), others must not be there.
        num_resamples: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        ScoreError: there is nothing to score, or the blind run does not fit.
    """
    if not predictions:
        raise ScoreError("no answers were given; at least one is needed for a score")
    columns = {
        "exact_match": exact_match_hits(predictions),
        "majority": majority_hits(predictions),
        "blind": _blind_hits(predictions, blind),
        "closed_set": closed_set_hits(predictions),
    }
    patients = [prediction.patient_ids for prediction in predictions]

    def interval(values: np.ndarray) -> list[float] | None:
        low, high = bootstrap_interval(values, patients, num_resamples=num_resamples, seed=seed)
        return None if math.isnan(low) else [low, high]

    scores: dict[str, Any] = {
        **_overall(columns),
        "n_test": len(predictions),
        "n_patients": len({name for names in patients for name in names}),
        "blind_dropped": None if blind is None else len(predictions) - len(blind),
        "per_question_type": _per_question_type(predictions, columns, interval),
        "per_template": _per_template(predictions, columns),
        **text_scores([p.answer for p in predictions], [p.reference for p in predictions]),
        "intervals": {
            "level": 0.95,
            "unit": "patient",
            "num_resamples": num_resamples,
            "seed": seed,
            **_overall_intervals(columns, interval),
        },
    }
    return {**scores, "warnings": warnings_for(scores)}


def _blind_hits(
    predictions: Sequence[Prediction], blind: Sequence[Prediction] | None
) -> np.ndarray:
    """Return (N,) blind hits in the order of ``predictions``; NaN where not asked blindly."""
    hits = np.full(len(predictions), np.nan)
    if blind is None:
        return hits
    positions = {prediction.id: position for position, prediction in enumerate(predictions)}
    for answer, hit in zip(blind, exact_match_hits(blind), strict=True):
        position = positions.get(answer.id)
        if position is None:
            raise ScoreError(
                f"the blind run answers question {answer.id!r}, which the sighted run does not; "
                "both must come from the same manifest and subset"
            )
        _check_blind(predictions[position], answer)
        hits[position] = hit
    return hits


def _check_blind(sighted: Prediction, blind: Prediction) -> None:
    shared = set(sighted.patient_ids) & set(blind.patient_ids)
    if shared:
        raise ScoreError(
            f"question {blind.id!r}: the blind run showed an ECG of patient {min(shared)!r}, whom "
            "the question is about; make the blind run again (see ecg_fairseq/evaluation/blind.py)"
        )
    if (sighted.reference, sighted.template_id) != (blind.reference, blind.template_id):
        raise ScoreError(
            f"question {blind.id!r} has reference {sighted.reference!r} in one run and "
            f"{blind.reference!r} in the blind one; both must come from the same manifest"
        )


def _overall(columns: dict[str, np.ndarray]) -> dict[str, Any]:
    return {
        "exact_match": _mean(columns["exact_match"]),
        "majority_exact_match": _mean(columns["majority"]),
        "blind_exact_match": _mean(columns["blind"]),
        "n_blind": _count(columns["blind"]),
        "closed_set_accuracy": _mean(columns["closed_set"]),
        "n_closed_set": _count(columns["closed_set"]),
    }


def _overall_intervals(columns: dict[str, np.ndarray], interval: Interval) -> dict[str, Any]:
    exact = columns["exact_match"]
    return {
        "exact_match": interval(exact),
        "majority_exact_match": interval(columns["majority"]),
        "blind_exact_match": interval(columns["blind"]),
        "closed_set_accuracy": interval(columns["closed_set"]),
        "exact_match_minus_majority": interval(exact - columns["majority"]),
        "exact_match_minus_blind": interval(exact - columns["blind"]),
    }


def _per_question_type(
    predictions: Sequence[Prediction], columns: dict[str, np.ndarray], interval: Interval
) -> dict[str, dict[str, Any]]:
    types = np.array([prediction.question_type for prediction in predictions], dtype=object)
    table = {}
    for name in sorted(set(types)):
        chosen = types == name
        table[str(name)] = {
            "n": int(chosen.sum()),
            **{column: _mean(values[chosen]) for column, values in columns.items()},
            "n_closed_set": _count(columns["closed_set"][chosen]),
            "exact_match_interval": interval(np.where(chosen, columns["exact_match"], np.nan)),
        }
    return table


def _per_template(
    predictions: Sequence[Prediction], columns: dict[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    templates = np.array([prediction.template_id for prediction in predictions])
    table = {}
    for template, answer in majority_answers(predictions).items():
        chosen = templates == template
        table[str(template)] = {
            "n": int(chosen.sum()),
            "majority_answer": answer,
            **{column: _mean(values[chosen]) for column, values in columns.items()},
        }
    return table


def _mean(values: np.ndarray) -> float | None:
    """Return the mean without NaN, None where nothing is left."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else None


def _count(values: np.ndarray) -> int:
    return int((~np.isnan(values)).sum())


def warnings_for(scores: dict[str, Any]) -> list[str]:
    """Return sentences that a reader must see beside the figures."""
    notes = []
    if scores["n_test"] < FEW_QUESTIONS or scores["n_patients"] < FEW_PATIENTS:
        notes.append(
            f"Few data: {scores['n_test']} questions on {scores['n_patients']} patients. The "
            "figures are uncertain; read the intervals."
        )
    if scores["blind_exact_match"] is None:
        notes.append(
            "No blind run was given: how much comes from wording alone is unknown (--blind)."
        )
    elif scores["blind_dropped"]:
        notes.append(
            f"{scores['blind_dropped']} questions are left out of the blind score: no other "
            "patient's ECG exists for their template."
        )
    for floor, name in (("majority", "majority"), ("blind", "blind")):
        gain = scores["intervals"][f"exact_match_minus_{floor}"]
        if gain is not None and gain[0] <= 0:
            notes.append(
                f"The exact match is not clearly above the {name} floor: the interval of the "
                f"difference is {gain[0]:+.3f} to {gain[1]:+.3f}."
            )
    if 0 < scores["n_closed_set"] < scores["n_test"]:
        notes.append(
            f"The closed-set accuracy covers {scores['n_closed_set']} of {scores['n_test']} "
            "questions (the others have no options, or their candidates were not scored)."
        )
    return notes
