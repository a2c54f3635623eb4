"""fairseq tasks. Importing this package also registers the criterions."""

from ecg_fairseq import criterions
from ecg_fairseq.compat import pass_over_retired_settings

__all__ = ["criterions"]

pass_over_retired_settings()
