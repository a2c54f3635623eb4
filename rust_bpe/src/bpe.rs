//! Encoding in the order of the merges, in time linear in the input.
//!
//! Places of pairs wait in one list per rank. Ranks are served in order; a merge can only make pairs
//! of higher rank, so every list is complete when its turn comes, and each merge adds at most two
//! entries: no heap, no sorting. Order within a rank matters only for a pair of equal ids, whose runs
//! are joined from their first token. The text is one array as in `train`: a token's id stands in its
//! first and last cell.
//!
//! Backtracking over longest matches (the `bpe` crate of github/rust-gems) was tried first: on ECG the
//! longest match is wrong so often that it took 9 candidates and 1.4 steps back per token.

use crate::merges::{Merges, NUM_BASE_IDS};
use crate::pairs::PairTable;

const NONE: u32 = u32::MAX;
const WALL: u32 = u32::MAX;

/// Encodes in merge order.
pub struct BpeEncoder {
    pairs: PairTable,
    merges: Merges,
}

/// Memory that one thread reuses from call to call.
#[derive(Default)]
pub struct Scratch {
    cells: Vec<u32>,
    /// (place, next entry of the same rank).
    entries: Vec<(u32, u32)>,
    /// First entry of each rank, and one bit per rank that has any.
    heads: Vec<u32>,
    waiting: Vec<u64>,
}

impl Scratch {
    fn start(&mut self, data: &[u8], num_merges: usize) {
        self.cells.clear();
        self.cells.push(WALL);
        self.cells.extend(data.iter().map(|&byte| u32::from(byte)));
        self.cells.push(WALL);
        self.entries.clear();
        self.heads.clear();
        self.heads.resize(num_merges, NONE);
        self.waiting.clear();
        self.waiting.resize(num_merges.div_ceil(64), 0);
    }

    /// Let a place wait for the rank of the merge `id`.
    #[inline]
    fn wait(&mut self, id: u32, place: usize) {
        let rank = id as usize - NUM_BASE_IDS;
        let next = std::mem::replace(&mut self.heads[rank], self.entries.len() as u32);
        self.entries.push((place as u32, next));
        self.waiting[rank / 64] |= 1 << (rank % 64);
    }

    /// The lowest rank at or above 64 * `word` that has entries; it has none afterwards.
    #[inline]
    fn next_rank(&mut self, word: &mut usize) -> Option<usize> {
        while *word < self.waiting.len() {
            let bits = self.waiting[*word];
            if bits != 0 {
                self.waiting[*word] = bits & (bits - 1);
                return Some(*word * 64 + bits.trailing_zeros() as usize);
            }
            *word += 1;
        }
        None
    }
}

impl BpeEncoder {
    /// Build the pair table once; encoding shares it between threads.
    pub fn new(merges: &Merges) -> Self {
        Self {
            pairs: PairTable::new(merges),
            merges: merges.clone(),
        }
    }

    /// Append the ids of `data` (shorter than 2^32 - 2) to `out`.
    pub fn encode(&self, data: &[u8], scratch: &mut Scratch, out: &mut Vec<u32>) {
        scratch.start(data, self.merges.pairs.len());
        for (i, pair) in data.windows(2).enumerate() {
            let id = self.pairs.get_bytes(pair[0], pair[1]);
            if id != NONE {
                scratch.wait(id, i + 1);
            }
        }
        let mut word = 0;
        while let Some(rank) = scratch.next_rank(&mut word) {
            self.serve(rank, scratch);
        }
        let mut place = 1;
        while place <= data.len() {
            let id = scratch.cells[place];
            out.push(id);
            place += self.merges.lengths[id as usize] as usize;
        }
    }

    /// Join all places that wait for `rank` and still hold its pair.
    fn serve(&self, rank: usize, scratch: &mut Scratch) {
        let (left, right) = self.merges.pairs[rank];
        let left_length = self.merges.lengths[left as usize] as usize;
        let length = left_length + self.merges.lengths[right as usize] as usize;
        let mut entry = std::mem::replace(&mut scratch.heads[rank], NONE);
        while entry != NONE {
            let (place, next) = scratch.entries[entry as usize];
            entry = next;
            let mut start = place as usize;
            let holds = |cells: &[u32], start: usize| {
                cells[start] == left && cells[start + left_length] == right
            };
            if !holds(&scratch.cells, start) {
                continue; // an earlier merge took one of the halves
            }
            if left != right {
                self.join(rank, start, left_length, length, scratch);
                continue;
            }
            while scratch.cells[start - 1] == left {
                start -= left_length;
            }
            while holds(&scratch.cells, start) {
                self.join(rank, start, left_length, length, scratch);
                start += length;
            }
        }
    }

    #[inline]
    fn join(
        &self,
        rank: usize,
        start: usize,
        left_length: usize,
        length: usize,
        scratch: &mut Scratch,
    ) {
        let new = (NUM_BASE_IDS + rank) as u32;
        let end = start + length;
        let (before, after) = (scratch.cells[start - 1], scratch.cells[end]);
        scratch.cells[start] = new;
        scratch.cells[start + left_length] = new;
        scratch.cells[end - 1] = new;
        if before != WALL {
            let id = self.pairs.get(before, new);
            if id != NONE {
                scratch.wait(id, start - self.merges.lengths[before as usize] as usize);
            }
        }
        if after != WALL {
            let id = self.pairs.get(new, after);
            if id != NONE {
                scratch.wait(id, start);
            }
        }
    }
}
