"""Which rows of a recipe's segments a network was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_fairseq.errors import CheckpointError, RecordError
from ecg_fairseq.signal.leads import CANONICAL_LEADS, leads_of_setting

# Settings of fairseq-signals' tasks that change the signal itself, and are not repeated here.
_UNSUPPORTED = ("normalize", "filter")


@dataclass(frozen=True)
class NetworkInput:
    """Choice of leads, as the task of a checkpoint says.

    Attributes:
        leads: to load, in order; None for all that are there.
        pads_leads: whether there are always the 12 canonical rows, zeros where a lead is not
            loaded (``enable_padding_leads``).
        num_rows: rows that the network reads.
    """

    leads: tuple[str, ...] | None
    pads_leads: bool
    num_rows: int

    @classmethod
    def of_task(cls, task: Mapping[str, Any], num_rows: int, path: str) -> "NetworkInput":
        """Return what the settings of a checkpoint's task say.

        Args:
            task: its settings; empty where unknown.
            num_rows: leads that the network reads.
            path: of the checkpoint, for messages.

        Raises:
            CheckpointError: a setting cannot be repeated for single recordings.
        """
        for name in _UNSUPPORTED:
            if task.get(name):
                raise CheckpointError(
                    f"{path} was trained with task.{name}=true, which changes the signals after "
                    "the recipe and is not known to this command; retrain without it"
                )
        asked = task.get("leads_to_load")
        try:
            leads = None if asked is None else leads_of_setting(asked)
        except (RecordError, TypeError) as error:
            raise CheckpointError(f"{path}: task.leads_to_load: {error}") from error
        return cls(leads, bool(task.get("enable_padding_leads")), num_rows)

    def rows(self, stored: tuple[str, ...]) -> tuple[str, ...]:
        """Return the lead of each row that the network reads, for segments with these leads.

        Raises:
            RecordError: a lead is missing, or there are more or fewer than the network reads.
        """
        wanted = stored if self.leads is None else self.leads
        missing = [lead for lead in wanted if lead not in stored]
        if missing:
            raise RecordError(
                f"lead {', '.join(missing)} is missing: there are {', '.join(stored)}"
            )
        rows = CANONICAL_LEADS if self.pads_leads else wanted
        if len(rows) != self.num_rows:
            raise RecordError(
                f"the network reads {self.num_rows} leads, but there are {len(rows)}: "
                f"{', '.join(rows)}; use the leads that it was trained with"
            )
        return rows

    def chosen(self, segments: np.ndarray, stored: tuple[str, ...]) -> np.ndarray:
        """Return float32 (N, L, T) for the network.

        Args:
            segments: (N, leads, T).
            stored: names of their leads.

        Raises:
            RecordError: see :meth:`rows`.
        """
        rows = self.rows(stored)
        loaded = set(stored if self.leads is None else self.leads)
        if rows == stored and loaded.issuperset(rows):
            return np.ascontiguousarray(segments, dtype=np.float32)
        chosen = np.zeros((len(segments), len(rows), segments.shape[2]), dtype=np.float32)
        for number, lead in enumerate(rows):
            if lead in loaded:
                chosen[:, number] = segments[:, stored.index(lead)]
        return chosen
