"""The questions table of own data: which recording a line means, its type, and lines refused."""

import json

import numpy as np
import pytest
from foreign_files import TWELVE, made_steps

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.own_data import OwnData, own_dataset
from ecg_fairseq.records.datasets.record_names import RecordNames
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.questions.question import candidate_answers
from ecg_fairseq.records.readers.wfdb_writer import write_wfdb_record
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.signal.recipes import get_recipe

HEADER = "record_id,question,answer,options\n"


def array_with(tmp_path, text: str, num_records: int = 4, **more) -> OwnData:
    """Return own data: records 0, 1, ... and a questions table."""
    np.save(tmp_path / "ecgs.npy", np.zeros((num_records, 12, 8), np.float32))
    (tmp_path / "q.csv").write_text(text)
    return OwnData(tmp_path / "ecgs.npy", fs_hz=500.0, questions=tmp_path / "q.csv", **more)


def questions_of(data: OwnData) -> tuple[list, dict]:
    raw_dataset = own_dataset(data)
    rows = [RecordRow(item.record_id, item.patient_id, "train") for item in raw_dataset.sources]
    questions, notes = raw_dataset.make_questions(rows, 0)
    return [*questions["train"]], notes


def test_an_exact_id_wins_and_a_short_name_must_be_the_only_one():
    names = RecordNames(["pat0/ecg", "pat1/ecg", "ecg", "pat1/b", "0", "ward/0"])
    assert names.find("ecg") == names.find(" ecg.hea ") == "ecg"
    assert names.find("pat1/ecg.mat") == "pat1/ecg"
    assert names.find("b") == "pat1/b"
    assert names.find("0") == names.find("0.0") == "0"
    assert RecordNames(["pat0/ecg", "pat1/ecg"]).find("ecg") is None
    assert "2 recordings" in RecordNames(["pat0/ecg", "pat1/ecg"]).why_not("ecg")


def test_questions_of_no_recording_are_said_and_listed(tmp_path, capsys):
    lines = [f"{number % 4},Is it?,a," for number in range(200)] + ["zz,Is it?,a,"]
    asked, notes = questions_of(array_with(tmp_path, HEADER + "\n".join(lines)))
    assert len(asked) == 200
    assert notes["questions_of_no_record"] == ["line 202: zz (no recording has this name)"]
    assert "1 of the 201 questions" in capsys.readouterr().err


def test_more_than_one_percent_of_no_recording_is_refused_with_both_ids(tmp_path):
    lines = [f"{number % 4},Is it?,a," for number in range(20)] + ["r7,Is it?,a,"]
    with pytest.raises(ManifestError, match=r"line 22: r7 .*recordings are called 0, 1, 2"):
        own_dataset(array_with(tmp_path, HEADER + "\n".join(lines)))


def test_types_follow_the_options_of_the_template(tmp_path):
    text = HEADER + "".join(
        (
            "0,AF?,yes,yes;no\n1,AF?,no,yes;no\n",
            "0,Which?,a,a;b\n1,Which?,none,a;b\n2,Which?,a;b,a;b\n",
            "0,All?,a,a;b;c\n1,All?,a;c,a;b;c\n",
            "0,Free?,anything,\n",
        )
    )
    asked, _ = questions_of(array_with(tmp_path, text))
    types = {question.question: question.question_type for question in asked}
    assert types == {
        "AF?": "single-verify",
        "Which?": "single-choose",
        "All?": "single-query",
        "Free?": "single-query",
    }
    assert candidate_answers(asked[0]) == ["yes", "no"]
    assert candidate_answers(asked[2]) == ["a", "b", "a; b", "none"]


def test_a_stated_type_stays(tmp_path):
    text = "record_id,question,answer,options,question_type\n0,A?,yes,yes;no,mine-verify\n"
    asked, _ = questions_of(array_with(tmp_path, text))
    assert asked[0].question_type == "mine-verify"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,A?,,", "line 3: the answer is ''"),
        ("1,A?, ; ,", "line 3: the answer is"),
        ("1,A?,nan,", "line 3: the answer is 'nan'"),
        ("1, ,a,", "line 3: the question is empty"),
        ("1,A?,z,a;b", "line 3: the answer 'z' is not among the options 'a; b'"),
        ("1,A?,a|b,a|b|c", "not among"),
        ("1,A?,none,yes;no", "line 3: the answer 'none' is not among"),
    ],
)
def test_lines_that_cannot_be_scored_are_refused(tmp_path, line, message):
    with pytest.raises(ManifestError, match=message):
        own_dataset(array_with(tmp_path, HEADER + "0,Q?,none,\n" + line + "\n"))


@pytest.mark.parametrize("name", ["choices", "option", "Options", "choice"])
def test_a_column_that_is_nearly_options_is_named(tmp_path, capsys, name):
    own_dataset(array_with(tmp_path, HEADER.replace("options", name) + "0,A?,a,a;b\n"))
    assert f"not read: {name} (is it options?" in capsys.readouterr().err


def test_recordings_that_the_labels_table_lacks_are_listed(tmp_path, capsys):
    (tmp_path / "ecgs").mkdir()
    for number in range(4):
        steps = made_steps(12, 5000, number)
        write_wfdb_record(tmp_path / f"ecgs/r{number}", steps, 500, TWELVE)
    (tmp_path / "l.csv").write_text("record_id,patient_id,AF\nr0,p0,0\nr1,p1,1\n")
    (tmp_path / "q.csv").write_text(HEADER + "r0,A?,a,\nr1,A?,b,\nr2,A?,b,\n")
    data = OwnData(tmp_path / "ecgs", labels=tmp_path / "l.csv", questions=tmp_path / "q.csv")
    recipe = get_recipe("ecg_byte_10s")
    prepare(own_dataset(data), PrepareOptions(tmp_path / "m", recipe, progress="silent"))
    said = capsys.readouterr().err
    assert "2 of the 4 recordings" in said
    assert "1 questions of" in said
    assert "no questions on" in said
    skipped = (tmp_path / "m/skipped.tsv").read_text().splitlines()[1:]
    assert skipped == [f"r{n}\tnot listed in the labels table" for n in (2, 3)]
    meta = json.loads((tmp_path / "m/meta.json").read_text())
    assert meta["counts"]["records"] == 2
    assert meta["questions_dropped"] == {"recording not available": 1}
    assert not Manifest.load(tmp_path / "m").record_row("r2").is_ok
