//! Encoding in the order of the merges, in time linear in the input.
//!
//! Places of pairs wait in one list per rank. Ranks are served in order; a merge can only make pairs
//! of higher rank, so every list is complete when its turn comes, and each merge adds at most two
//! entries: no heap, no sorting. Order within a rank matters only for a pair of equal ids; a run of
//! equal tokens has one entry, for its first token, and is joined from there. The text is one array
//! as in `train`: a token's id stands in its first and last cell.
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
        let mut last = None;
        for (i, pair) in data.windows(2).enumerate() {
            let is_inside_run = pair[0] == pair[1] && last == Some(pair[0]);
            last = Some(pair[0]);
            let id = self.pairs.get_bytes(pair[0], pair[1]);
            if id != NONE && !is_inside_run {
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
            place += self.length(id);
        }
    }

    #[inline]
    fn length(&self, id: u32) -> usize {
        self.merges.lengths[id as usize] as usize
    }

    /// Join all places that wait for `rank` and still hold its pair.
    fn serve(&self, rank: usize, scratch: &mut Scratch) {
        let (left, right) = self.merges.pairs[rank];
        let new = (NUM_BASE_IDS + rank) as u32;
        let mut entry = std::mem::replace(&mut scratch.heads[rank], NONE);
        while entry != NONE {
            let (place, next) = scratch.entries[entry as usize];
            entry = next;
            let start = place as usize;
            let seam = start + self.length(left);
            if scratch.cells[start] != left || scratch.cells[seam] != right {
                continue; // an earlier merge took one of the halves
            }
            if left == right {
                self.join_run(left, new, start, scratch);
            } else {
                self.join_pair(right, new, start, seam, scratch);
            }
        }
    }

    /// Join two different tokens. Keeps the rule that the first token of every run of equal tokens
    /// has an entry if its pair is a merge; the rest of a run needs none.
    fn join_pair(&self, right: u32, new: u32, start: usize, seam: usize, scratch: &mut Scratch) {
        let length = self.length(new);
        let end = start + length;
        let (before, after) = (scratch.cells[start - 1], scratch.cells[end]);
        scratch.cells[start] = new;
        scratch.cells[seam] = new;
        scratch.cells[end - 1] = new;
        let continues_run = before == new && scratch.cells[start - length - 1] == new;
        if !continues_run {
            self.wait_for(before, new, start, scratch);
        }
        if after == WALL {
            return;
        }
        self.wait_for(new, after, end, scratch);
        if after == right {
            let second = end + self.length(after);
            if scratch.cells[second] == after {
                // the run behind lost its first token, and with it its entry
                self.wait_for(after, after, second, scratch);
            }
        }
    }

    /// Join the tokens of a run two by two from its first; `start` is any of them but the last.
    fn join_run(&self, half: u32, new: u32, mut start: usize, scratch: &mut Scratch) {
        let half_length = self.length(half);
        let length = 2 * half_length;
        while scratch.cells[start - 1] == half {
            start -= half_length;
        }
        let before = scratch.cells[start - 1];
        let mut end = start;
        while scratch.cells[end] == half && scratch.cells[end + half_length] == half {
            scratch.cells[end] = new;
            scratch.cells[end + half_length] = new;
            end += length;
            scratch.cells[end - 1] = new;
        }
        self.wait_for(before, new, start, scratch);
        if end - start > length {
            self.wait_for(new, new, start + length, scratch);
        }
        let after = scratch.cells[end];
        self.wait_for(new, after, end, scratch);
    }

    /// Let the pair of `left` and `right`, the latter starting at `seam`, wait for its rank.
    #[inline]
    fn wait_for(&self, left: u32, right: u32, seam: usize, scratch: &mut Scratch) {
        if left != WALL && right != WALL {
            let id = self.pairs.get(left, right);
            if id != NONE {
                scratch.wait(id, seam - self.length(left));
            }
        }
    }
}
