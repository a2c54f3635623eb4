"""What fairseq asks of every dataset about sizes and batches, answered once."""

import numpy as np
from fairseq.data import FairseqDataset


class SizedDataset(FairseqDataset):
    """A dataset that knows the size of every item before it loads any.

    A subclass sets ``sizes`` int64 (N,): tokens of a sequence, or samples of a signal.

    Attributes:
        rows_per_item: rows of a batch that one item fills.
    """

    sizes: np.ndarray
    rows_per_item = 1

    def __len__(self) -> int:
        return len(self.sizes)

    def num_tokens(self, index: int) -> int:
        """Size of one item over all its rows."""
        return int(self.sizes[index]) * self.rows_per_item

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """Sizes of several items over all their rows."""
        return self.sizes[indices] * self.rows_per_item

    def size(self, index: int) -> int:
        """Size of one row of an item, for fairseq's length filter."""
        return int(self.sizes[index])

    def batch_by_size(
        self,
        indices: np.ndarray,
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> list[np.ndarray]:
        """Cut ordered indices into batches that hold every index.

        fairseq's own default, ``required_batch_size_multiple=8``, drops the last items where they
        do not fill a multiple of 8 (seen with fairseq-fixed 0.12.3.1: 5 items, no batch), so that
        setting is not followed.
        """
        return self.arranged(super().batch_by_size(indices, max_tokens, max_sentences, 1))

    def arranged(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        """Return batches as the training needs them; here as they are."""
        return batches

    @property
    def supports_prefetch(self) -> bool:
        """Nothing is fetched in advance: what items are made of is memory-mapped."""
        return False
