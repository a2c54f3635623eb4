//! Exact incremental training: linear in the text, nearly independent of the number of merges.
//!
//! The text is one array. A token of n symbols occupies n cells of which the first and the last hold
//! its id, so both neighbours of a token are found by arithmetic in the same cache lines: no links.
//! Every pair has an exact count and a list of the places where it stood when it arose; places that
//! another merge has changed since are recognised by the ids found there and skipped. A merge visits
//! each place of its pair once, and new pairs always hold the new id, so their lists come out
//! sorted. Total work: one visit per place ever listed, plus a heap of pairs refreshed lazily.

use crate::encode::Encoder;
use crate::merges::{BpeError, Merges, MAX_MERGES, MAX_TOKEN_SYMBOLS, MAX_TOTAL_SYMBOLS};
use crate::neighbours::Neighbours;
use crate::places::PlaceList;
use crate::table::{code, PairHeap};
use crate::text::{Cell, Text};

/// What to train.
#[derive(Debug, Clone)]
pub struct Options {
    /// Merges wanted, those of `prefix` included.
    pub num_merges: usize,
    /// Stop below this count.
    pub min_count: u64,
    /// 0: one per core. The result is the same for any number.
    pub num_threads: usize,
    /// Merges of an interrupted run to go on from.
    pub prefix: Vec<(u32, u32)>,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    NumMerges,
    /// No pair reaches the minimum count (or none is left at all).
    MinCount,
    /// The next token would be longer than tokens may be, or all together.
    TokenLength,
}

impl Stop {
    /// The name used in tokenizer files.
    pub fn name(self) -> &'static str {
        match self {
            Stop::NumMerges => "num_merges",
            Stop::MinCount => "min_count",
            Stop::TokenLength => "token_length",
        }
    }
}

/// A training run over cells of type `C` (16 bits where the ids fit, else 32).
pub struct Trainer<C: Cell> {
    options: Options,
    text: Text<C>,
    merges: Merges,
    counts: Vec<u64>,
    pairs: PairHeap,
    is_indexed: bool,
    left: Neighbours,
    right: Neighbours,
    /// Places where two new tokens came to stand side by side.
    joined: Vec<u32>,
}

impl<C: Cell> Trainer<C> {
    /// Start with an empty text.
    pub fn new(options: Options) -> Result<Self, BpeError> {
        let given = options.prefix.len();
        if options.num_merges > MAX_MERGES || given > options.num_merges {
            return Err(BpeError(format!(
                "{} merges wanted, {given} given to go on from; expected {given}..{MAX_MERGES}",
                options.num_merges,
            )));
        }
        let merges = Merges::new(options.prefix.clone())?;
        let encoder = if given > 0 {
            Some(Encoder::new(&merges, "bpe")?)
        } else {
            None
        };
        Ok(Self {
            text: Text::new(encoder),
            merges,
            counts: vec![],
            pairs: PairHeap::new(options.min_count),
            is_indexed: false,
            left: Neighbours::default(),
            right: Neighbours::default(),
            joined: vec![],
            options,
        })
    }

    /// The text, to add sequences to before the first [`Trainer::step`].
    pub fn text(&mut self) -> Result<&mut Text<C>, BpeError> {
        if self.is_indexed {
            return Err(BpeError(
                "sequences cannot be added after training has begun".into(),
            ));
        }
        Ok(&mut self.text)
    }

    /// Symbols and sequences of the text.
    pub fn size(&self) -> (u64, u64) {
        self.text.size()
    }

    /// All merges so far, those of the prefix included.
    pub fn merges(&self) -> &[(u32, u32)] {
        &self.merges.pairs
    }

