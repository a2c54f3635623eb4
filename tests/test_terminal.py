"""Errors as one sentence, and output that no file of others controls."""

import errno
import io
import os
import re
import signal
import subprocess
import sys
import time
import unicodedata

import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import EcgError, Interrupted, RecordError
from ecg_fairseq.progress import track
from ecg_fairseq.terminal import (
    PrintableStream,
    causes,
    is_out_of_files,
    printable,
    printable_output,
    run_explained,
    system_sentence,
)
from ecg_fairseq.tokenizer import EcgTokenizer

HOSTILE = "\x1b]0;owned\x07\x1b[2Jid\r\x9b1A\x7f\u202e\u2028\udcff"


def is_harmless(text: str) -> bool:
    return all(char in "\t\n" or char.isprintable() for char in text)


def test_every_control_character_is_written_out():
    turns = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F}
    for number in (*range(0x700), *range(0x2000, 0x2070), *range(0xD7F0, 0xE010)):
        char = chr(number)
        controls = unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char not in "\t\n"
        shown = printable(f"a{char}b")
        assert (shown == f"a{char}b") == (not controls and number not in turns)
    assert printable("Müller, 心房颤动\t1\n") == "Müller, 心房颤动\t1\n"


def test_streams_write_texts_out_and_keep_the_rest():
    below = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = PrintableStream(below)
    print(f"ü{HOSTILE}", file=stream)
    stream.writelines(["a\n", "\r"])
    stream.flush()
    text = below.buffer.getvalue().decode("ascii")
    assert is_harmless(text)
    assert text.startswith("\\xfc\\x1b]0;owned\\x07")
    assert stream.encoding == "ascii"


def test_bars_may_return_to_the_start_of_their_line_and_nothing_else_may():
    below = io.StringIO()
    stream = PrintableStream(below, has_bars=True)
    for text in (
        "\rbar 1",
        "",
        "\rbar\r 2",
        "\r",
        "\n",
        "\rx\n",
        "id ",
        "\rhidden",
        "\n",
        "\n\r\n",
    ):
        stream.write(text)
    assert below.getvalue() == "\rbar 1\rbar\\r 2\r\n\rx\nid \\rhidden\n\n\\r\n"
    plain = PrintableStream(io.StringIO())
    plain.write("\rbar")
    assert plain.getvalue() == "\\rbar"


def test_what_commands_print_is_filtered_once_and_only_meanwhile(capsys):
    before = sys.stdout, sys.stderr

    def action() -> int:
        with printable_output():
            print(HOSTILE)
            print(HOSTILE, file=sys.stderr)
        list(track(range(3), 3, HOSTILE, "bar"))
        raise RecordError(f"record {HOSTILE} is odd")

    assert run_explained("test", action) == 1
    assert (sys.stdout, sys.stderr) == before
    printed = capsys.readouterr()
    assert is_harmless(printed.out)
    assert is_harmless(printed.err.replace("\r", "\n").replace("█", "#"))
    assert printed.err.endswith(f"test: record {printable(HOSTILE)} is odd\n")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (EcgError("what, and what to do"), 1, "what, and what to do"),
        (Interrupted("3 merges are kept"), 130, "3 merges are kept"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again"),
        (MemoryError(), 1, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 1, "x: No space left.*free some"),
        (OSError(errno.EFBIG, "File too large"), 1, "File too large; free some space"),
        (PermissionError(errno.EACCES, "Permission denied", b"x\xff"), 1, "x.*check the perm"),
        (OSError(errno.EMFILE, "Too many open files", "x"), 1, "Too many open files.*ulimit -n"),
        (ImportError("libx.so: Too many open files"), 1, "ulimit -n"),
        (OSError(errno.EIO, "Input/output error", "x"), 1, "x: Input/output error; check the path"),
    ],
)
def test_what_ends_a_command_is_one_line(capsys, error, status, message):
    def action() -> int:
        raise error

    assert run_explained("ecg-fairseq test", action) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("ecg-fairseq test: ")
    assert re.search(message, printed.err)


