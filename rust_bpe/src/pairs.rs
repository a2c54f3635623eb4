//! Pair -> merged id, made for look-ups that mostly fail.
//!
//! A bitmap small enough for the first-level cache answers most of them; the rest go to an open
//! table at most half full.

use crate::merges::{Merges, NUM_BASE_IDS};

const NONE: u64 = u64::MAX;
const FILTER_BITS: u32 = 18;

/// Immutable table from (left, right) to the id of their merge.
pub struct PairTable {
    /// Pairs of bytes, directly: index left * 256 + right.
    bytes: Vec<u32>,
    filter: Vec<u64>,
    entries: Vec<(u64, u32)>,
    shift: u32,
}

#[inline]
fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[inline]
fn hash(key: u64) -> u64 {
    // multiply-mix with an odd constant near 2^64 / golden ratio; the high bits are used
    (key ^ key >> 29).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl PairTable {
    /// Index all pairs of `merges`.
    pub fn new(merges: &Merges) -> Self {
        let bits = (2 * merges.pairs.len() + 2)
            .next_power_of_two()
            .trailing_zeros();
        let mut table = Self {
            bytes: vec![u32::MAX; NUM_BASE_IDS * NUM_BASE_IDS],
            filter: vec![0; 1 << (FILTER_BITS - 6)],
            entries: vec![(NONE, 0); 1 << bits],
            shift: 64 - bits,
        };
        for (k, &(left, right)) in merges.pairs.iter().enumerate() {
            if left.max(right) < NUM_BASE_IDS as u32 {
                table.bytes[(left << 8 | right) as usize] = (NUM_BASE_IDS + k) as u32;
            }
            let key = key(left, right);
            let hashed = hash(key);
            let bit = hashed >> (64 - FILTER_BITS);
            table.filter[(bit >> 6) as usize] |= 1 << (bit & 63);
            let mut slot = (hashed >> table.shift) as usize;
            while table.entries[slot].0 != NONE {
                slot = (slot + 1) & (table.entries.len() - 1);
            }
            table.entries[slot] = (key, (NUM_BASE_IDS + k) as u32);
        }
        table
    }

    /// The id that two bytes merge into, or `u32::MAX`.
    #[inline]
    pub fn get_bytes(&self, left: u8, right: u8) -> u32 {
        self.bytes[usize::from(left) << 8 | usize::from(right)]
    }

    /// The id that `left` and `right` merge into, or `u32::MAX`.
    #[inline]
    pub fn get(&self, left: u32, right: u32) -> u32 {
        let key = key(left, right);
        let hashed = hash(key);
        let bit = hashed >> (64 - FILTER_BITS);
        if self.filter[(bit >> 6) as usize] >> (bit & 63) & 1 == 0 {
            return u32::MAX;
        }
        let mut slot = (hashed >> self.shift) as usize;
        loop {
            match self.entries[slot] {
                (found, id) if found == key => return id,
                (NONE, _) => return u32::MAX,
                _ => slot = (slot + 1) & (self.entries.len() - 1),
            }
        }
    }
}
