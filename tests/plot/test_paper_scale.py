"""Amplitude, time and grid measured in pixels; 254 dpi makes 1 mm ten pixels."""

import numpy as np
import pytest

from ecg_fairseq.errors import EcgError
from ecg_fairseq.plot.ecg import plot_ecg
from ecg_fairseq.plot.paper import Page, Scale, png_bytes, pulse_zone_mm, save_figure

DPI = 254
PIXELS_PER_MM = 10


def is_trace(image):
    return (image < 90).all(axis=2)


def pulse_box(image, speed, gain):
    """Return (width, height) in pixels of the first row's pulse; the line's own width counts."""
    left, top = 60, 120  # the page's margins
    right = left + round(pulse_zone_mm(speed) * PIXELS_PER_MM) - 5
    area = is_trace(image)[top : top + round((gain + 7.5) * PIXELS_PER_MM), left:right]
    rows = np.nonzero(area)[0]
    flanks = np.nonzero(area[rows.min() + 20])[0]  # a row of pixels just below the roof
    return flanks.max() - flanks.min(), rows.max() - rows.min()


@pytest.mark.parametrize("speed", [25.0, 50.0])
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_calibration_pulse_measures_1_mv_and_200_ms(make_record, pixels, speed, gain):
    figure = plot_ecg(make_record(), layout="6x2", scale=Scale(speed, gain))
    width, height = pulse_box(pixels(figure, DPI), speed, gain)
    line = round(0.28 * PIXELS_PER_MM)
    assert width == pytest.approx(0.2 * speed * PIXELS_PER_MM + line, abs=2)
    assert height == pytest.approx(gain * PIXELS_PER_MM + line, abs=2)


def test_signal_has_the_scale_of_the_pulse(make_record, pixels):
    # Lead I: 1 mV from 1.0 s to 1.2 s. Its flanks must stand 25 mm and 30 mm into the row.
    signal = np.zeros((12, 5000))
    signal[0, 500:600] = 1.0
    image = pixels(plot_ecg(make_record(signal)), DPI)
    top, start = 120, 60 + round(pulse_zone_mm(25.0) * PIXELS_PER_MM)
    area = is_trace(image)[top + 55 : top + 145, start + 150 : start + 400]
    columns = np.nonzero(area.sum(axis=0) > 60)[0]
    assert columns.min() == pytest.approx(100, abs=3)
    assert columns.max() == pytest.approx(150, abs=3)
    whole = is_trace(image)[top : top + 200, start + 150 : start + 400]
    rows = np.nonzero(whole.any(axis=1))[0]
    assert rows.max() - rows.min() == pytest.approx(100 + 3, abs=2)


def test_grid_lines_are_1_mm_and_5_mm_apart(make_record, pixels):
    image = pixels(plot_ecg(make_record(), layout="12x1"), DPI).astype(int)
    # A row of pixels between two horizontal lines and away from all text and traces.
    line = image[120 + 25, 60 + 150 + 300 : 60 + 150 + 1300]
    redness = line[:, 0] - line[:, 1]
    paper = np.bincount(redness.clip(0)).argmax()
    minor = np.nonzero(redness > paper + 8)[0]
    assert set(np.unique(minor // 10)) >= set(range(1, 99))
    gaps = np.diff(np.nonzero(redness > paper + 40)[0])
    assert set(gaps[gaps > 5]) <= {48, 49, 50}


@pytest.mark.parametrize("dpi", [100, 150])
def test_page_has_its_true_size(make_record, pixels, dpi):
    figure = plot_ecg(make_record(), layout="12x1")
    width, height = figure.get_size_inches() * 25.4
    assert width == pytest.approx(6 + 10 + 250 + 6)
    image = pixels(figure, dpi)
    assert image.shape[1] == pytest.approx(width * dpi / 25.4, abs=1)
    assert image.shape[0] == pytest.approx(height * dpi / 25.4, abs=1)


def test_page_adds_up():
    page = Page(100.0, 50.0)
    assert (page.width, page.height) == (112.0, 71.0)
    assert page.grid_top == 59.0


def test_files_by_suffix(make_record, tmp_path):
    figure = plot_ecg(make_record(), layout="6x2")
    for name, magic in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")):
        save_figure(figure, tmp_path / name, dpi=50)
        content = (tmp_path / name).read_bytes()
        assert content.startswith(magic)
        save_figure(plot_ecg(make_record(), layout="6x2"), tmp_path / name, dpi=50)
        assert (tmp_path / name).read_bytes() == content
    with pytest.raises(EcgError, match="png, svg, pdf"):
        save_figure(figure, tmp_path / "a.txt")
    assert not (tmp_path / "a.txt").exists()


def test_embedded_png_is_smaller(make_record, tmp_path):
    figure = plot_ecg(make_record())
    save_figure(figure, tmp_path / "a.png", dpi=100)
    assert len(png_bytes(figure, dpi=100)) < 0.6 * (tmp_path / "a.png").stat().st_size
