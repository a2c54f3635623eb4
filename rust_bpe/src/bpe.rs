//! Encoding in the order of the merges, in time linear in the input.
//!
//! A sequence of tokens is the BPE encoding of its bytes exactly when every token encodes to itself
//! and every two neighbours are compatible: encoding their joined bytes leaves the seam alone. So
//! the encoder walks left to right, takes the longest token that is compatible with the one before,
//! and steps back when none is; a position that failed once is never tried again, which bounds the
//! work (the idea of the `bpe` crate of github/rust-gems; see the fact sheet on performance).

use crate::merges::{BpeError, Merges};
use crate::pairs::PairTable;
use crate::trie::Trie;

const NONE: u32 = u32::MAX;

/// Encodes in merge order.
pub struct BpeEncoder {
    trie: Trie,
    pairs: PairTable,
    /// Left and right half of every id; a byte is its own half.
    halves: Vec<(u32, u32)>,
    prefixes: Vec<u32>,
    lengths: Vec<u32>,
}

/// Memory that one thread reuses from call to call.
#[derive(Default)]
pub struct Scratch {
    /// One bit per position: set when no encoding passes through a token border there.
    dead: Vec<u64>,
}

impl BpeEncoder {
    /// Build the tables once; encoding shares them between threads.
    pub fn new(merges: &Merges) -> Result<Self, BpeError> {
        let pairs = PairTable::new(merges);
        let num_ids = merges.num_ids() as u32;
        let halves: Vec<_> = (0..num_ids)
            .map(|id| merges.halves(id).unwrap_or((id, id)))
            .collect();
        // A token that other merges tear apart never appears (foreign merge lists may hold such).
        let mut appears = vec![true; merges.num_ids()];
        for (k, &(left, right)) in merges.pairs.iter().enumerate() {
            let id = (crate::merges::NUM_BASE_IDS + k) as u32;
            appears[id as usize] = appears[left as usize]
                && appears[right as usize]
                && pairs.get(left, right) == id
                && seam_holds(&pairs, &halves, left, right, id);
        }
        let keep = |id: u32| appears[id as usize];
        let trie = Trie::new(merges, keep)?;
        let prefixes = trie.prefixes(merges, keep);
        Ok(Self {
            trie,
            pairs,
            halves,
            prefixes,
            lengths: merges.lengths.clone(),
        })
    }

    /// Append the ids of `data` to `out`.
    pub fn encode(&self, data: &[u8], scratch: &mut Scratch, out: &mut Vec<u32>) {
        scratch.dead.clear();
        scratch.dead.resize(data.len() / 64 + 1, 0);
        let dead = &mut scratch.dead;
        let base = out.len();
        let mut start = 0;
        let mut candidate = if data.is_empty() {
            NONE
        } else {
            self.trie.longest(data).0
        };
        while start < data.len() {
            let before = if out.len() > base {
                out[out.len() - 1]
            } else {
                NONE
            };
            let token = self.fit(before, candidate, start, dead);
            if token != NONE {
                out.push(token);
                start += self.lengths[token as usize] as usize;
                if start < data.len() {
                    candidate = self.trie.longest(&data[start..]).0;
                }
            } else {
                // Nothing fits here. The first position always fits, so there is a token before.
                dead[start / 64] |= 1 << (start % 64);
                let Some(last) = out.pop() else { return };
                start -= self.lengths[last as usize] as usize;
                candidate = self.prefixes[last as usize];
            }
        }
    }

    /// The longest of `candidate` and its prefixes that may stand at `start` behind `before`.
    #[inline]
    fn fit(&self, before: u32, mut candidate: u32, start: usize, dead: &[u64]) -> u32 {
        while candidate != NONE {
            let end = start + self.lengths[candidate as usize] as usize;
            let alive = dead[end / 64] >> (end % 64) & 1 == 0;
            if alive
                && (before == NONE
                    || seam_holds(&self.pairs, &self.halves, before, candidate, NONE))
            {
                return candidate;
            }
            candidate = self.prefixes[candidate as usize];
        }
        NONE
    }
}

/// Whether no merge older than `limit` ever crosses the seam between two tokens.
///
/// Plays the merges on both sides backwards: of the two ids that touch the seam the younger one is
/// taken apart first, and at every stage the pair across the seam must not be a merge that would
/// have come before the merge that was just undone.
#[inline]
fn seam_holds(
    pairs: &PairTable,
    halves: &[(u32, u32)],
    mut left: u32,
    mut right: u32,
    mut limit: u32,
) -> bool {
    loop {
        if pairs.get(left, right) < limit {
            return false;
        }
        if left > right {
            limit = left;
            left = halves[left as usize].1;
            if left == limit {
                // a byte: only the right side is left to take apart
                limit = right + 1;
                right = halves[right as usize].0;
                if right + 1 == limit {
                    return true;
                }
            }
        } else {
            limit = right + 1;
            right = halves[right as usize].0;
            if right + 1 == limit {
                limit = left;
                left = halves[left as usize].1;
                if left == limit {
                    return true;
                }
            }
        }
    }
}
