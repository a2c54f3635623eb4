"""docs/architecture.md names paths that exist and all rooms; docs/lab_log.md gives figures."""

import re
from pathlib import Path

import pytest

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
