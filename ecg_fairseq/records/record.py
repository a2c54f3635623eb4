"""One recording in memory, the same whatever file it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.leads import named_leads, select_leads


@dataclass(frozen=True)
class EcgRecord:
    """A recording: float32 (L, T) in mV with canonical lead names.

    NaN and Inf samples are kept here as found; recipes refuse them.

    Attributes:
        derived: leads that the file did not hold and that were computed from its limb leads.
        notes: what was done to the file's content or assumed about it, a sentence each.

    Raises:
        RecordError: shape, leads and rate contradict each other.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    fs_hz: float
    record_id: str
    patient_id: str
    source: str = ""
    derived: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.leads):
            raise RecordError(
                f"record {self.record_id}: signal of shape {self.signal.shape} with "
                f"{len(self.leads)} lead names; expected (leads, samples), one name per row"
            )
        if self.signal.size == 0:
            raise RecordError(
                f"record {self.record_id}: the signal is empty (shape {self.signal.shape}); "
                "leave the record out or copy the file again"
            )
        if len(set(self.leads)) != len(self.leads):
            raise RecordError(
                f"record {self.record_id}: a lead occurs twice in {', '.join(self.leads)}; "
                "every lead must occur once"
            )
        if not (np.isfinite(self.fs_hz) and self.fs_hz > 0):
            raise RecordError(
                f"record {self.record_id}: sampling rate {self.fs_hz}; expected a number above 0 Hz"
            )

    @property
    def num_samples(self) -> int:
        """Samples per lead."""
        return int(self.signal.shape[1])

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.num_samples / self.fs_hz

    def select(self, leads: Sequence[str]) -> "EcgRecord":
        """Return the record with only ``leads``, in that order; RecordError names missing ones."""
        try:
            signal = select_leads(self.signal, self.leads, leads)
        except RecordError as error:
            raise RecordError(f"record {self.record_id}: {error}") from error
        derived = tuple(lead for lead in self.derived if lead in leads)
        return replace(self, signal=signal, leads=tuple(leads), derived=derived)


@dataclass(frozen=True)
class Origin:
    """Whose recording a file is: ids, the file, and what its reader has to say about it."""

    record_id: str
    patient_id: str
    source: str = ""
    notes: tuple[str, ...] = ()


def named_record(
    signal: np.ndarray, names: Sequence[str], fs_hz: float, origin: Origin
) -> EcgRecord:
    """Return the recording of a file whose rows have the file's own names.

    All readers end here, so that all turn inverted leads back and complete eight leads to twelve.

    Args:
        signal: (L, T) in mV, floating point.
        names: as found in the file.

    Raises:
        RecordError: names and rows do not fit together, see :func:`named_leads`.
    """
    named = named_leads(signal, names)
    return EcgRecord(
        np.ascontiguousarray(named.signal, dtype=np.float32),
        named.leads,
        fs_hz,
        origin.record_id,
        origin.patient_id,
        origin.source,
        named.derived,
        (*origin.notes, *named.notes()),
    )
