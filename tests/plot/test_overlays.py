"""Token spans and score shading stand where their samples are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_fairseq.errors import RecordError, TokenizerError
from ecg_fairseq.plot.ecg import plot_ecg
from ecg_fairseq.plot.rows import score_colours, score_limit
from ecg_fairseq.plot.spans import LeadSpan, spans_on_leads, spans_on_strips
from ecg_fairseq.plot.strips import plot_strips
from ecg_fairseq.signal.recipe import Strip

LEADS = (Strip("I", "lead", 100.0, 200), Strip("II", "lead", 100.0, 200))
BEATS = (
    *(Strip(lead, "median_beat", 50.0, 41) for lead in ("I", "II", "V1", "V2")),
    Strip("II", "rhythm", 50.0, 500),
)


def test_a_token_over_a_border_is_cut_in_two():
    pieces = spans_on_strips(np.array([[0, 190], [190, 230], [230, 400]]), LEADS)
    assert [(p.strip, p.start, p.end, p.number) for p in pieces] == [
        (0, 0, 190, 0),
        (0, 190, 200, 1),
        (1, 0, 30, 1),
        (1, 30, 200, 2),
    ]


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=40), st.lists(st.integers(1, 70), min_size=1)
)
def test_every_symbol_is_covered_once(token_lengths, strip_lengths):
    total = sum(strip_lengths)
    ends = np.minimum(np.cumsum(token_lengths), total)
    ends = np.unique(np.append(ends, total))
    spans = np.stack([np.append(0, ends[:-1]), ends], axis=1)
    strips = [Strip("I", "lead", 100.0, length) for length in strip_lengths]
    offsets = np.cumsum([0, *strip_lengths])
    owner = np.full(total, -1)
    for piece in spans_on_strips(spans, strips):
        part = slice(offsets[piece.strip] + piece.start, offsets[piece.strip] + piece.end)
        assert piece.end <= strip_lengths[piece.strip]
        assert (owner[part] == -1).all()
        owner[part] = piece.number
    expected = np.repeat(np.arange(len(spans)), spans[:, 1] - spans[:, 0])
    assert (owner == expected).all()


def test_segments_follow_each_other_in_time():
    whole = np.array([[0, 200], [200, 400]])
    spans = spans_on_leads([whole, whole], LEADS)
    assert spans == [
        LeadSpan("I", 0.0, 2.0, 0),
        LeadSpan("II", 0.0, 2.0, 1),
        LeadSpan("I", 2.0, 4.0, 2),
        LeadSpan("II", 2.0, 4.0, 3),
    ]


def test_spans_that_do_not_fit_are_refused():
    with pytest.raises(TokenizerError, match="do not belong together"):
        spans_on_strips(np.array([[0, 401]]), LEADS)
    with pytest.raises(TokenizerError, match="no plain time axis"):
        spans_on_leads([np.array([[0, 5]])], BEATS)
    assert spans_on_strips(np.zeros((0, 2)), LEADS) == []


def bars(figure):
    """Return (x0, x1, colour) of all token bars."""
    found = []
    for collection in figure.axes[0].collections:
        colours = collection.get_facecolor()
        if len(colours) and collection.get_zorder() == 3:
            for path in collection.get_paths():
                x = path.vertices[:, 0]
                found.append((x.min(), x.max(), tuple(colours[0])))
    return sorted(found)


def test_bars_alternate_and_stand_at_their_time(make_record):
    spans = [LeadSpan("V1", 1.0, 6.0, 0), LeadSpan("V1", 6.0, 6.5, 1), LeadSpan("II", 0.0, 9.0, 2)]
    record = make_record(leads=("V1", "V2"))
    found = bars(plot_ecg(record, layout="6x2", spans=spans))
    # V1 stands in the second column, which shows seconds 5 to 10.
    start = 6 + 10 + 125
    assert [(round(a - start, 6), round(b - start, 6)) for a, b, _ in found] == [
        (0, 25),
        (25, 37.5),
    ]
    assert found[0][2] != found[1][2]


def test_shading_shows_the_score_of_each_sample(make_record, pixels):
    scores = np.zeros((12, 5000))
    scores[0, 500:750] = 1.0
    scores[0, 750:1000] = -0.5
    image = pixels(plot_ecg(make_record(), scores=scores), 254).astype(int)
    row = image[120 + 88, 60 + 100 :]  # near the top of row I, between grid lines

    def mean_colour(start_s, end_s):
        columns = np.arange(round(start_s * 250) + 8, round(end_s * 250) - 8)
        return np.median(row[columns[columns % 10 == 5]], axis=0)

    blank, positive, negative = mean_colour(0.4, 1), mean_colour(1, 1.5), mean_colour(1.5, 2)
    assert blank[2] > 235
    assert positive[0] - positive[2] > 100
    assert negative[2] - negative[0] > 40


def test_one_score_per_sample_serves_all_leads(make_record):
    figure = plot_ecg(make_record(), scores=np.linspace(0, 2, 5000))
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "score 0" in words
    assert "2" in words
    assert len(figure.axes[0].images) == 12 + 1 + 1


def test_colours_scale_with_the_largest_magnitude():
    limit = score_limit([np.array([1.0, -4.0]), None, np.array([np.nan])])
    assert (limit.largest, limit.is_signed) == (4.0, True)
    alpha = score_colours(np.array([4.0, -4.0, 2.0, 0.0, np.nan]), limit)[:, 3]
    assert alpha == pytest.approx([0.85, 0.85, 0.425, 0.0, 0.0])
    assert score_limit([None]) is None
    assert score_colours(np.zeros(2), score_limit([np.zeros(2)]))[:, 3].tolist() == [0, 0]


def test_strips_keep_the_scale_and_the_order():
    values = np.sin(np.arange(664) / 9.0)
    spans = np.array([[0, 300], [300, 664]])
    figure = plot_strips(values, BEATS, spans, scores=np.arange(664.0), title="Segment")
    labels = [text.get_text() for text in figure.axes[0].texts]
    beats = [f"{lead} beat" for lead in ("I", "II", "V1", "V2")]
    assert labels[:5] == [*beats, "II rhythm"]
    assert "tokens" in labels[-3] + labels[-4]
    traces = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 10]
    assert [len(line.get_xdata()) for line in traces] == [41] * 4 + [500]
    assert np.diff(traces[0].get_xdata()) == pytest.approx(0.5)
    covered = sum(end - start for start, end, _ in bars(figure))
    assert covered == pytest.approx(664 / 50.0 * 25.0)


def test_strips_that_do_not_fit_are_refused():
    with pytest.raises(RecordError, match="663 values"):
        plot_strips(np.zeros(663), BEATS)
    with pytest.raises(RecordError, match="3 scores"):
        plot_strips(np.zeros(664), BEATS, scores=np.zeros(3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_without_a_finite_value_are_refused(make_record, value):
    scores = np.full(5000, value)
    with pytest.raises(RecordError, match="all NaN or infinite"):
        plot_ecg(make_record(), scores=scores)
    scores[7] = 1.0
    plot_ecg(make_record(), scores=scores)
