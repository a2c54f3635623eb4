//! The training text: an array of cells with a wall before, between and behind the sequences.

use rustc_hash::FxHashMap;

use crate::encode::Encoder;
use crate::merges::BpeError;
use crate::pool;

/// Places are 32-bit.
const MAX_CELLS: usize = u32::MAX as usize;
/// Distance of the places from which threads may start reading.
const STRIDE: usize = 1 << 20;

/// A cell: the id of the token that begins or ends here, or a wall.
pub trait Cell: Copy + Send + Sync {
    /// What a wall reads as; no token ever gets this id.
    const WALL_ID: u32;
    fn from_id(id: u32) -> Self;
    fn id(self) -> u32;
}

macro_rules! impl_cell {
    ($type:ty) => {
        impl Cell for $type {
            const WALL_ID: u32 = <$type>::MAX as u32;
            #[inline]
            fn from_id(id: u32) -> Self {
                id as $type
            }
            #[inline]
            fn id(self) -> u32 {
                u32::from(self)
            }
        }
    };
}
impl_cell!(u16);
impl_cell!(u32);

/// The text under training.
pub struct Text<C: Cell> {
    pub cells: Vec<C>,
    /// Starts of tokens, about every `STRIDE` cells.
    entries: Vec<usize>,
    num_symbols: u64,
    num_sequences: u64,
    has_open_sequence: bool,
    /// Applies the merges of an earlier run; needs whole sequences, so `waiting` collects them.
    encoder: Option<Encoder>,
    waiting: Vec<u8>,
}

impl<C: Cell> Text<C> {
    /// An empty text; `encoder` holds the merges to start from.
    pub fn new(encoder: Option<Encoder>) -> Self {
        Self {
            cells: vec![C::from_id(C::WALL_ID)],
            entries: vec![1],
            num_symbols: 0,
            num_sequences: 0,
            has_open_sequence: false,
            encoder,
            waiting: vec![],
        }
    }

    /// Make room for `num_cells` more cells in one piece.
    pub fn reserve(&mut self, num_cells: usize) -> Result<(), BpeError> {
        self.check_room(num_cells)?;
        let message = format!("no memory for {num_cells} cells of the training text");
        self.cells
            .try_reserve_exact(num_cells)
            .map_err(|_| BpeError(message))
    }

    /// Symbols and sequences so far.
    pub fn size(&self) -> (u64, u64) {
        (
            self.num_symbols,
            self.num_sequences + u64::from(self.has_open_sequence),
        )
    }

    /// Append symbols to the current sequence; `is_end` closes it.
    pub fn add(&mut self, data: &[u8], is_end: bool) -> Result<(), BpeError> {
        self.check_room(data.len() + 2)?;
        self.num_symbols += data.len() as u64;
        self.has_open_sequence |= !data.is_empty();
        if self.encoder.is_some() {
            self.waiting.extend_from_slice(data);
        } else {
            for part in data.chunks(STRIDE) {
                self.mark_entry();
                self.cells
                    .extend(part.iter().map(|&byte| C::from_id(u32::from(byte))));
            }
        }
        if is_end {
            self.close()?;
        }
        Ok(())
    }

    /// Close the last sequence; after this the text holds tokens between walls.
    pub fn finish(&mut self) -> Result<(), BpeError> {
        if self.has_open_sequence || self.cells.len() == 1 {
            self.close()?;
        }
        self.encoder = None;
        self.waiting = Vec::new();
        Ok(())
    }

    fn check_room(&self, more: usize) -> Result<(), BpeError> {
        if self.cells.len() + self.waiting.len() + more >= MAX_CELLS {
            return Err(BpeError(format!(
                "the training text has more than {MAX_CELLS} symbols; train on a sample"
            )));
        }
        Ok(())
    }

    fn mark_entry(&mut self) {
        if self.cells.len() >= self.entries[self.entries.len() - 1] + STRIDE {
            self.entries.push(self.cells.len());
        }
    }

    fn close(&mut self) -> Result<(), BpeError> {
        if let Some(encoder) = self.encoder.take() {
            let waiting = std::mem::take(&mut self.waiting);
            for id in encoder.encode(&waiting) {
                self.mark_entry();
                let length = encoder.decode(&[i64::from(id)])?.len();
                self.cells.resize(self.cells.len() + length, C::from_id(id));
            }
            self.encoder = Some(encoder);
        }
        self.num_sequences += u64::from(self.has_open_sequence);
        self.has_open_sequence = false;
        self.cells.push(C::from_id(C::WALL_ID));
        Ok(())
    }

    /// Every pair (left id in the upper half of the code) and its places in parts, in order. The
    /// order of the pairs themselves is not defined.
    pub fn pairs(&self, lengths: &[u32], num_threads: usize) -> FxHashMap<u64, Vec<Vec<u32>>> {
        let mut ends = self.entries[1..].to_vec();
        ends.push(self.cells.len() - 1);
        let parts: Vec<_> = self.entries.iter().copied().zip(ends).collect();
        let found = pool::map(
            num_threads,
            &parts,
            || (),
            |(), &(start, end)| self.pairs_between(lengths, start, end),
        );
        let mut all: FxHashMap<u64, Vec<Vec<u32>>> = FxHashMap::default();
        for part in found {
            for (code, places) in part {
                all.entry(code).or_default().push(places);
            }
        }
        all
    }

    /// Pairs whose left token starts in `start..end` (never the wall that ends the text).
    fn pairs_between(&self, lengths: &[u32], start: usize, end: usize) -> FxHashMap<u64, Vec<u32>> {
        let mut found: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
        let mut place = start;
        while place < end {
            let left = self.cells[place].id();
            if left == C::WALL_ID {
                place += 1;
                continue;
            }
            let next = place + lengths[left as usize] as usize;
            let right = self.cells[next].id();
            if right != C::WALL_ID {
                let code = u64::from(left) << 32 | u64::from(right);
                found.entry(code).or_default().push(place as u32);
            }
            place = next;
        }
        found
    }
}
