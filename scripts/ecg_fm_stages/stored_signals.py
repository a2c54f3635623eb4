"""Signals of a list's segments as a trained network reads them."""

import numpy as np

from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder
from ecg_fairseq.records.segments.segment_list import SegmentList


def stored_signals(system: TrainedEncoder, segments: SegmentList) -> np.ndarray:
    """Return float32 (N, L, T) of segments of one length; all in memory, 120 kB each."""
    stored = (segments.read(index) for index in range(len(segments)))
    return np.concatenate([system.signals.chosen(one.signal[None], one.leads) for one in stored])
