"""A physiologically built 12-lead ECG simulator.

A moving cardiac dipole (P, QRS, ST, T, premature beats, f waves) is projected through a lead field
onto nine electrodes; noise is added there, and the twelve leads are differences of electrode
potentials, so Einthoven's and Goldberger's relations hold with and without noise. Every finding is
made in the dipole, never painted onto a lead. Everything is a pure function of random generators.

Modules: ``findings`` (what is wrong), ``anatomy`` (who it is), ``rhythm`` (when), ``waves`` (the
dipole), ``noise`` (the recording), ``recording`` (all together).
"""

from ecg_fairseq.signal.simulator.anatomy import Anatomy, draw_anatomy
from ecg_fairseq.signal.simulator.findings import Findings, derive_findings
from ecg_fairseq.signal.simulator.leads import leads_from_electrodes
from ecg_fairseq.signal.simulator.noise import Nuisance, draw_nuisance
from ecg_fairseq.signal.simulator.recording import Recording, resample_leads, simulate_recording

__all__ = [
    "Anatomy",
    "Findings",
    "Nuisance",
    "Recording",
    "derive_findings",
    "draw_anatomy",
    "draw_nuisance",
    "leads_from_electrodes",
    "resample_leads",
    "simulate_recording",
]