    /// The count of each merge of this run when it was chosen.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Do one merge; `Some` when there is nothing left to do.
    pub fn step(&mut self) -> Result<Option<Stop>, BpeError> {
        if !self.is_indexed {
            self.index()?;
        }
        if self.merges.pairs.len() >= self.options.num_merges {
            return Ok(Some(Stop::NumMerges));
        }
        let Some((best, count)) = self.pairs.best() else {
            return Ok(Some(Stop::MinCount));
        };
        let (left, right) = ((best >> 32) as u32, best as u32);
        let length = self.merges.lengths[left as usize] + self.merges.lengths[right as usize];
        if length as usize > MAX_TOKEN_SYMBOLS
            || self.merges.total + length as usize > MAX_TOTAL_SYMBOLS
        {
            return Ok(Some(Stop::TokenLength));
        }
        let Some(places) = self.pairs.take(best) else {
            return Ok(Some(Stop::MinCount));
        };
        self.merge(left, right, places);
        self.merges.push((left, right), length);
        self.counts.push(count);
        Ok(None)
    }

    /// Count and list the pairs of the text.
    fn index(&mut self) -> Result<(), BpeError> {
        self.text.finish()?;
        self.is_indexed = true;
        if self.merges.pairs.len() < self.options.num_merges {
            for (code, parts) in self
                .text
                .pairs(&self.merges.lengths, self.options.num_threads)
            {
                let places = parts.concat();
                drop(parts);
                self.pairs.add(code, places.len() as u64, &places);
            }
        }
        Ok(())
    }

    /// Replace a pair everywhere and bring the counts and lists of its neighbours up to date.
    fn merge(&mut self, left: u32, right: u32, places: PlaceList) {
        let new = self.merges.num_ids() as u32;
        self.replace(left, right, new, &places);
        self.pairs.places.free(places);
        self.left.group();
        self.right.group();
        for (id, places) in self.left.groups() {
            let count = places.len() as u64;
            self.pairs.lower(code(id, left), count);
            self.pairs.add(code(id, new), count, places);
        }
        let joined = self.joined.len() as u64;
        for (id, places) in self.right.groups() {
            let count = places.len() as u64;
            self.pairs.lower(code(right, id), count);
            // where new tokens came to stand side by side, (new, left) did not last
            let lasting = if id == left { count - joined } else { count };
            self.pairs.add(code(new, id), lasting, places);
        }
        self.pairs.add(code(new, new), joined, &self.joined);
    }

    /// Rewrite every place of (left, right) as `new` and note the neighbours.
    fn replace(&mut self, left: u32, right: u32, new: u32, places: &PlaceList) {
        self.left.reset(new as usize);
        self.right.reset(new as usize);
        self.joined.clear();
        let lengths = &self.merges.lengths;
        let left_length = lengths[left as usize] as usize;
        let right_length = lengths[right as usize] as usize;
        let places = self.pairs.places.get(places);
        let cells = &mut self.text.cells[..];
        for (k, &place) in places.iter().enumerate() {
            if let Some(&ahead) = places.get(k + PREFETCH_DISTANCE) {
                prefetch(cells, ahead as usize);
            }
            let start = place as usize;
            let seam = start + left_length;
            if cells[start].id() != left || cells[seam].id() != right {
                continue; // another merge took one of the halves
            }
            let end = seam + right_length;
            let (before, after) = (cells[start - 1].id(), cells[end].id());
            cells[start] = C::from_id(new);
            cells[seam] = C::from_id(new); // no list finds the old right half here any more
            cells[end - 1] = C::from_id(new);
            if before == new {
                self.joined
                    .push((start - left_length - right_length) as u32);
            } else if before != C::WALL_ID {
                self.left.add(before, place - lengths[before as usize]);
            }
            if after != C::WALL_ID {
                self.right.add(after, place);
            }
        }
    }
}

const PREFETCH_DISTANCE: usize = 24;

/// Ask for a cell that will be read soon; the places of a pair are far apart in a long text.
#[inline]
fn prefetch<C>(cells: &[C], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if index < cells.len() {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        // SAFETY: the address is inside the slice, and a prefetch changes nothing
        unsafe { _mm_prefetch(cells.as_ptr().add(index).cast(), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (cells, index);
}
