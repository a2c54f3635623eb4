"""report.html: complete, self-contained, escaped, and honest about what is missing."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ecg_fairseq.evaluation.answers.predictions import Candidate, Prediction
from ecg_fairseq.evaluation.answers.scores import score_predictions
from ecg_fairseq.plot.charts import Bar, Series, bar_chart, line_chart, round_ticks
from ecg_fairseq.plot.report import ReportExample, choose_examples, write_report

VOID = {"meta", "img", "br", "link"}
NASTY = '<script>alert("x")</script> & \' "quoted"'


class Checker(HTMLParser):
    """Collects tags and text; fails on unbalanced tags."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.words.append(text)


def parse(path):
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    checker.close()
    assert checker.open == []
    return checker


def make_predictions(num=40):
    return [
        Prediction(
            id=f"q{i}",
            question=f"question {i}?",
            question_type=("single-verify", "single-query")[i % 2],
            template_id=i % 3,
            answer="yes" if i % 4 else NASTY,
            reference="yes",
            record_ids=(f"r{i // 2}",),
            patient_ids=(f"p{i // 2}",),
            closed_set=(Candidate("yes", -1.0), Candidate("no", -2.0)),
        )
        for i in range(num)
    ]


CURVES = [
    *({"part": "train_inner", "update": u, "epoch": 1, "loss": 3.0 / u} for u in range(1, 60)),
    *({"part": "valid", "update": u, "loss": 4.0 / u, "answer_accuracy": 0.5} for u in (20, 40)),
]


@pytest.fixture
def examples(make_record):
    return [
        ReportExample(NASTY, "v1; v2", "v2; v3", False, (make_record(),), "single-query"),
        ReportExample(
            "q",
            "yes",
            "yes",
            True,
            (make_record(), make_record()),
            "comparison_irrelevant-verify",
            (Candidate("yes", -1.0), Candidate(NASTY, -3.0)),
        ),
    ]


def full_results():
    scores = score_predictions(make_predictions(), num_resamples=50)
    return {
        **scores,
        "title": NASTY,
        "dataset": NASTY,
        "command": "bash scripts/quickstart.sh --seed 1",
        "versions": {"torch": "2.0 <b>"},
        "data_sha256": "abcdef",
        "seed": 1,
        "seconds": {"train": 12.3},
        "peak_rss_mb": 1000.4,
    }


def test_full_report(tmp_path, examples):
    path = tmp_path / "report.html"
    write_report(path, full_results(), examples, CURVES, ["Only 12 records.", NASTY])
    page = parse(path)
    text = " ".join(page.words)
    for part in (
        "✓ right",
        "✗ wrong",
        "Only 12 records.",
        "No blind run was given",
        "not measured",
        "quickstart.sh --seed 1",
        "abcdef",
        "1000 MB",
        "train 12 s",
        "single-verify",
        "Missing",
        "v1",
        "Too many",
        "v3",
        "yes 80 %",
        "Answer accuracy",
        "not a medical device",
    ):
        assert part in text, part
    assert text.count(NASTY) >= 5
    assert "script" not in page.tags


def test_report_needs_nothing_from_outside(tmp_path, examples):
    path = tmp_path / "report.html"
    write_report(path, full_results(), examples, CURVES, [])
    page = parse(path)
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "srcset")]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    source = path.read_text(encoding="utf-8")
    assert "url(" not in source
    assert "@import" not in source
    assert set(re.findall(r"https?://[^\s\"'<]+", source)) == {"http://www.w3.org/2000/svg"}
    assert not any(name.startswith("on") for _, name, _ in page.attributes)


def test_pictures_are_ecgs_at_full_size(tmp_path, examples):
    from PIL import Image

    path = tmp_path / "report.html"
    write_report(path, {}, examples, [], [])
    found = re.findall(r"base64,([A-Za-z0-9+/=]+)", path.read_text())
    assert len(found) == 3
    image = Image.open(io.BytesIO(base64.b64decode(found[0])))
    assert image.size[0] == pytest.approx(272 / 25.4 * 130, abs=1)
    assert len(np.unique(np.asarray(image.convert("L")))) > 5


