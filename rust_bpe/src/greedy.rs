//! Greedy encoding: from left to right the longest token that matches, as ECG-Byte encodes.

use crate::merges::{BpeError, Merges};
use crate::trie::Trie;

/// Encodes by longest match.
pub struct GreedyEncoder {
    trie: Trie,
}

impl GreedyEncoder {
    /// Build the trie once; encoding shares it between threads.
    pub fn new(merges: &Merges) -> Result<Self, BpeError> {
        Ok(Self {
            trie: Trie::new(merges)?,
        })
    }

    /// Append the ids of `data` to `out`.
    pub fn encode(&self, data: &[u8], out: &mut Vec<u32>) {
        let mut start = 0;
        while start < data.len() {
            let (id, length) = self.trie.longest(&data[start..]);
            out.push(id);
            start += length;
        }
    }
}
