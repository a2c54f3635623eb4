"""The files that ``ecg-fairseq score`` writes, none of them over what is of another run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.files import write_json

if TYPE_CHECKING:
    from ecg_fairseq.evaluation.answers.predictions import Prediction

_ADVICE = "name another folder with --out, or move the file away"


@dataclass(frozen=True)
class ScoreFiles:
    """Where answers and scores go."""

    predictions: Path
    blind: Path
    scores: Path

    @classmethod
    def of(cls, answers: Path, out: Path | None) -> "ScoreFiles":
        """Return the files in ``out``, or beside the answers.

        Beside a predictions file of another name than fairseq-generate's they begin with that name,
        since the folder may hold those of other models.
        """
        from ecg_fairseq.evaluation.answers.prediction_file import holds_predictions
        from ecg_fairseq.evaluation.answers.predictions import PREDICTIONS_FILE

        folder, start = answers.parent if out is None else out, ""
        if out is None and answers.name != PREDICTIONS_FILE and holds_predictions(answers):
            start = f"{answers.stem}_"
        return cls(
            folder / f"{start}{PREDICTIONS_FILE}",
            folder / f"{start}blind_{PREDICTIONS_FILE}",
            folder / f"{start}scores.json",
        )

    def refuse_others(
        self, predictions: "Sequence[Prediction]", blind: "Sequence[Prediction] | None"
    ) -> None:
        """Check that no file of other answers is in the place of these.

        Raises:
            ScoreError: one is; nothing was written.
        """
        for path, given in ((self.predictions, predictions), (self.blind, blind)):
            if given is not None and path.exists() and not _holds(path, given):
                raise ScoreError(f"{path} holds other answers than these; {_ADVICE}")
        if self.scores.exists() and not self.predictions.exists():
            raise ScoreError(f"{self.scores} is not of these answers; {_ADVICE}")

    def write(
        self,
        predictions: "Sequence[Prediction]",
        blind: "Sequence[Prediction] | None",
        scores: dict[str, Any],
    ) -> None:
        """Write what is not there, and the scores."""
        from ecg_fairseq.evaluation.answers.predictions import write_predictions

        for path, given in ((self.predictions, predictions), (self.blind, blind)):
            if given is not None and not path.exists():
                write_predictions(path, given)
        write_json(self.scores, scores)


def _holds(path: Path, given: "Sequence[Prediction]") -> bool:
    """Say whether a file holds these answers, in whatever order."""
    from ecg_fairseq.evaluation.answers.predictions import read_predictions

    try:
        found = read_predictions(path)
    except ScoreError:
        return False
    return {one.id: one for one in found} == {one.id: one for one in given}