def test_a_file_that_lacked_a_number_is_not_called_damaged(capsys):
    def action() -> int:
        try:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "x.npy")
        except OSError as error:
            raise EcgError("x.npy is damaged; make it anew") from error

    assert run_explained("x", action) == 1
    said = capsys.readouterr().err
    assert "ulimit -n" in said
    assert "damaged" not in said


def test_debug_shows_the_traceback(capsys):
    def action() -> int:
        raise EcgError("what")

    assert run_explained("x", action, is_debug=True) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_is_not_taken_for_the_system():
    with pytest.raises(KeyError), printable_output():
        run_explained("x", lambda: {}["a"])
    hidden = KeyError("a")
    hidden.__context__ = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert system_sentence(hidden) is None
    hidden.__cause__ = hidden.__context__
    assert "No such file" in str(system_sentence(hidden))


def test_too_many_files_are_found_behind_other_errors():
    error = RecordError("x.hea cannot be read")
    assert not is_out_of_files(error)
    error.__context__ = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    assert is_out_of_files(error)


def test_causes_that_run_in_a_circle_come_once():
    inner, outer = ValueError("inner"), RecordError("outer")
    inner.__context__, outer.__cause__ = outer, inner
    assert list(causes(outer, are_implied=True)) == [outer, inner]
    assert not is_out_of_files(outer)


def test_ids_and_file_names_reach_the_terminal_written_out(tmp_path):
    """Through a whole command: a table's cell, a path that is no UTF-8, an unknown verb."""
    folder = os.fsencode(tmp_path) + b"/\x1b[31m\xff"
    for words in ([b"inspect", folder], [b"plot", folder, b"--out", b"x.png"], [b"\x1b[31m"]):
        done = subprocess.run(
            [sys.executable, "-m", "ecg_fairseq.cli.main", *words], capture_output=True, check=False
        )
        assert done.returncode in (1, 2)
        assert b"\x1b" not in done.stderr + done.stdout
        assert b"Traceback" not in done.stderr


START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from ecg_fairseq.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def interrupted(words: list[str], is_begun) -> tuple[int, str]:
    """Run a verb, press Ctrl-C once it has begun; return its exit status and stderr."""
    child = subprocess.Popen(
        [sys.executable, "-c", START, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not is_begun(child) and child.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)
    return child.returncode, said


def test_ctrl_c_is_one_line_and_130(tmp_path):
    EcgTokenizer([[97, 97]]).save(tmp_path / "t.json")

    def is_begun(child: subprocess.Popen) -> bool:
        child.stdin.write("aaab\n" * 20_000)  # more than a pipe holds: it is being read
        child.stdin.flush()
        return True

    words = ["tokenizer", "encode", "--tokenizer", str(tmp_path / "t.json")]
    status, said = interrupted(words, is_begun)
    assert (status, said) == (
        130, "ecg-fairseq tokenizer: interrupted; run the same command again\n"
    )  # fmt: skip


@pytest.mark.slow
def test_ctrl_c_ends_workers_without_a_word_and_keeps_what_is_complete(tmp_path):
    words = ["simulate", "--out", str(tmp_path / "c"), "--patients", "40", "--seed", "1"]
    assert main(words) == 0
    words = ["prepare", "ptb_xl", str(tmp_path / "c"), "--recipe", "ecg_byte", "--workers", "2"]
    words += ["--out", str(tmp_path / "m")]
    status, said = interrupted(words, lambda _: any(tmp_path.glob("m/store/*.npy")))
    lines = [line for line in said.splitlines() if not line.startswith("{")]
    assert (status, len(lines)) == (130, 1), said
    assert main(words) == 0
    assert main([*words[:-1], str(tmp_path / "whole")]) == 0
    for path in sorted((tmp_path / "whole/store").iterdir()):
        assert (tmp_path / "m/store" / path.name).read_bytes() == path.read_bytes()
    assert not any(tmp_path.glob("m/store/.*"))


def test_main_knows_no_verb(capsys):
    with pytest.raises(SystemExit) as end:
        main(["nothing"])
    assert end.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
