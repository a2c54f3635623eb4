"""Does saliency point at what was planted? Simulated anterior ST elevation, whose place is known.

The elevation stands in V1 to V4, from the end of QRS into the T wave of every conducted beat. What
is measured is how much of a classifier's positive gradient x input for the label lies in these
leads and stretches, and where it peaks, beside what a map that knows nothing would score: the share
of leads and samples that these places are, and the map of the same network with random weights.

One dipole makes the elevation, so all leads show it, as elevation or as its mirror image, and the
z-score of each lead makes small voltages large. ``evidence`` is the share of the elevation itself,
in the units that the network sees, that stands in V1 to V4: what a map would show of a network that
takes each lead for what it is worth.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.intervals import bootstrap_interval
from ecg_fairseq.networks.encoders.record_saliency import segment_saliency, smoothed
from ecg_fairseq.networks.encoders.saliency import integrated_gradients
from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.simulator import (
    Findings,
    Recording,
    derive_findings,
    draw_anatomy,
    draw_nuisance,
    leads_from_electrodes,
    simulate_recording,
)
from ecg_fairseq.signal.simulator.findings import CHOICES

PLANTED_LEADS = ("V1", "V2", "V3", "V4")
PLANTED_FINDING = "anterior_st_elevation"
FS_HZ = 500.0
# twin: integrated gradients on the way from the recording without the elevation to that with it.
METHODS = ("gradient", "integrated", "twin")
FIGURES = ("lead_share", "st_share", "peak_in_st", "peak_in_planted_lead")


@dataclass(frozen=True)
class PlantedRecord:
    """A simulated recording with anterior ST elevation.

    Attributes:
        record: of a patient of its own.
        twin: the same recording with flat ST segments.
        is_st: bool (T,), where the elevation stands.
        evidence: (L,) size of the elevation in each lead, in standard deviations of the lead.
    """

    record: EcgRecord
    twin: EcgRecord
    is_st: np.ndarray
    evidence: np.ndarray


@dataclass(frozen=True)
class SegmentTruth:
    """Figures of one segment; shares are of positive mass and NaN where there is none.

    Attributes:
        patient: number of the simulated patient.
        probability: that the classifier gives the label.
        lead_share: in the planted leads.
        st_share: in the planted stretches, all leads.
        peak_in_st: 1 when the largest value of all leads lies in a planted stretch, else 0.
        peak_in_planted_lead: the same for the leads.
        time_share: share of samples that the planted stretches are.
        evidence_share: share of the planted elevation that stands in the planted leads.
    """

    patient: int
    probability: float
    lead_share: float
    st_share: float
    peak_in_st: float
    peak_in_planted_lead: float
    time_share: float
    evidence_share: float


def planted_records(num_records: int, seed: int) -> Iterator[PlantedRecord]:
    """Yield recordings with the planted finding, everything else as in the simulated cohort.

    Args:
        num_records: each of another patient.
        seed: the same seed gives the same recordings.
    """
    # Two generators in the same state make the recording and its twin.
    pairs = zip(*(np.random.default_rng(seed).spawn(num_records) for _ in range(2)), strict=True)
    for number, randoms in enumerate(pairs):
        made = []
        for random, has_st in zip(randoms, (True, False), strict=True):
            findings, anatomy = _planted_findings(random), draw_anatomy(random)
            nuisance = draw_nuisance(random)
            made.append(simulate_recording(findings, anatomy, nuisance, FS_HZ, random, has_st))
        recording, _ = made
        level = leads_from_electrodes(anatomy.lead_field * nuisance.gain)
        level = level @ recording.beat.waves.plateau_dipole
        evidence = np.abs(level) / recording.signal.std(axis=1)
        name = f"planted-{number}"
        record, twin = (EcgRecord(one.signal, CANONICAL_LEADS, FS_HZ, name, name) for one in made)
        yield PlantedRecord(record, twin, st_samples(recording), evidence)


def st_samples(recording: Recording) -> np.ndarray:
    """Return where the conducted beats' ST elevation stands, bool (T,)."""
    time = np.arange(recording.signal.shape[1]) / recording.fs_hz
    start, end = recording.beat.waves.plateau_s
    offset = time[:, None] - recording.rhythm.normal_s
    return ((offset >= start) & (offset <= end)).any(axis=1)


def _planted_findings(random: np.random.Generator) -> Findings:
    """Draw findings as the cohort does until the planted one is there."""
    while True:
        findings = derive_findings(random.random(len(CHOICES)))
        if findings.repolarisation == PLANTED_FINDING:
            return findings


