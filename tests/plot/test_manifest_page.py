"""The page of ``inspect --html``: self-contained, complete, and safe with hostile texts."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.plot.manifest_page import choose_rows
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.source_record import SourceRecord, labels_text
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import get_recipe

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A manifest of 20 records of noise; one is NaN, one is tall, one has a hostile label."""
    root = tmp_path_factory.mktemp("page")
    signals = np.random.default_rng(0).normal(0, 0.2, (20, 12, 2500)).astype(np.float32)
    signals[3] = np.nan
    signals[4] *= 60
    np.save(root / "x.npy", signals)
    sources = [
        SourceRecord(
            f"r{number}",
            f"p{number // 2}",
            str(root / "x.npy"),
            labels_json=labels_text({"codes": ["NORM"] if number else [EVIL], "noisy": "1"}),
            report=EVIL,
            array_row=number,
            leads=CANONICAL_LEADS,
            fs_hz=250.0,
        )
        for number in range(20)
    ]
    recipe = get_recipe("ecg_byte")
    prepare(
        RawDataset("own", sources, "patient"),
        PrepareOptions(root / "m", recipe, accept_amplitude=True),
    )
    return root / "m"


def page_of(tmp_path, *folders, expected=0):
    out = tmp_path / "page.html"
    assert main(["inspect", *map(str, folders), "--html", str(out)]) == expected
    return out.read_text(encoding="utf-8")


def test_page_is_complete_and_self_contained(folder, tmp_path, capsys):
    page = page_of(tmp_path, folder)
    assert "leakage check: nothing found" in capsys.readouterr().out
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", page)
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    for text in ("nothing found", "Counts", "250 Hz", "2 s", "Left out", "NaN", "Contact sheet"):
        assert text in page, text
    assert page.count("data:image/png;base64,") == 12
    assert ">19<" in page
    assert "NORM" in page


def test_leaks_are_shown(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    text = (copy / "records.tsv").read_text()
    lines = text.splitlines()
    row = next(number for number, line in enumerate(lines) if "\ttrain\t" in line)
    lines[row] = lines[row].replace("\ttrain\t", "\ttest\t")
    (copy / "records.tsv").write_text("\n".join(lines) + "\n")
    page = page_of(tmp_path, folder, copy, expected=1)
    assert "on more than one side" in page
    assert "across 2 manifests" in page
    assert page.count("data:image/png;base64,") == 24


def test_draw_takes_all_sides_and_does_not_depend_on_order(folder):
    manifest = Manifest.load(folder)
    rows = choose_rows(manifest, 6)
    assert {row.split for row in rows} == {"train", "valid", "test"}
    manifest.records = dict(reversed(list(manifest.records.items())))
    assert choose_rows(manifest, 6) == rows
    assert choose_rows(manifest, 0) == []
    assert len(choose_rows(manifest, 99)) == 19
