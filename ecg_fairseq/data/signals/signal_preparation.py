"""From a stored segment to the rows a network sees: choice of leads, normalisation, checks."""

from pathlib import Path

import numpy as np

from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.errors import EcgError, RecordError
from ecg_fairseq.records.segments.segment_list import StoredSegment
from ecg_fairseq.signal.augmentations import Chain, RandomLeadMasking, ThreeKg, TwoViews
from ecg_fairseq.signal.augmentations.noise import AdditiveNoise
from ecg_fairseq.signal.leads import CANONICAL_LEADS

LAYER_NORM_EPSILON = 1e-5


class Preparation:
    """Applies :class:`SignalOptions` to single segments.

    Args:
        options: the settings; validated here.
        stored_leads: leads of the first segment, which decide what all segments must yield.
        is_finite: whether the signals are known to hold no NaN and no Inf.
    """

    def __init__(
        self, options: SignalOptions, stored_leads: tuple[str, ...], is_finite: bool = False
    ) -> None:
        options.validate()
        self.options = options
        self.is_finite = is_finite
        self.chosen = options.lead_names() or stored_leads
        self.leads = CANONICAL_LEADS if options.enable_padding_leads else self.chosen
        self._rows: dict[tuple[str, ...], np.ndarray | None] = {}
        self._places = self._canonical_places() if options.enable_padding_leads else None
        self._mean, self._deviation = self._statistics()
        self._rows_of(stored_leads)

    def __call__(self, segment: StoredSegment, where: str) -> np.ndarray:
        """Return float32 (L, T); a view of the stored signal where nothing is changed.

        Args:
            segment: as read.
            where: names the segment in messages.

        Raises:
            RecordError: another rate than asked for, or a lead is missing, NaN or Inf.
        """
        self._check_rate(segment.fs_hz, where)
        try:
            rows = self._rows_of(segment.leads)
        except RecordError as error:
            raise RecordError(f"{where}: {error}") from None
        signal = segment.signal if rows is None else segment.signal[rows]
        if not self.is_finite and not np.isfinite(signal).all():
            self._refuse_missing_values(signal, where)
        if self._mean is not None:
            signal = (signal - self._mean) / self._deviation
        if self._places is None:
            return signal
        padded = np.zeros((len(CANONICAL_LEADS), signal.shape[1]), dtype=np.float32)
        padded[self._places] = signal
        return padded

    def scaling(self, segment: StoredSegment) -> np.ndarray | None:
        """Return float32 (L, 2), mean and deviation in mV of the rows that a segment gives.

        None where they are not known, or other statistics were applied. Filled rows have zeros.
        """
        if segment.scaling is None or self._mean is not None:
            return None
        rows = self._rows_of(segment.leads)
        chosen = segment.scaling if rows is None else segment.scaling[rows]
        if self._places is None:
            return chosen
        padded = np.zeros((len(CANONICAL_LEADS), 2), dtype=np.float32)
        padded[self._places] = chosen
        return padded

    def _check_rate(self, fs_hz: float, where: str) -> None:
        wanted = self.options.sample_rate
        if wanted and fs_hz != wanted:
            raise RecordError(
                f"{where} has {fs_hz:g} Hz, task.sample_rate={wanted:g}; make the manifest with a "
                "recipe of that rate, or set task.sample_rate to what the data have"
            )

    def _refuse_missing_values(self, signal: np.ndarray, where: str) -> None:
        bad = ~np.isfinite(signal).all(axis=1)
        names = [lead for lead, is_bad in zip(self.chosen, bad, strict=True) if is_bad]
        raise RecordError(
            f"{where}: lead {', '.join(names)} holds NaN or Inf (fairseq-signals marks absent "
            "leads so); leave such recordings out of the split (its column nan_any), or choose "
            "other leads with task.leads_to_load"
        )

    def _rows_of(self, stored: tuple[str, ...]) -> np.ndarray | None:
        """Return which rows of a segment to take; None where they stand there already."""
        if stored not in self._rows:
            missing = [lead for lead in self.chosen if lead not in stored]
            if missing:
                raise RecordError(
                    f"lead {', '.join(missing)} is missing: stored are {', '.join(stored)}; set "
                    "task.leads_to_load to leads that are there"
                )
            places = [stored.index(lead) for lead in self.chosen]
            is_same = self.chosen == stored
            self._rows[stored] = None if is_same else np.array(places, dtype=np.int64)
        return self._rows[stored]

    def _canonical_places(self) -> np.ndarray:
        others = [lead for lead in self.chosen if lead not in CANONICAL_LEADS]
        if others:
            raise EcgError(
                f"task.enable_padding_leads=true puts leads into the 12 canonical rows, and "
                f"{', '.join(others)} has none; choose others with task.leads_to_load"
            )
        return np.array([CANONICAL_LEADS.index(lead) for lead in self.chosen], dtype=np.int64)

    def _statistics(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return mean and deviation of the chosen leads, float32 (L, 1), or None twice."""
        options = self.options
        if not options.normalize:
            return None, None
        if options.mean_path is None or options.std_path is None:
            raise EcgError(
                "task.normalize=true needs task.mean_path and task.std_path: text files with one "
                "number for each of the 12 leads, one a line"
            )
        mean = _numbers_of_leads(Path(options.mean_path), "task.mean_path")
        deviation = _numbers_of_leads(Path(options.std_path), "task.std_path")
        if (deviation <= 0).any():
            raise EcgError(f"task.std_path={options.std_path}: every deviation must be above 0")
        others = [lead for lead in self.chosen if lead not in CANONICAL_LEADS]
        if others:
            raise EcgError(f"task.normalize=true knows no mean of lead {', '.join(others)}")
        rows = [CANONICAL_LEADS.index(lead) for lead in self.chosen]
        return mean[rows, None], deviation[rows, None]


def check_augmentation(augmentation: object, leads: tuple[str, ...]) -> None:
    """Refuse an augmentation that needs the 12 leads in canonical order where they are not.

    Raises:
        EcgError: names the augmentation and what to set.
    """
    if isinstance(augmentation, Chain):
        for link in augmentation.links:
            check_augmentation(link, leads)
    elif isinstance(augmentation, TwoViews):
        check_augmentation(augmentation.augmentation, leads)
    is_noise = isinstance(augmentation, AdditiveNoise) and augmentation.dependency != "none"
    is_mask = isinstance(augmentation, RandomLeadMasking) and augmentation.selection != "random"
    if (is_noise or is_mask or isinstance(augmentation, ThreeKg)) and leads != CANONICAL_LEADS:
        way_out = " or task.dependency=false" if is_noise else ""
        raise EcgError(
            f"{type(augmentation).__name__} needs the 12 leads in the order "
            f"{' '.join(CANONICAL_LEADS)}; the data give {', '.join(leads)}: load all leads "
            f"(task.leads_to_load=null), set task.enable_padding_leads=true{way_out}"
        )


def _numbers_of_leads(path: Path, setting: str) -> np.ndarray:
    """Return the 12 numbers of a text file, float32 (12,)."""
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise EcgError(f"{setting}={path} cannot be read as numbers: {error}") from None
    if values.shape != (len(CANONICAL_LEADS),) or not np.isfinite(values).all():
        raise EcgError(
            f"{setting}={path} holds {values.size} values; expected one finite number for each of "
            f"the {len(CANONICAL_LEADS)} leads I ... V6, one a line"
        )
    return values.astype(np.float32)


def normalized_views(views: np.ndarray) -> np.ndarray:
    """Return each view less its mean, divided by its deviation, over all leads and samples.

    As the layer normalisation that fairseq-signals applies to the views of SimCLR and 3KG.

    Args:
        views: (V, L, T).
    """
    mean = views.mean(axis=(1, 2), keepdims=True)
    variance = views.var(axis=(1, 2), keepdims=True)
    return (views - mean) / np.sqrt(variance + LAYER_NORM_EPSILON)
