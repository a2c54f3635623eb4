//! The live pairs: exact counts, places, and a heap that is refreshed lazily.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use crate::places::{PlaceList, Places};

struct Pair {
    count: u64,
    places: PlaceList,
}

/// Pairs by code (left id in the upper half), best first: highest count, then smallest code.
pub struct PairHeap {
    min_count: u64,
    pairs: FxHashMap<u64, Pair>,
    heap: BinaryHeap<(u64, Reverse<u64>)>,
    pub places: Places,
}

/// Code of a pair; codes compare as (left, right) do.
#[inline]
pub fn code(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl PairHeap {
    /// An empty table that forgets pairs below `min_count` (at least 1): counts only fall.
    pub fn new(min_count: u64) -> Self {
        Self {
            min_count: min_count.max(1),
            pairs: FxHashMap::default(),
            heap: BinaryHeap::new(),
            places: Places::default(),
        }
    }

    /// Add a pair that was not there, with its places in order (some may be out of date).
    pub fn add(&mut self, code: u64, count: u64, places: &[u32]) {
        if count >= self.min_count {
            let places = self.places.store(places);
            self.pairs.insert(code, Pair { count, places });
            self.heap.push((count, Reverse(code)));
        }
    }

    /// Lower the count of a pair; unknown ones (merged or forgotten) are ignored.
    pub fn lower(&mut self, code: u64, by: u64) {
        let Some(pair) = self.pairs.get_mut(&code) else {
            return;
        };
        pair.count = pair.count.saturating_sub(by);
        if pair.count < self.min_count {
            let places = pair.places;
            self.pairs.remove(&code);
            self.places.free(places);
        }
    }

    /// The best pair and its count. Counts of known pairs only fall, so an entry that is up to date
    /// at the top of the heap is the best one.
    pub fn best(&mut self) -> Option<(u64, u64)> {
        loop {
            let mut top = self.heap.peek_mut()?;
            let (count, Reverse(code)) = *top;
            match self.pairs.get(&code) {
                Some(pair) if pair.count == count => return Some((code, count)),
                Some(pair) => top.0 = pair.count,
                None => {
                    PeekMut::pop(top);
                }
            }
        }
    }

    /// Remove a pair and return where it stood; give the list back with `places.free`.
    pub fn take(&mut self, code: u64) -> Option<PlaceList> {
        self.pairs.remove(&code).map(|pair| pair.places)
    }
}
