"""Errors that users see: what was given, what was expected, what to do next.

Every failure that a user can cause raises one of these; the console prints the message in one line.
"""


class EcgError(Exception):
    """Base of all errors that are explained to the user instead of shown as a traceback."""


def first_line(error: BaseException) -> str:
    """Return the first line of another library's message, or its class where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


class Interrupted(EcgError):
    """Ctrl-C ended a command that has something to say about what it kept."""


class RecordError(EcgError):
    """A recording cannot be read, or is not what a recipe needs."""


class RecipeError(EcgError):
    """A preprocessing recipe is unknown, contradictory, or does not match the data."""


class ManifestError(EcgError):
    """A manifest folder is missing, damaged, leaking, or does not match its partners."""


class TokenizerError(EcgError):
    """A tokenizer file or its input is invalid."""


class CheckpointError(EcgError):
    """A checkpoint is damaged, of another kind, or does not match tokenizer, recipe or split."""


class MissingDependencyError(EcgError):
    """An optional package is needed for what was asked."""


class ScoreError(EcgError):
    """Answers cannot be scored: a log is damaged, incomplete, or of another manifest."""


class LabelerError(EcgError):
    """The tables of the report labeler are damaged, or its input cannot be read."""
