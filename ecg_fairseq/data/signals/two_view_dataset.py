"""Two random views of each segment, for SimCLR and 3KG (fact sheet ecg-fm 2.3)."""

from dataclasses import replace
from typing import Any

from ecg_fairseq.data.signals.signal_batch import Sample
from ecg_fairseq.data.signals.signal_dataset import SignalDataset, identity_of
from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.data.signals.signal_preparation import check_augmentation, normalized_views
from ecg_fairseq.records.segments.segment_list import SegmentList
from ecg_fairseq.signal.augmentations import ThreeKg, TwoViews


class TwoViewDataset(SignalDataset):
    """One segment an item; its two views stand in neighbouring rows of a batch.

    Args:
        segments: of a split.
        options: settings; ``normalize`` normalises each view over all its leads and samples.
        views: ``TwoViews`` for SimCLR, ``ThreeKg`` for 3KG.
        seed: of order, crops and views.
        is_training: see :class:`SignalDataset`; the views are drawn in any case.

    Batch: as in :class:`SignalDataset`; ``segment`` is the view, 0 or 1.
    """

    rows_per_item = 2
    segments: SegmentList

    def __init__(
        self,
        segments: SegmentList,
        options: SignalOptions,
        views: TwoViews | ThreeKg,
        seed: int = 1,
        is_training: bool = False,
    ) -> None:
        super().__init__(segments, replace(options, normalize=False), None, seed, is_training)
        check_augmentation(views, self.leads)
        self.views = views
        self.normalizes = options.normalize

    def __getitem__(self, index: int) -> Sample:
        place = int(self.kept[index])
        segment = self.segments.read(place)
        signal = self.prepare(segment, self._where(place))
        rng = self.generator(place)
        crops = rng.random(2).tolist()
        drawn: Any = self.views.draw(rng, signal.shape)
        views = self.views.apply(signal, drawn)
        if self.normalizes:
            views = normalized_views(views)
        return Sample(place, list(views), crops, identity_of(segment, place))
