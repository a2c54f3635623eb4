"""The console: every verb explains itself, bad usage is 2, explained failures are 1."""

import subprocess
import sys
from pathlib import Path

import pytest

from ecg_fairseq.cli.main import VERBS, main

PROJECT = Path(__file__).resolve().parents[1]
CONTRACT_VERBS = {
    "doctor", "user-dir", "simulate", "tokenizer", "describe", "recipe", "inspect", "export",
    "predict", "score", "plot",
}  # fmt: skip
TOKENIZER_VERBS = ("train", "import", "export-hf", "encode", "decode", "stats", "track")


def exit_status(argv: list[str]) -> int:
    """Run the console in this process; argparse leaves through SystemExit."""
    try:
        return main(argv)
    except SystemExit as leaving:
        return int(leaving.code or 0)


def test_contract_verbs_are_there() -> None:
    assert set(VERBS) >= CONTRACT_VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"ecg-fairseq {verb}" in out
    assert VERBS[verb][1] in " ".join(out.split())


@pytest.mark.parametrize("verb", TOKENIZER_VERBS)
def test_help_of_every_tokenizer_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(["tokenizer", verb, "--help"]) == 0
    assert f"ecg-fairseq tokenizer {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_unknown_option_is_bad_usage(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status([verb, "--no-such-option"]) == 2
    assert "usage: ecg-fairseq" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["no-such-verb"], ["tokenizer"], ["describe"], ["plot"]])
def test_missing_or_unknown_words_are_bad_usage(argv: list[str]) -> None:
    assert exit_status(argv) == 2


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(["--help"]) == 0
    first_words = [line.split()[:1] for line in capsys.readouterr().out.splitlines()]
    assert all([verb] in first_words for verb in VERBS)


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "MISSING"],
        ["plot", "MISSING", "--out", "OUT.png"],
        ["recipe", "no_such_recipe"],
        ["recipe", "ecg_byte", "MISSING"],
        ["describe", "no_such_name"],
        ["score", "MISSING/generate-test.txt", "MISSING"],
        ["export", "--checkpoint", "MISSING", "--out", "OUT"],
        ["predict", "--checkpoint", "MISSING", "RECORD"],
        ["tokenizer", "train", "--input", "MISSING", "--num-merges", "3", "--out", "OUT.json"],
        ["tokenizer", "encode", "--tokenizer", "MISSING"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_failure_is_explained_without_traceback(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replaced = [
        str(tmp_path / word) if word.startswith(("MISSING", "OUT", "RECORD")) else word
        for word in words
    ]
    assert exit_status(replaced) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"ecg-fairseq {words[0]}: ")
    assert not list(tmp_path.iterdir()), "something was written although the command failed"


def test_user_dir_is_the_package_folder() -> None:
    script = Path(sys.executable).with_name("ecg-fairseq")
    result = subprocess.run(
        [str(script), "user-dir"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert result.stdout == f"{PROJECT / 'ecg_fairseq'}\n"


def test_reader_that_stops_early_is_no_failure() -> None:
    command = f"{sys.executable} -m ecg_fairseq.cli.main --help | head -n 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )
    assert "Traceback" not in result.stderr
