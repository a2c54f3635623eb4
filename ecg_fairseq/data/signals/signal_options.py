"""How loaded segments are prepared: leads, lengths, rate, normalisation, buckets.

The fields are those of fairseq-signals' tasks (fact sheet ecg-fm 2.1), with the same names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ecg_fairseq.errors import EcgError, RecordError
from ecg_fairseq.signal.leads import leads_of_setting


@dataclass(frozen=True)
class SignalOptions:
    """Settings of every dataset of signals.

    Attributes:
        leads_to_load: names or numbers (0 is I, 11 is V6), as a list or as the text of one:
            ``"[I, II, V2]"``, ``"0,1,7"``; None loads all.
        enable_padding: pad short segments with zeros, up to the longest of a batch, instead of
            cutting all to the shortest.
        enable_padding_leads: put leads into 12 rows in canonical order; absent ones are zeros.
        max_sample_size: longer segments are cut to this many samples, from a random start.
        min_sample_size: shorter segments are left out.
        sample_rate: refuse segments of another rate, in Hz; None or 0 takes any.
        normalize: subtract each lead's mean and divide by its deviation, both from text files.
            Two views of a segment (SimCLR, 3KG) are instead normalised over all of each view.
        mean_path: text file with the mean of each of the 12 leads, one a line.
        std_path: text file with the deviations.
        num_batch_buckets: pad batches to one of this many lengths; 0 to the longest segment.
    """

    leads_to_load: str | Sequence[str | int] | None = None
    enable_padding: bool = False
    enable_padding_leads: bool = False
    max_sample_size: int | None = None
    min_sample_size: int | None = None
    sample_rate: float | None = None
    normalize: bool = False
    mean_path: str | None = None
    std_path: str | None = None
    num_batch_buckets: int = 0

    def validate(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            EcgError: names the settings.
        """
        low, high = self.min_sample_size, self.max_sample_size
        if high is not None and high < 1:
            raise EcgError(f"task.max_sample_size={high}; expected at least one sample, or null")
        if low is not None and high is not None and low > high:
            raise EcgError(
                f"task.min_sample_size={low} is above task.max_sample_size={high}, to which "
                "segments are cut; lower the first or raise the second"
            )
        if self.num_batch_buckets < 0:
            raise EcgError(f"task.num_batch_buckets={self.num_batch_buckets}; expected 0 or more")
        if self.num_batch_buckets and not self.enable_padding:
            raise EcgError(
                f"task.num_batch_buckets={self.num_batch_buckets} pads batches to one of a few "
                "lengths; it needs task.enable_padding=true"
            )
        if self.sample_rate is not None and self.sample_rate < 0:
            raise EcgError(f"task.sample_rate={self.sample_rate}; expected Hz, or null for any")

    def lead_names(self) -> tuple[str, ...] | None:
        """Return the leads to load by canonical name; None for all that are stored.

        Raises:
            EcgError: a name or number is unknown, or a lead is asked for twice.
        """
        if self.leads_to_load is None:
            return None
        try:
            return leads_of_setting(self.leads_to_load)
        except RecordError as error:
            raise EcgError(f"task.leads_to_load: {error}; leave it null for all leads") from None
