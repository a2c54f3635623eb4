"""All figures of one result, from predictions and, if there was one, a blind run.

Exact match (free text) and closed-set accuracy are different columns and never mixed. Every share
is 0 to 1. Intervals are bootstraps by patient; differences are paired over the same questions.

The blind floor shows each question an ECG of *another* patient. Where a template has few questions,
or its answers are balanced by design, such an ECG has the question's own answer less often than one
drawn from the whole template (of 5 times yes and 5 times no, 4/9 instead of 1/2), so that the floor
comes out low. ``blind_corrected`` is what is to be expected of an ECG from the whole template: with
the share of its questions about the question's own patient, the sighted answer counts. That is
exact where a patient has one answer in a template, and too high a floor where he has several.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.blind import blind_partners, shares_with_own_patients
from ecg_fairseq.evaluation.answers.majority_floor import (
    by_template,
    by_wording,
    closed_set_hits,
    exact_match_hits,
    majority_answers,
    majority_hits,
    majority_intervals,
)
from ecg_fairseq.evaluation.answers.offered import (
    num_answers_not_offered,
    num_references_not_offered,
    num_tied,
)
from ecg_fairseq.evaluation.answers.predictions import Prediction
from ecg_fairseq.evaluation.answers.text_metrics import text_scores
from ecg_fairseq.evaluation.intervals import DEFAULT_RESAMPLES, bootstrap_interval

SIMULATED_NOTE = "Simulated ECGs: these figures say nothing about real patients."
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
        blind: answers to the same questions with another patient's ECG; questions without another
            patient in the template may be absent, others must all be there.
        num_resamples: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        ScoreError: there is nothing to score, or the blind run does not fit.
    """
    if not predictions:
        raise ScoreError("no answers were given; at least one is needed for a score")
    columns = _columns(predictions, blind)
    patients = [prediction.patient_ids for prediction in predictions]

    def interval(values: np.ndarray) -> list[float] | None:
        return _as_list(
            bootstrap_interval(values, patients, num_resamples=num_resamples, seed=seed)
        )

    scores: dict[str, Any] = {
        **_overall(columns),
        "n_test": len(predictions),
        "n_patients": len({name for names in patients for name in names}),
        "blind_dropped": None if blind is None else len(predictions) - len(blind),
        "per_question_type": _per_question_type(predictions, columns, interval),
        "per_template": _per_template(predictions, columns),
        "n_closed_set_tied": num_tied(predictions, columns["closed_set"]),
        "n_not_offered": num_answers_not_offered(predictions),
        "n_references_not_offered": num_references_not_offered(predictions),
        **text_scores([p.answer for p in predictions], [p.reference for p in predictions]),
        "intervals": {
            "level": 0.95,
            "unit": "patient",
            "num_resamples": num_resamples,
            "seed": seed,
            **_overall_intervals(columns, interval),
            **_majority_intervals(predictions, num_resamples, seed),
        },
    }
    return {**scores, "warnings": warnings_for(scores)}


def _columns(
    predictions: Sequence[Prediction], blind: Sequence[Prediction] | None
) -> dict[str, np.ndarray]:
    """Return what is averaged, (N,) each: 1 right, 0 wrong, NaN where a question does not count."""
    exact, blind_hits = exact_match_hits(predictions), _blind_hits(predictions, blind)
    own = shares_with_own_patients(predictions)
    return {
        "exact_match": exact,
        "majority": majority_hits(predictions),
        "majority_by_wording": majority_hits(predictions, by_wording),
        "blind": blind_hits,
        "blind_corrected": (1.0 - own) * blind_hits + own * exact,
        "closed_set": closed_set_hits(predictions),
    }


def _majority_intervals(
    predictions: Sequence[Prediction], num_resamples: int, seed: int
) -> dict[str, list[float] | None]:
    """Return the intervals of both majority floors and of the exact match above them."""
    found: dict[str, list[float] | None] = {}
    for name, alike_by in (("majority", by_template), ("majority_by_wording", by_wording)):
        floor, gain = majority_intervals(predictions, alike_by, num_resamples, seed)
        found[f"{name}_exact_match"] = _as_list(floor)
        found[f"exact_match_minus_{name}"] = _as_list(gain)
    return found


def _as_list(interval: tuple[float, float]) -> list[float] | None:
    return None if math.isnan(interval[0]) else list(interval)


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
    _check_all_asked(predictions, hits)
    return hits


