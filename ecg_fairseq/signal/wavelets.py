"""Wavelet denoising as ECG-Byte does it (fact sheet ecg-byte 1.2, step 5), all leads at once."""

import numpy as np
import pywt

_NEGLIGIBLE = 1e-10


def denoise(signal: np.ndarray, wavelet: str, level: int) -> np.ndarray:
    """Shrink detail coefficients softly by a noise level estimated from the coarsest details.

    The threshold of a lead is median(|D_level|) / 0.6745 without the usual sqrt(2 ln N), as
    published; approximation coefficients stay.

    Args:
        signal: float64 (L, T).
        wavelet: a PyWavelets name (``db6``).
        level: decomposition depth.

    Returns:
        float64 (L, T); an odd length keeps its length (the published code stops on it).
    """
    approximation, *details = pywt.wavedec(signal, wavelet, level=level, axis=-1)
    threshold = np.median(np.abs(details[0]), axis=-1, keepdims=True) / 0.6745
    shrunk = []
    for detail in details:
        magnitude = np.abs(detail)
        kept = np.copysign(np.maximum(magnitude - threshold, 0.0), detail)
        kept[magnitude <= _NEGLIGIBLE] = 0.0
        shrunk.append(kept)
    return pywt.waverec([approximation, *shrunk], wavelet, axis=-1)[..., : signal.shape[-1]]
