"""Recordings of any length from the simulator's ten seconds, joined by short cross-fades."""

from dataclasses import replace
from itertools import cycle

import numpy as np

from ecg_fairseq.records.simulated.plan import SimulatedCase, simulate_case

_STRETCH_S = 10.0
_FADE_S = 0.2
# A record of half an hour repeats a minute: enough for its form, and quick to make.
_MOST_STRETCHES = 6
_FIRST_EXTRA_VISIT = 1000  # keys of the further stretches; no patient has so many visits


def simulate_seconds(case: SimulatedCase, seed: int, fs_hz: int, seconds: float) -> np.ndarray:
    """Return float32 (12, T) in mV, T = round(seconds * fs_hz), of one patient's findings.

    The first ten seconds are :func:`simulate_case`'s own. The relations of the limb leads hold
    everywhere, for a cross-fade is a weighted mean of two recordings.
    """
    wanted = round(seconds * fs_hz)
    first = simulate_case(case, seed, fs_hz).signal
    if wanted <= first.shape[1]:
        return np.ascontiguousarray(first[:, :wanted])
    fade = round(_FADE_S * fs_hz)
    step = round(_STRETCH_S * fs_hz) - fade
    count = -(-(wanted - fade) // step)
    stretches = [first]
    for number in range(1, min(count, _MOST_STRETCHES)):
        planned = replace(case.planned, visit=_FIRST_EXTRA_VISIT + number)
        stretches.append(simulate_case(replace(case, planned=planned), seed, fs_hz).signal)
    rising = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    joined = np.zeros((len(first), count * step + fade), dtype=np.float32)
    for number, stretch in zip(range(count), cycle(stretches), strict=False):
        part = joined[:, number * step : number * step + stretch.shape[1]]
        if number:
            part[:, :fade] *= np.float32(1.0) - rising
            part[:, :fade] += rising * stretch[:, :fade]
            part[:, fade:] = stretch[:, fade:]
        else:
            part[:] = stretch
    return np.ascontiguousarray(joined[:, :wanted])