def test_report_of_nothing_is_still_a_page(tmp_path):
    write_report(tmp_path / "report.html", {}, [], [], [])
    text = " ".join(parse(tmp_path / "report.html").words)
    assert "not measured" in text


def test_examples_are_balanced_varied_and_independent_of_order(make_record):
    predictions = make_predictions()

    def draw(items, **options):
        chosen = choose_examples(items, lambda name: make_record(seconds=1.0), **options)
        return [(example.question, example.is_right) for example in chosen]

    drawn = draw(predictions, count=6)
    assert [verdict for _, verdict in drawn] == [True, False] * 3
    assert draw(predictions[::-1], count=6) == drawn
    assert draw(predictions, count=6, seed=1) != drawn
    assert len(draw(predictions, count=100)) == 40
    right = [p for p in predictions if p.answer == "yes"]
    assert all(verdict for _, verdict in draw(right, count=4))
    chosen = choose_examples(predictions, lambda name: make_record(seconds=1.0), count=4)
    assert {example.question_type for example in chosen} == {"single-verify", "single-query"}


def test_bars_are_as_long_as_their_values():
    svg = bar_chart([Bar("a", 0.5, (0.4, 0.6)), Bar("b", None), Bar("c", 1.0)])
    widths = [float(w) for w in re.findall(r'<rect class="bar \w+"[^>]*? width="([\d.]+)"', svg)]
    assert widths[0] == pytest.approx(widths[1] / 2, abs=0.1)
    assert "0.500 [0.400, 0.600]" in svg
    assert "not measured" in svg


def test_curves_stay_inside_the_chart():
    series = [Series("a", tuple((float(x), 5.0 - x / 20) for x in range(100)))]
    svg = line_chart([*series, Series("empty", ())], "Loss")
    points = re.search(r'<polyline[^>]*points="([^"]+)"', svg)[1]
    xy = np.array([[float(v) for v in pair.split(",")] for pair in points.split()])
    assert (xy[:, 0] >= 56).all()
    assert (xy[:, 0] <= 504.05).all()
    assert (xy[:, 1] >= 39.95).all()
    assert (xy[:, 1] <= 230.05).all()
    assert (np.diff(xy[:, 1]) > 0).all()
    assert line_chart([Series("empty", ())], "Loss") == ""
    assert "nan" not in line_chart([Series("one", ((0.0, 0.0),))], "Loss")


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7.2), (1e-5, 3e-5), (5, 5), (0, 12345)])
def test_ticks_enclose_the_range(low, high):
    ticks = round_ticks(low, high)
    assert ticks[0] <= low + 1e-12
    assert ticks[-1] >= high - 1e-12
    assert 2 <= len(ticks) <= 8
    assert (np.diff(ticks) > 0).all()


def test_the_table_by_question_type_is_escaped(tmp_path, examples):
    results = full_results()
    results["per_question_type"] = {
        NASTY: {**results["per_question_type"]["single-verify"], "n": NASTY}
    }
    results["blind_dropped"] = NASTY
    path = tmp_path / "report.html"
    write_report(path, results, examples[:1], CURVES, [])
    assert "script" not in parse(path).tags
    assert NASTY not in path.read_text(encoding="utf-8")


def test_the_corrected_floor_is_the_one_to_beat(tmp_path):
    blind = [
        replace(prediction, record_ids=("other",), patient_ids=("other",), answer="yes")
        for prediction in make_predictions()
    ]
    scores = score_predictions(make_predictions(), blind, num_resamples=20)
    path = tmp_path / "report.html"
    write_report(path, scores, [], [], [])
    text = " ".join(parse(path).words)
    gain = scores["exact_match"] - scores["blind_corrected_exact_match"]
    assert f"{gain:+.3f}" in text
    assert f"{scores['blind_exact_match']:.3f}" in text
    assert "… corrected" in text
    assert "By wording" in text
    # Results of an earlier version have neither.
    earlier = {key: value for key, value in scores.items() if "correct" not in key}
    write_report(path, earlier, [], [], [])
    gain = scores["exact_match"] - scores["blind_exact_match"]
    assert f"{gain:+.3f}" in " ".join(parse(path).words)
