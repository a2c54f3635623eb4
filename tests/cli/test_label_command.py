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
