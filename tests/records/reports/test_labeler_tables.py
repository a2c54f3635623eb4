"""Damaged tables of the labeler are refused in one sentence."""

import json
import shutil

import pytest

from ecg_fairseq.errors import LabelerError
from ecg_fairseq.records.reports.labeler_tables import OWN_TABLES, read_labeler_tables


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(OWN_TABLES, tmp_path / "tables")


def change(folder, table, alter):
    path = folder / f"{table}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    altered = alter(rows)
    kept = altered if isinstance(altered, dict) and table != "uncertainty_map" else rows
    path.write_text(json.dumps(kept), encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "alter", "message"),
    [
        ("entity_tem", lambda rows: rows[0].update(colour="red"), "unknown column 'colour'"),
        ("entity_tem", lambda rows: rows[0].pop("name"), "no column 'name'"),
        ("entity_tem", lambda rows: rows.append(rows[0]), "defines 'sinus rhythm' twice"),
        ("entity_tem", lambda rows: rows[0].update(sup=["x"]), "the entity 'x'"),
        ("entity_tem", lambda rows: rows[0].update(sup=["sinus rhythm"]), "in a circle"),
        ("entity_tem", lambda rows: rows[0].update(name=" "), "the name is empty"),
        ("entity_tem", lambda rows: {"a": 1}, "expected a list of objects"),
        ("entity_pat", lambda rows: rows[0].update(pattern=""), "would match every text"),
        ("entity_pat", lambda rows: rows[0].update(pattern="with"), "'with' stands twice"),
        ("entity_pat", lambda rows: rows[0].update(entities=[7]), "7 is no entity"),
        ("desc_pat", lambda rows: rows[0].update(before_after="ab"), "before_after is 'ab'"),
        ("desc_pat", lambda rows: rows[0].update(descriptors=["x"]), "the descriptor 'x'"),
        ("connective", lambda rows: rows[0].update(descriptors=[[]]), "left and right"),
        ("attached_desc_tem", lambda rows: rows[0].update(entity="x"), "the entity 'x'"),
        ("uncertainty_map", lambda rows: rows.update(Possible=2), "numbers from 0 to 1"),
    ],
)
def test_damaged_tables(folder, table, alter, message):
    change(folder, table, alter)
    with pytest.raises(LabelerError, match=message):
        read_labeler_tables(folder)


def test_longer_circles_are_named(folder):
    names = ("sinus bradycardia", "sinus tachycardia", "sinus rhythm")

    def alter(rows):
        for row, above in zip(rows, names, strict=False):
            row["sup"] = [above]

    change(folder, "entity_tem", alter)
    circle = "sinus rhythm > sinus bradycardia > sinus tachycardia > sinus rhythm"
    with pytest.raises(LabelerError, match=circle):
        read_labeler_tables(folder)


def test_two_ways_up_are_no_circle(folder):
    def alter(rows):
        rows[0]["sup"] = [rows[1]["name"], rows[2]["name"]]
        rows[1]["sup"] = [rows[2]["name"]]

    change(folder, "entity_tem", alter)
    assert read_labeler_tables(folder).above["sinus rhythm"]


def test_other_files(folder, tmp_path):
    with pytest.raises(LabelerError, match=r"entity_tem.json not found"):
        read_labeler_tables(tmp_path / "nothing")
    (folder / "replacements.json").write_text('[["", "x"]]')
    with pytest.raises(LabelerError, match="no word may be empty"):
        read_labeler_tables(folder)
    (folder / "replacements.json").write_text('[["sinsu", "sinus"]]')
    assert read_labeler_tables(folder).replacements == (("sinsu", "sinus"),)
    (folder / "entity_pat.json").write_bytes('[{"pattern": "ö"}]'.encode("latin-1"))
    with pytest.raises(LabelerError, match="not UTF-8"):
        read_labeler_tables(folder)
    (folder / "entity_pat.json").write_text("[")
    with pytest.raises(LabelerError, match="cannot be read as JSON"):
        read_labeler_tables(folder)