def _check_all_asked(predictions: Sequence[Prediction], blind_hits: np.ndarray) -> None:
    """Refuse a blind run that lacks questions for which there is another patient's ECG."""
    partners = blind_partners(predictions)
    missing = [
        prediction.id
        for prediction, partner, hit in zip(predictions, partners, blind_hits, strict=True)
        if partner is not None and np.isnan(hit)
    ]
    if missing:
        able = sum(partner is not None for partner in partners)
        raise ScoreError(
            f"the blind run answers {able - len(missing)} of the {able} questions for which there "
            f"is another patient's ECG: {missing[0]!r} is missing first; the file was cut off, or "
            "is of another subset: run fairseq-generate --blind again"
        )


def _check_blind(sighted: Prediction, blind: Prediction) -> None:
    shared = set(sighted.patient_ids) & set(blind.patient_ids)
    own = set(sighted.record_ids) & set(blind.record_ids)
    if own and not shared:
        raise ScoreError(
            f"question {blind.id!r}: the blind run showed the question's own recording "
            f"{min(own)!r}; make the blind run again with fairseq-generate --blind"
        )
    if shared:
        raise ScoreError(
            f"question {blind.id!r}: the blind run showed an ECG of patient {min(shared)!r}, whom "
            "the question is about; make the blind run again with fairseq-generate --blind"
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
        "majority_by_wording_exact_match": _mean(columns["majority_by_wording"]),
        "blind_exact_match": _mean(columns["blind"]),
        "blind_corrected_exact_match": _mean(columns["blind_corrected"]),
        "n_blind": _count(columns["blind"]),
        "closed_set_accuracy": _mean(columns["closed_set"]),
        "n_closed_set": _count(columns["closed_set"]),
    }


def _overall_intervals(columns: dict[str, np.ndarray], interval: Interval) -> dict[str, Any]:
    exact = columns["exact_match"]
    return {
        "exact_match": interval(exact),
        "blind_exact_match": interval(columns["blind"]),
        "blind_corrected_exact_match": interval(columns["blind_corrected"]),
        "closed_set_accuracy": interval(columns["closed_set"]),
        "exact_match_minus_blind": interval(exact - columns["blind"]),
        "exact_match_minus_blind_corrected": interval(exact - columns["blind_corrected"]),
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
    if scores["intervals"]["exact_match"] is None:
        notes.append("All questions are about the same patients, so there are no intervals.")
    if scores["blind_exact_match"] is None:
        notes.append(
            "No blind run was given: how much comes from wording alone is unknown (--blind)."
        )
    elif scores["blind_dropped"]:
        notes.append(
            f"{scores['blind_dropped']} questions are left out of the blind score: no other "
            "patient's ECG exists for their template."
        )
    return [*notes, *_floor_warnings(scores), *_answer_warnings(scores)]


def _floor_warnings(scores: dict[str, Any]) -> list[str]:
    """Name the floors that the exact match is below, or not clearly above."""
    notes = []
    for key, name in (
        ("majority", "majority floor"),
        ("majority_by_wording", "majority floor by wording"),
        ("blind", "blind floor"),
        ("blind_corrected", "corrected blind floor"),
    ):
        gain = scores["intervals"][f"exact_match_minus_{key}"]
        if gain is None or gain[0] > 0:
            continue
        where = "below" if gain[1] < 0 else "not clearly above"
        value = scores["exact_match"] - scores[f"{key}_exact_match"]
        notes.append(
            f"The exact match is {where} the {name}: the difference is {value:+.3f}, its interval "
            f"{gain[0]:+.3f} to {gain[1]:+.3f}."
        )
    return notes


def _answer_warnings(scores: dict[str, Any]) -> list[str]:
    """Say what the closed set covers, and which answers are not among their options."""
    notes = []
    if 0 < scores["n_closed_set"] < scores["n_test"]:
        notes.append(
            f"The closed-set accuracy covers {scores['n_closed_set']} of {scores['n_test']} "
            "questions (the others have no options, or their candidates were not scored)."
        )
    if scores["n_closed_set_tied"]:
        notes.append(
            f"In {scores['n_closed_set_tied']} closed sets several candidates have the best score; "
            "the first of them counts, which says nothing about the model."
        )
    if scores["n_not_offered"]:
        notes.append(
            f"{scores['n_not_offered']} written answers name something that is not among the "
            "options of their question; they count as wrong in the exact match."
        )
    if scores["n_references_not_offered"]:
        notes.append(
            f"{scores['n_references_not_offered']} reference answers are not among the options of "
            "their question, so that no closed-set answer to it can be right; correct the table of "
            "questions."
        )
    return notes
