"""Apply recipes to a 12-lead recording of 10 s: ours against the published formulation.

The peer follows ECG-Byte's published steps (fact sheet ecg-byte 1.2) the way they are commonly
written: ``filtfilt`` with freshly designed filters, wavelets and cubic interpolation lead by lead.
Its result must equal ours to 1e-5 mV. ``+letters`` adds the quantiser, value by value as published.
"""

import argparse
import collections
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pywt
from scipy.interpolate import interp1d
from scipy.signal import butter, filtfilt, iirnotch

from benchmarks.timing import interleave, versions
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import RECIPE_NAMES, get_recipe
from ecg_fairseq.tokenizer.quantiser import Quantiser

FS_HZ = 500.0
TOLERANCE_MV = 1e-5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the stage."""
    parser.add_argument("--records", type=int, default=10, help="distinct recordings")
    parser.add_argument("--repeats", type=int, default=7, help="rounds")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the times of every recipe and of the published form, and their difference."""
    recordings = [_recording(seed) for seed in range(arguments.records)]
    recipe = get_recipe("ecg_byte")
    error = max(
        float(np.abs(recipe.apply(one, CANONICAL_LEADS, FS_HZ) - published_form(one)).max())
        for one in recordings
    )
    if error > TOLERANCE_MV:
        raise ValueError(f"ecg_byte differs from its published form by {error:g} mV")
    letters = Quantiser(low=-1.05, high=1.55).symbols
    candidates: dict[str, Callable[[], Any]] = {
        "published": lambda: consume(published_form(one) for one in recordings),
        "published+letters": lambda: consume(
            published_letters(published_form(one)) for one in recordings
        ),
        "ecg_byte+letters": lambda: consume(
            letters(recipe.apply(one, CANONICAL_LEADS, FS_HZ)) for one in recordings
        ),
    }
    for name in RECIPE_NAMES:
        candidates[name] = lambda name=name: consume(
            get_recipe(name).apply(one, CANONICAL_LEADS, FS_HZ) for one in recordings
        )
    timings = interleave(candidates, arguments.repeats)
    return {
        "stage": "recipe",
        "records": arguments.records,
        "max_abs_err_mv": error,
        "ms_per_record": {
            name: timings.median_wall(name) / len(recordings) * 1e3 for name in candidates
        },
        "times_as_fast": timings.ratio("ecg_byte", "published"),
        "times_as_fast_with_letters": timings.ratio("ecg_byte+letters", "published+letters"),
        **timings.to_dict("published"),
        "versions": versions(("numpy", "scipy", "PyWavelets")),
    }


def published_form(signal: np.ndarray) -> np.ndarray:
    """Return (windows, 12, 500) as the published code computes them from (12, T) at 500 Hz."""
    columns = signal.T.astype(np.float64)
    for frequency in (50.0, 60.0):
        columns = filtfilt(*iirnotch(frequency, 30, FS_HZ), columns, axis=0)
    columns = filtfilt(*butter(4, [0.5, 100], "bandpass", fs=FS_HZ), columns, axis=0)
    columns = filtfilt(*butter(4, 0.05, "highpass", fs=FS_HZ), columns, axis=0)
    denoised = np.stack([_denoised(lead) for lead in columns.T])
    num_samples = denoised.shape[1]
    seconds = num_samples / FS_HZ
    before = np.linspace(0, seconds, num_samples)
    after = np.linspace(0, seconds, num_samples // 2)
    leads = [
        interp1d(before, lead, kind="cubic", fill_value="extrapolate")(after) for lead in denoised
    ]
    resampled = np.array(leads)[:, : len(after) // 500 * 500]
    return resampled.reshape(len(leads), -1, 500).transpose(1, 0, 2)


def published_letters(windows: np.ndarray) -> list[str]:
    """Return the letters of every window, one value at a time as the published code does."""
    scaled = np.clip((windows + 1.05) / (2.6 + 1e-6), 0, 1)
    bins = np.minimum(np.floor(scaled * 26), 25).astype(np.uint8)
    to_letter = np.vectorize(lambda value: chr(ord("a") + value))
    return ["".join(to_letter(window).flatten()) for window in bins]


def consume(results: Iterable[Any]) -> None:
    """Run through results without keeping them."""
    collections.deque(results, maxlen=0)


def _denoised(lead: np.ndarray) -> np.ndarray:
    first, *details = pywt.wavedec(lead, "db6", level=4)
    threshold = np.median(np.abs(details[0])) / 0.6745
    shrunk = [pywt.threshold(detail, threshold, mode="soft") for detail in details]
    return pywt.waverec([first, *shrunk], "db6")


def _recording(seed: int) -> np.ndarray:
    """Return a float32 recording (12, 5000) in mV: waves, wander and noise."""
    generator = np.random.default_rng(seed)
    time = np.arange(5000) / FS_HZ
    lead = sum(np.exp(-(((time - beat) / 0.02) ** 2)) for beat in np.arange(0.5, 10, 0.8))
    scale = generator.uniform(-1, 1.5, (12, 1))
    wander = 0.2 * np.sin(2 * np.pi * generator.uniform(0.1, 0.4) * time)
    return (scale * (lead + wander) + generator.normal(0, 0.02, (12, 5000))).astype(np.float32)
