"""Settings on a training command's line whose values may hold any character, such as paths."""

import os
import re
from pathlib import Path

from ecg_fairseq.errors import EcgError

_BACKSLASHES_BEFORE_QUOTE = re.compile(r"(\\*)'")
_BACKSLASHES_AT_END = re.compile(r"(\\+)$")
# What hydra takes as it stands, whatever the setting.
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


def override(name: str, value: object) -> str:
    r"""Return ``name=value`` as hydra reads it; quoted only where needed.

    >>> override("task.data", "/data/ecg")
    'task.data=/data/ecg'
    >>> print(override("task.data", "/data/Bob's, 2nd"))
    task.data='/data/Bob\'s, 2nd'
    """
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"{name}={text}"
    text = _BACKSLASHES_BEFORE_QUOTE.sub(lambda match: match[1] * 2 + r"\'", text)
    text = _BACKSLASHES_AT_END.sub(lambda match: match[1] * 2, text)
    return f"{name}='{text}'"


def check_path(path: Path) -> None:
    """Refuse a folder whose name no training or answering command can be told.

    Raises:
        EcgError: it holds ``${``, which settings read as a reference, or what separates paths.
    """
    for characters in ("${", os.pathsep):
        if characters in str(path):
            raise EcgError(
                f"{path} holds {characters!r}, which fairseq does not take as part of a path; "
                "choose another --out"
            )
