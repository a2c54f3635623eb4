"""Apply recipes to a 12-lead recording of 10 s: ours against the published formulations.

The peers follow the published steps the way they are commonly written. ECG-Byte (fact sheet
ecg-byte 1.2): ``filtfilt`` with freshly designed filters, wavelets and cubic interpolation lead by
lead; equal to our version 1 to 1e-5 mV; ``+letters`` adds the quantiser, value by value as
published.
ECG-FM (fact sheet ecg-fm 1.1): ``interp1d`` where the rate is not 500 Hz, then numpy's z-score;
equal to ours to 1e-5 sd. Its times at 400 Hz (CODE-15) and 500 Hz are told apart.
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
from ecg_fairseq.tokenizer.quantizer import Quantizer

FS_HZ = 500.0
CODE_15_HZ = 400.0
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
        _difference("ecg_byte@1", FS_HZ, published_form, recordings),
        _difference("ecg_fm", FS_HZ, lambda one: published_scores(one, FS_HZ), recordings),
        _difference(
            "ecg_fm", CODE_15_HZ, lambda one: published_scores(one, CODE_15_HZ), recordings
        ),
    )
    if error > TOLERANCE_MV:
        raise ValueError(f"a recipe differs from its published form by {error:g} mV or sd")
    letters = Quantizer(low=-1.05, high=1.55).symbols
    candidates: dict[str, Callable[[], Any]] = {
        "published": lambda: consume(published_form(one) for one in recordings),
        "published+letters": lambda: consume(
            published_letters(published_form(one)) for one in recordings
        ),
        "ecg_byte+letters": lambda: consume(
            letters(recipe.apply(one, CANONICAL_LEADS, FS_HZ)) for one in recordings
        ),
    }
    for rate in (FS_HZ, CODE_15_HZ):
        candidates[f"published ecg_fm {rate:g} Hz"] = lambda rate=rate: consume(
            published_scores(one, rate) for one in recordings
        )
    candidates["ecg_fm 400 Hz"] = lambda: consume(
        get_recipe("ecg_fm").apply(one, CANONICAL_LEADS, CODE_15_HZ) for one in recordings
    )
    for name in RECIPE_NAMES:
        candidates[name] = lambda name=name: consume(
            get_recipe(name).apply(one, CANONICAL_LEADS, FS_HZ) for one in recordings
        )
    timings = interleave(candidates, arguments.repeats)
    return {
        "stage": "recipe",
        "records": arguments.records,
        "max_abs_err": error,
        "ms_per_record": {
            name: timings.median_wall(name) / len(recordings) * 1e3 for name in candidates
        },
        "times_as_fast": timings.ratio("ecg_byte", "published"),
        "times_as_fast_with_letters": timings.ratio("ecg_byte+letters", "published+letters"),
        "ecg_fm_times_as_fast": {
            "500 Hz": timings.ratio("ecg_fm", "published ecg_fm 500 Hz"),
            "400 Hz": timings.ratio("ecg_fm 400 Hz", "published ecg_fm 400 Hz"),
        },
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


def published_scores(signal: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return (windows, 12, 2500) z-scores as ECG-FM's code computes them from (12, T)."""
    num_samples = signal.shape[1]
    if fs_hz != FS_HZ:
        num_wanted = int(num_samples * (FS_HZ / fs_hz))
        grid = np.linspace(0, num_wanted - 1, num_samples)
        signal = interp1d(grid, signal)(np.arange(num_wanted))
    signal = signal.astype(np.float64)
    is_flat = (signal == signal[:, :1]).all(axis=1)
    centred = signal - signal.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    deviation[is_flat] = 1.0
    scores = centred / deviation
    scores[is_flat] = 0.0
    count = scores.shape[1] // 2500
    windows = [scores[:, 2500 * k : 2500 * (k + 1)] for k in range(count)]
    return np.stack(windows).astype(np.float32)


def published_letters(windows: np.ndarray) -> list[str]:
    """Return the letters of every window, one value at a time as the published code does."""
    scaled = np.clip((windows + 1.05) / (2.6 + 1e-6), 0, 1)
    bins = np.minimum(np.floor(scaled * 26), 25).astype(np.uint8)
    to_letter = np.vectorize(lambda value: chr(ord("a") + value))
    return ["".join(to_letter(window).flatten()) for window in bins]


def consume(results: Iterable[Any]) -> None:
    """Run through results without keeping them."""
    collections.deque(results, maxlen=0)


def _difference(
    name: str, fs_hz: float, published: Callable[[np.ndarray], np.ndarray], recordings: list
) -> float:
    recipe = get_recipe(name)
    return max(
        float(np.abs(recipe.apply(one, CANONICAL_LEADS, fs_hz) - published(one)).max())
        for one in recordings
    )


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
