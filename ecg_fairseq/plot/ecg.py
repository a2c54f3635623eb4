"""A recording on ECG paper."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.plot.layouts import PAGE_SECONDS, Cell, arrange
from ecg_fairseq.plot.paper import STANDARD_SCALE, Scale
from ecg_fairseq.plot.rows import Band, Trace, draw_rows
from ecg_fairseq.plot.spans import LeadSpan
from ecg_fairseq.records.record import EcgRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPEEDS_MM_S = (25.0, 50.0)
GAINS_MM_MV = (5.0, 10.0, 20.0)


def plot_ecg(
    record: EcgRecord,
    *,
    layout: str = "3x4",
    scale: Scale = STANDARD_SCALE,
    start_s: float = 0.0,
    scores: np.ndarray | None = None,
    spans: Sequence[LeadSpan] = (),
    filter_text: str = "none (as recorded)",
    overlay_text: str = "",
) -> "Figure":
    """Draw up to ten seconds of a recording to true scale.

    Each lead's median is laid on its baseline, as the AC coupling of an ECG machine does; nothing
    else is done to the signal.

    Args:
        record: what to draw; NaN and Inf samples become gaps.
        layout: ``3x4`` (with a rhythm strip of lead II), ``6x2`` or ``12x1``.
        scale: paper speed of 25 or 50 mm/s, gain of 5, 10 or 20 mm/mV.
        start_s: where in the recording the page begins.
        scores: (L, T) or (T,) values per sample to shade behind the traces: orange above zero,
            blue below, NaN for none.
        spans: token spans to draw as bars of alternating colour under the leads.
        filter_text: what was done to the signal before, for the line below the grid.
        overlay_text: what the scores are, for the line above the grid.

    Returns:
        A figure that is (page mm / 25.4) inches in size; save it without tight bounding boxes.

    Raises:
        RecordError: an option is unknown, or scores do not fit the record.
    """
    _check_choice("paper speed (mm/s)", scale.speed_mm_s, SPEEDS_MM_S)
    _check_choice("gain (mm/mV)", scale.gain_mm_mv, GAINS_MM_MV)
    duration = record.signal.shape[1] / record.fs_hz
    if not 0.0 <= start_s < duration:
        raise RecordError(
            f"the page should start at {start_s:g} s, but record {record.record_id} lasts "
            f"{duration:g} s; choose a start within it"
        )
    shown = min(PAGE_SECONDS, duration - start_s)
    overlay = None if scores is None else _fitting_scores(scores, record)
    cells = arrange(layout, record.leads, shown)
    traces = [_trace(record, cell, start_s, scale, overlay, spans) for cell in cells]
    header = _header(record, start_s, shown)
    if overlay_text:
        header += f"   {overlay_text}"
    footer = (
        f"{scale.speed_mm_s:g} mm/s   {scale.gain_mm_mv:g} mm/mV   filter: {filter_text}   "
        f"sampled at {record.fs_hz:g} Hz"
    )
    if spans:
        footer += f"   bars: tokens ({len({span.number for span in spans})} in the recording)"
    return draw_rows(traces, scale, header, footer)


def _header(record: EcgRecord, start_s: float, shown: float) -> str:
    """Return record, patient (when it is another name) and the stretch of time shown."""
    duration = record.signal.shape[1] / record.fs_hz
    patient = "" if record.patient_id == record.record_id else f"   patient {record.patient_id}"
    part = f"{start_s:g} to {start_s + shown:g} of " if shown < duration else ""
    return f"Record {record.record_id}{patient}   {part}{duration:g} s"


def _check_choice(name: str, value: float, choices: tuple[float, ...]) -> None:
    if value not in choices:
        known = ", ".join(f"{choice:g}" for choice in choices)
        raise RecordError(f"{name} {value:g} is not on ECG paper; choose one of {known}")


def _fitting_scores(scores: np.ndarray, record: EcgRecord) -> np.ndarray:
    """Return scores as (L, T) float64."""
    values = np.asarray(scores, dtype=np.float64)
    if values.shape not in (record.signal.shape, record.signal.shape[1:]):
        raise RecordError(
            f"scores of shape {values.shape} do not fit record {record.record_id} of shape "
            f"{record.signal.shape}; give one score per sample, (leads, samples) or (samples,)"
        )
    if not np.isfinite(values).any():
        raise RecordError(
            f"the {values.size} scores for record {record.record_id} are all NaN or infinite, so "
            "there is nothing to shade by; give at least one finite score"
        )
    return np.broadcast_to(values, record.signal.shape)


def _trace(
    record: EcgRecord,
    cell: Cell,
    start_s: float,
    scale: Scale,
    overlay: np.ndarray | None,
    spans: Sequence[LeadSpan],
) -> Trace:
    number = record.leads.index(cell.lead)
    begin_s = start_s + cell.start_s
    first = round(begin_s * record.fs_hz)
    last = round((begin_s + cell.duration_s) * record.fs_hz)
    signal = record.signal[number].astype(np.float64)
    finite = signal[np.isfinite(signal)]
    level = float(np.median(finite)) if finite.size else 0.0
    return Trace(
        label=f"{cell.lead} (rhythm)" if cell.is_rhythm else cell.lead,
        row=cell.row,
        x_mm=cell.start_s * scale.speed_mm_s,
        values=signal[first:last] - level,
        fs_hz=record.fs_hz,
        scores=None if overlay is None else overlay[number, first:last],
        bands=_bands(cell, begin_s, spans),
    )


def _bands(cell: Cell, begin_s: float, spans: Sequence[LeadSpan]) -> tuple[Band, ...]:
    """Return the parts of the lead's spans that the cell shows, relative to its start."""
    end_s = begin_s + cell.duration_s
    return tuple(
        Band(max(span.start_s, begin_s) - begin_s, min(span.end_s, end_s) - begin_s, span.number)
        for span in spans
        if span.lead == cell.lead and span.start_s < end_s and span.end_s > begin_s
    )
