"""fairseq tasks. Importing this package also registers the criterions."""

from ecg_fairseq import criterions

__all__ = ["criterions"]