def measure(
    system: TrainedEncoder,
    label: int,
    num_records: int,
    seed: int = 0,
    method: str = "gradient",
    smoothing_s: float = 0.0,
) -> list[SegmentTruth]:
    """Return figures of every segment of simulated recordings.

    Args:
        system: a classifier on a recipe of 500 Hz whose segments start where the recording does.
        label: column of the logits, the finding's.
        num_records: simulated patients.
        seed: of the recordings.
        method: one of :data:`METHODS`.
        smoothing_s: take the moving mean of maps over this many seconds first: what alternates
            from sample to sample within a frame of the network then cancels.

    Raises:
        EcgError: the recipe has another rate, or the network lacks the planted leads.
    """
    if method not in METHODS:
        raise EcgError(f"method {method!r} is not one of {', '.join(METHODS)}")
    strip = system.recipe.strips[0]
    rows = system.signals.rows(system.recipe_leads)
    if strip.fs_hz != FS_HZ or not set(PLANTED_LEADS) <= set(rows):
        raise EcgError(
            f"planted truth is known at {FS_HZ:g} Hz in {', '.join(PLANTED_LEADS)}; recipe "
            f"{system.recipe.name} has {strip.fs_hz:g} Hz, the network reads {', '.join(rows)}"
        )
    is_planted = np.isin(rows, PLANTED_LEADS)
    found = []
    for number, planted in enumerate(planted_records(num_records, seed)):
        segments = system.segments(planted.record)
        logits = system.logits(segments)[:, label]
        maps = smoothed(_maps(system, planted, method, label), smoothing_s, FS_HZ)
        level = np.array([planted.evidence[CANONICAL_LEADS.index(lead)] for lead in rows])
        evidence_share = float(level[is_planted].sum() / level.sum())
        for k, (saliency, logit) in enumerate(zip(maps, logits, strict=True)):
            length = saliency.shape[1]
            is_st = planted.is_st[k * length : (k + 1) * length]
            one = _one(number, float(logit), saliency, is_planted, is_st)
            found.append(replace(one, evidence_share=evidence_share))
    return found


def _maps(system: TrainedEncoder, planted: PlantedRecord, method: str, label: int) -> np.ndarray:
    """Return maps (N, L, T) of a recording's segments."""
    source, twin = (
        torch.from_numpy(system.segments(record)).to(system.device)
        for record in (planted.record, planted.twin)
    )
    if method != "twin":
        return segment_saliency(system, source, method, label)
    maps = integrated_gradients(system.classifier, source, label, baseline=twin)
    return maps.double().cpu().numpy()


def _one(
    patient: int, logit: float, saliency: np.ndarray, is_planted: np.ndarray, is_st: np.ndarray
) -> SegmentTruth:
    """Return the figures of a map (L, T)."""
    positive = np.clip(saliency, 0.0, None)
    mass = positive.sum()
    has_mass = bool(mass > 0)
    lead, sample = np.unravel_index(int(positive.argmax()), positive.shape)
    nothing = float("nan")
    return SegmentTruth(
        patient=patient,
        probability=1.0 / (1.0 + float(np.exp(-logit))),
        lead_share=float(positive[is_planted].sum() / mass) if has_mass else nothing,
        st_share=float(positive[:, is_st].sum() / mass) if has_mass else nothing,
        peak_in_st=float(is_st[sample]) if has_mass else nothing,
        peak_in_planted_lead=float(is_planted[lead]) if has_mass else nothing,
        time_share=float(is_st.mean()),
        evidence_share=nothing,
    )


def summary(found: list[SegmentTruth], num_leads: int) -> dict[str, Any]:
    """Return means with 95 % intervals by patient, over all segments and over the detected ones.

    Args:
        found: of :func:`measure`.
        num_leads: that the network reads.
    """
    detected = [one for one in found if one.probability > 0.5]
    time_share = float(np.mean([one.time_share for one in found]))
    lead_share = len(PLANTED_LEADS) / num_leads
    chance = (lead_share, time_share, time_share, lead_share)
    return {
        "segments": len(found),
        "patients": len({one.patient for one in found}),
        "detected_segments": len(detected),
        "evidence_share": _mean(found, "evidence_share"),
        "chance": dict(zip(FIGURES, chance, strict=True)),
        "all": {name: _mean(found, name) for name in FIGURES},
        "detected": {name: _mean(detected, name) for name in FIGURES},
    }


def _mean(found: list[SegmentTruth], name: str) -> dict[str, float] | None:
    """Return a figure's mean and interval; None without a segment."""
    values = np.array([getattr(one, name) for one in found])
    if not np.isfinite(values).any():
        return None
    low, high = bootstrap_interval(values, [[str(one.patient)] for one in found])
    return {"mean": float(np.nanmean(values)), "low": low, "high": high}
