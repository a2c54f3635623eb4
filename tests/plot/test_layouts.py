"""Each lead exactly once in every layout (plus the rhythm strip), in the right part of the page."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from ecg_fairseq.errors import RecordError
from ecg_fairseq.plot.ecg import plot_ecg
from ecg_fairseq.plot.layouts import LAYOUTS, arrange
from ecg_fairseq.plot.paper import Scale
from ecg_fairseq.signal.leads import CANONICAL_LEADS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_lead_stands_once(layout):
    cells = arrange(layout, CANONICAL_LEADS, 10.0)
    assert Counter(c.lead for c in cells if not c.is_rhythm) == Counter(CANONICAL_LEADS)
    assert [c.lead for c in cells if c.is_rhythm] == (["II"] if layout == "3x4" else [])


def test_places_are_the_usual_ones():
    rows = {layout: {} for layout in LAYOUTS}
    for layout in LAYOUTS:
        for cell in arrange(layout, CANONICAL_LEADS[::-1], 10.0):
            rows[layout].setdefault(cell.row, []).append(cell.lead)
    assert list(rows["3x4"].values()) == [
        ["I", "aVR", "V1", "V4"],
        ["II", "aVL", "V2", "V5"],
        ["III", "aVF", "V3", "V6"],
        ["II"],
    ]
    pairs = zip(CANONICAL_LEADS[:6], CANONICAL_LEADS[6:], strict=True)
    assert list(rows["6x2"].values()) == [list(pair) for pair in pairs]
    assert list(rows["12x1"].values()) == [[lead] for lead in CANONICAL_LEADS]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cells_of_a_row_tile_the_page(layout):
    cells = arrange(layout, CANONICAL_LEADS, 8.0)
    for row in {cell.row for cell in cells}:
        ordered = sorted((c for c in cells if c.row == row), key=lambda c: c.start_s)
        edges = [(c.start_s, c.start_s + c.duration_s) for c in ordered]
        assert edges[0][0] == 0.0
        assert edges[-1][1] == pytest.approx(8.0)
        assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(edges))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_in_the_picture(make_record, layout):
    figure = plot_ecg(make_record(), layout=layout)
    labels = Counter(text.get_text() for text in figure.axes[0].texts)
    assert all(labels[lead] == 1 for lead in CANONICAL_LEADS)
    assert labels["II (rhythm)"] == (1 if layout == "3x4" else 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_lead_is_drawn_from_its_own_row_of_the_signal(make_record, layout):
    # Lead k is a step of 0.1 (k + 1) mV, so that a swapped or repeated lead shows in the figure.
    order = CANONICAL_LEADS[::-1]
    steps = {lead: 0.1 * (number + 1) for number, lead in enumerate(CANONICAL_LEADS)}
    signal = np.zeros((12, 5000))
    signal[:, ::4] = np.array([steps[lead] for lead in order])[:, None]
    figure = plot_ecg(make_record(signal, order), layout=layout)
    axes = figure.axes[0]
    traces = [line for line in axes.lines if len(line.get_xdata()) > 100]
    starts = {text.get_text(): text.get_position() for text in axes.texts}
    drawn = {}
    for line in traces:
        x, y = line.get_xdata()[0], np.asarray(line.get_ydata())
        lead = min(
            (name for name in starts if name.split(" ")[0] in CANONICAL_LEADS),
            key=lambda name: abs(starts[name][0] - 1 - x) * 10 + abs(starts[name][1] - y.max() - 5),
        )
        drawn[lead] = (y.max() - y.min()) / 10.0
    assert drawn.pop("II (rhythm)", steps["II"]) == pytest.approx(steps["II"], abs=1e-5)
    assert drawn == pytest.approx(steps, abs=1e-5)


def test_absent_and_extra_leads(make_record):
    leads = ("V1", "V7", "I")
    cells = arrange("3x4", leads, 10.0)
    assert Counter(c.lead for c in cells if not c.is_rhythm) == Counter(leads)
    assert [c.lead for c in cells if c.is_rhythm] == ["V1"]
    assert sorted({cell.row for cell in cells}) == [0, 1, 2]
    plot_ecg(make_record(leads=leads))
    assert [c.lead for c in arrange("6x2", ("V7",), 1.0)] == ["V7"]


def test_short_and_long_records(make_record):
    short = plot_ecg(make_record(seconds=4.0), layout="3x4")
    assert short.get_size_inches()[0] * 25.4 == pytest.approx(6 + 10 + 100 + 6)
    long = plot_ecg(make_record(seconds=30.0), start_s=12.0)
    header = long.axes[0].texts[-2].get_text()
    assert "12 to 22 of 30 s" in header


def test_text_lines_name_speed_gain_filter_and_ids(make_record):
    figure = plot_ecg(make_record(), scale=Scale(50.0, 5.0), filter_text="0.05-150 Hz")
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    for part in ("Record rec1", "patient pat1", "50 mm/s", "5 mm/mV", "0.05-150 Hz", "500 Hz"):
        assert part in words


def test_nan_leaves_a_gap_and_a_flat_nan_lead_is_drawn(make_record):
    signal = np.zeros((12, 5000))
    signal[0, 100:200] = np.nan
    signal[1] = np.nan
    signal[2, 7] = np.inf
    plot_ecg(make_record(signal)).canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "4x3"}, "3x4, 6x2, 12x1"),
        ({"scale": Scale(speed_mm_s=30.0)}, "25, 50"),
        ({"scale": Scale(gain_mm_mv=7.0)}, "5, 10, 20"),
        ({"start_s": 10.0}, "lasts 10 s"),
        ({"scores": np.zeros((12, 4999))}, "do not fit"),
    ],
)
def test_wrong_options_are_explained(make_record, options, message):
    with pytest.raises(RecordError, match=message):
        plot_ecg(make_record(), **options)
