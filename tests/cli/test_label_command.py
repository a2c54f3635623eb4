"""``ecg-fairseq label``."""

import json

import pytest

from ecg_fairseq.cli.main import main


def label(path, *words):
    return main(["label", str(path), "--out", str(path.with_suffix(".jsonl")), *map(str, words)])


def lines(path):
    return [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]


def test_one_line_for_each_text(tmp_path, capsys):
    path = tmp_path / "reports.txt"
    texts = ["Sinus rhythm; zebra", "", "Possible inferior infarct"]
    path.write_text("\ufeff" + "\n".join([*texts, ""]), encoding="utf-8")
    assert label(path) == 0
    found = lines(path)
    assert [line["text"] for line in found] == texts
    assert found[0]["labels"] == {"sinus rhythm": 1.0}
    assert found[0]["unmatched"] == "; zebra"
    assert found[0]["sources"] == {"sinus rhythm": ["sinus rhythm"]}
    assert found[1]["labels"] == {}
    assert found[2]["labels"]["myocardial infarction in inferior leads"] == 0.5
    output = capsys.readouterr()
    assert "unmatched, 1 times: zebra" in output.err
    assert json.loads(output.out)["without_label"] == 1


def test_a_column_of_a_table_and_tables_of_ones_own(tmp_path, shared_dir):
    path = tmp_path / "reports.csv"
    path.write_text('id,report\n1,"sinus rhythm,\nno atrial fibrillation"\n')
    tables = shared_dir / "data" / "ecg-fm-labeler"
    assert label(path, "--column", "report", "--tables", tables) == 0
    assert "Atrial fibrillation" not in lines(path)[0]["labels"]
    assert label(path, "--column", "report", "--tables", tables, "--mode", "reference") == 0
    assert "Atrial fibrillation" in lines(path)[0]["labels"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "id\treport\n1\tsinus rhythm, AF\n"),
        ("a.TSV", 'id\treport\n1\t"sinus rhythm, AF"\n'),
        ("a.csv", "id;report\n1;sinus rhythm, AF\n"),
        ("a.csv", 'id, report\n1, "sinus rhythm, AF"\n'),
    ],
)
def test_tables_separated_by_tabs_and_semicolons(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    assert label(path, "--column", "report") == 0
    assert [line["text"] for line in lines(path)] == ["sinus rhythm, AF"]
    assert lines(path)[0]["labels"] == {"atrial fibrillation": 1.0, "sinus rhythm": 1.0}


def test_the_texts_are_never_written_over(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text("sinus rhythm\n")
    assert label(path) == 1
    assert "is the file of the texts" in capsys.readouterr().err
    assert path.read_text() == "sinus rhythm\n"


@pytest.mark.parametrize(
    ("name", "content", "words", "message"),
    [
        ("a.txt", b"\xe4", [], "not UTF-8"),
        ("a.csv", b"x,y\n1,2\n", [], "--column"),
        ("a.csv", b"x,y\n1,2\n", ["--column", "z"], "no column 'z'"),
        ("a.txt", b"x", ["--column", "z"], "no .csv file"),
        ("a.csv", b"id,report\n1,sinus rhythm, AF\n", ["--column", "report"], "line 2 has 3 cells"),
        ("a.csv", b"report\nsinus rhythm, AF\n", ["--column", "report"], "line 2 has 2 cells"),
        ("a.csv", b"id,report\n1\n", ["--column", "report"], "line 2 has 1 cells, its header 2"),
        ("a.csv", b"id,x,x\n1,2,3\n", ["--column", "x"], "twice the column 'x'"),
        ("a.csv", b"report\n\xe4\n", ["--column", "report"], "must be UTF-8"),
        ("a.csv", b'id,report\n1,"sinus\n', ["--column", "report"], "cannot be read"),
        ("a.csv", b"id,report\n", ["--column", "report"], "holds no text"),
        ("a.csv", b"", ["--column", "report"], "no column 'report'"),
        ("a.txt", b"", [], "holds no text"),
        ("a.txt", b"\xef\xbb\xbf\n \n", [], "holds no text"),
        ("a.tsv", b"id\treport\n1\tAF\n", [], "column of a TSV file with --column"),
        ("a.tsv", b"id\treport\n1\tAF\tx\n", ["--column", "report"], "line 2 has 3 cells"),
        ("a.txt", b"x", ["--mode", "z"], "expected one of corrected"),
        ("a.txt", b"x", ["--tables", "nowhere"], "entity_tem.json not found"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, capsys, name, content, words, message):
    path = tmp_path / name
    path.write_bytes(content)
    assert label(path, *words) == 1
    assert message in capsys.readouterr().err
    assert not path.with_suffix(".jsonl").exists()
