"""Recordings for pictures, and pictures as arrays of pixels."""

import io

import numpy as np
import pytest

from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.signal.leads import CANONICAL_LEADS


@pytest.fixture(scope="session")
def make_record():
    """Return a function that makes a flat record, or one with the given signal."""

    def make(signal=None, leads=CANONICAL_LEADS, fs_hz=500.0, seconds=10.0):
        if signal is None:
            signal = np.zeros((len(leads), round(seconds * fs_hz)))
        return EcgRecord(np.asarray(signal, np.float32), tuple(leads), fs_hz, "rec1", "pat1")

    return make


@pytest.fixture(scope="session")
def pixels():
    """Return a function that renders a figure to (rows, columns, 3) uint8, the top row first."""

    def render(figure, dpi):
        from PIL import Image

        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=dpi)
        return np.asarray(Image.open(stream).convert("RGB"))

    return render
