"""The examples' notebooks: valid files without outputs, and cells that run from first to last."""

import ast
import json
import re
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from toy_encoders import save_encoder

from ecg_fairseq.cli.main import main
from ecg_fairseq.networks.ecg_fm.convert import export_checkpoint
from ecg_fairseq.networks.encoders.by_recording import MIMIC_IV_ECG_LABELS

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(PROJECT.glob("examples/*/*.ipynb"))
ECG_FM = PROJECT / "examples/ecg_fm/quick_start.ipynb"


def cells_of(path: Path, kind: str) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def run_cells(path: Path, folder: Path, **values: Any) -> tuple[dict[str, Any], str]:
    """Execute the code cells in a folder; values stand in for the first cell's assignments."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = StringIO()
    with chdir(folder), redirect_stdout(printed):
        for number, cell in enumerate(cells_of(path, "code")):
            exec(compile(cell, f"{path.name} cell {number}", "exec"), names)
            if number == 0:
                assert set(values) <= set(names)
                names.update(values)
    return names, printed.getvalue()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_format_and_no_outputs(path: Path) -> None:
    """Nbformat 4.5: every cell has an id of its own, code cells keep no outputs."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", name) for name in ids)
    for cell in content["cells"]:
        assert cell["cell_type"] in ("markdown", "code")
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        if cell["cell_type"] == "code":
            assert set(cell) == {
                "cell_type", "id", "metadata", "execution_count", "outputs", "source"
            }  # fmt: skip
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            ast.parse("".join(cell["source"]))


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder with a small file in the released classifier's layout and under its name."""
    save_encoder(tmp_path / "ours.pt", num_labels=len(MIMIC_IV_ECG_LABELS))
    export_checkpoint(tmp_path / "ours.pt", tmp_path / "mimic_iv_ecg_finetuned.pt")
    return tmp_path


def check_quick_start(folder: Path, printed: str, names: dict[str, Any]) -> None:
    assert names["segments"].shape == (2, 12, 2500)
    assert all(label in printed for label in names["system"].labels)
    with chdir(folder):
        assert names["Picture"]()._repr_png_().startswith(b"\x89PNG")
    assert (folder / "saliency.png").stat().st_size > 10_000


def test_quick_start_on_a_simulated_recording(released: Path) -> None:
    words = ["simulate", "--out", str(released / "ptb-xl"), "--patients", "3", "--seed", "1"]
    assert main([*words, "--workers", "1"]) == 0
    names, printed = run_cells(ECG_FM, released)
    assert names["system"].labels == MIMIC_IV_ECG_LABELS
    assert "0 missing, 0 unexpected" in printed
    check_quick_start(released, printed, names)


def test_quick_start_on_a_real_recording(released: Path, shared_dir: Path) -> None:
    (released / "ptb-xl").symlink_to(shared_dir / "data/ptb-xl")
    names, printed = run_cells(ECG_FM, released)
    check_quick_start(released, printed, names)


def test_quick_start_with_a_network_trained_here(released: Path) -> None:
    words = ["simulate", "--out", str(released / "ptb-xl"), "--patients", "3", "--seed", "1"]
    assert main([*words, "--workers", "1"]) == 0
    own = {"RELEASED": None, "CHECKPOINT": "ours.pt", "LABELS": None}
    names, printed = run_cells(ECG_FM, released, **own)
    check_quick_start(released, printed, names)
    assert "label_16" in printed
