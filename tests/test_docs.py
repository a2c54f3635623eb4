"""docs/ name paths that exist, all rooms, all fields of layouts; the lab log gives figures."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ecg_fairseq.networks.encoders.registry import encoder_kind
from ecg_fairseq.networks.language_model.layout import Piece, layout_from_dict
from ecg_fairseq.networks.language_model.vocabulary import RowOrder
from ecg_fairseq.networks.trained import ENCODERS

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "ecg_fairseq"
ARCHITECTURE = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
LAB_LOG = (PROJECT / "docs" / "lab_log.md").read_text(encoding="utf-8")
FOLDERS = ("ecg_fairseq", "tests", "scripts", "manifests", "rust_bpe", "hydra_plugins", "docs")


def named_paths(text: str) -> list[str]:
    """Return everything in code style that starts with one of our top folders."""
    words = re.findall(r"`([^`\s]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return sorted({word for word in words if word.split("/")[0] in FOLDERS and "/" in word})


@pytest.mark.parametrize("path", named_paths(ARCHITECTURE))
def test_every_path_of_the_architecture_page_exists(path: str) -> None:
    assert (PROJECT / path).exists(), f"docs/architecture.md names {path}, which is not there"


def test_both_walks_and_ten_questions_have_paths() -> None:
    walks = re.findall(r"## From .*?(?=\n## )", ARCHITECTURE, flags=re.DOTALL)
    assert len(walks) == 2
    for walk in walks:
        assert len(named_paths(walk)) >= 7
    table = ARCHITECTURE.partition("## Where does it live?")[2]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 10
    for question, answer in rows:
        assert question.strip().endswith("?")
        assert named_paths(answer), question


def test_the_picture_shows_every_room() -> None:
    picture = re.search(r"```text(.*?)```", ARCHITECTURE, flags=re.DOTALL)[1]
    rooms = {path.parent.name for path in PACKAGE.glob("*/*.py")} | {"config"}
    assert {room for room in rooms if not re.search(rf"\b{room}\b", picture)} == set()


def test_every_entry_of_the_lab_log_has_date_command_and_figure() -> None:
    rows = [line.split("|")[1:-1] for line in LAB_LOG.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 8
    for date, tried, command, found in rows:
        assert re.match(r" 20\d\d-\d\d-\d\d", date), date
        assert "`" in command, tried
        assert re.search(r"\d|`", found), tried
    dates = [date.strip()[:10] for date, *_ in rows]
    assert dates == sorted(dates, reverse=True)


LAYOUTS = (PROJECT / "docs" / "layouts_and_encoders.md").read_text(encoding="utf-8")


def test_the_layout_that_the_docs_show_is_one() -> None:
    shown = re.search(r"```yaml\n(.*?)```", LAYOUTS, flags=re.DOTALL)[1]
    layout = layout_from_dict(yaml.safe_load(shown))
    assert layout.name == "mine"
    assert layout.asks("header")
    assert layout.num_recordings is None


def test_every_field_of_a_layout_is_explained() -> None:
    names = {field.name for field in dataclasses.fields(RowOrder)}
    names |= {field.name for field in dataclasses.fields(Piece)} - {"kind"}
    names |= {"bos", "eos", "answer", "question", "header", "features", "tokens"}
    explained = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", LAYOUTS))))
    assert names <= explained
    for path in named_paths(LAYOUTS):
        assert (PROJECT / path).exists(), path


@pytest.mark.parametrize("name", ENCODERS)
def test_settings_that_the_docs_name_are_the_encoders(name: str) -> None:
    row = next(line for line in LAYOUTS.splitlines() if line.startswith(f"| `{name}` |"))
    named = set(re.findall(r"`([a-z_]+)`", row.split("|")[3]))
    known = {field.name for field in dataclasses.fields(encoder_kind(name).config)}
    assert named <= known
    # One encoder's are few enough to be named one and all.
    assert name != "resnet" or named == known


def test_what_the_shown_commands_leave_is_ignored_by_git() -> None:
    pages = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    left = set(re.findall(r"(?:--out|--results-path|save_dir=) ?([a-z][\w./-]*)", text))
    assert len(left) > 30
    if not (PROJECT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a clone")
    # As folders and as files: a pattern that ends in a slash takes folders only.
    names = sorted(name if "." in name else f"{name}/" for name in left)
    command = ["git", "check-ignore", "--no-index", *names]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert sorted(set(names) - set(found.stdout.split())) == []
