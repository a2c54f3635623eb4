//! A checked merge list: what every id stands for.

use std::fmt;

/// Ids below this are bytes.
pub const NUM_BASE_IDS: usize = 256;
/// No token may be longer (60 doublings would describe more text than exists).
pub const MAX_TOKEN_SYMBOLS: usize = 1 << 20;
/// All tokens together may not be longer.
pub const MAX_TOTAL_SYMBOLS: usize = 1 << 24;
/// At most this many merges, so that ids and table sizes stay far from overflow.
pub const MAX_MERGES: usize = 1 << 22;

/// Why a merge list, or what was asked of it, is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BpeError(pub String);

impl fmt::Display for BpeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BpeError {}

/// The pairs of a merge list and the length of every id in bytes.
#[derive(Debug, Clone)]
pub struct Merges {
    pub pairs: Vec<(u32, u32)>,
    pub lengths: Vec<u32>,
    /// Lengths of all merges together.
    pub total: usize,
}

impl Merges {
    /// Check that merges name earlier ids only and that no token is absurdly long.
    pub fn new(pairs: Vec<(u32, u32)>) -> Result<Self, BpeError> {
        if pairs.len() > MAX_MERGES {
            let message = format!("{} merges given, at most {MAX_MERGES}", pairs.len());
            return Err(BpeError(message));
        }
        let mut lengths = vec![1u32; NUM_BASE_IDS];
        let mut total = 0;
        for (k, &(left, right)) in pairs.iter().enumerate() {
            let limit = NUM_BASE_IDS + k;
            if left as usize >= limit || right as usize >= limit {
                let message = format!("merge {k} is ({left}, {right}), but ids end at {limit}");
                return Err(BpeError(message));
            }
            let length = lengths[left as usize] + lengths[right as usize];
            total += length as usize;
            if length as usize > MAX_TOKEN_SYMBOLS || total > MAX_TOTAL_SYMBOLS {
                return Err(BpeError(format!(
                    "merge {k} makes a token of {length} symbols"
                )));
            }
            lengths.push(length);
        }
        Ok(Self {
            pairs,
            lengths,
            total,
        })
    }

    /// Append a merge whose limits were checked.
    pub fn push(&mut self, pair: (u32, u32), length: u32) {
        self.pairs.push(pair);
        self.lengths.push(length);
        self.total += length as usize;
    }

    /// Number of ids, bytes included.
    pub fn num_ids(&self) -> usize {
        self.lengths.len()
    }

    /// The two halves of an id, or `None` for a byte.
    #[inline]
    pub fn halves(&self, id: u32) -> Option<(u32, u32)> {
        (id as usize)
            .checked_sub(NUM_BASE_IDS)
            .map(|k| self.pairs[k])
    }

    /// Append the bytes of `id` to `out`.
    pub fn expand(&self, id: u32, out: &mut Vec<u8>) {
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            match self.halves(id) {
                None => out.push(id as u8),
                Some((left, right)) => waiting.extend([right, left]),
            }
        }
    }
}
