//! A flat trie of token bytes: finds the longest token at a position.
//!
//! One row of `width` links per node, one column per byte class; bytes that no token continues with
//! share column 0, which stays empty. A link holds the target row's offset and whether a token ends
//! there, so a step costs one dependent load and the id is read only once, for the winner.

use std::ops::Range;

use crate::merges::{BpeError, Merges, NUM_BASE_IDS};

/// Largest table, in links (1 GiB).
const MAX_LINKS: usize = 1 << 28;
const ENDS_TOKEN: u32 = 1;

/// Longest-match automaton over a set of tokens.
pub struct Trie {
    class: [u8; 256],
    width: u32,
    links: Vec<u32>,
    /// Token that ends at a row (index: row number); meaningless where none does.
    token_at: Vec<u32>,
}

impl Trie {
    /// Build from all merges; single bytes always match as themselves. Where two tokens spell the
    /// same bytes the later one wins.
    pub fn new(merges: &Merges) -> Result<Self, BpeError> {
        let tokens = NUM_BASE_IDS as u32..merges.num_ids() as u32;
        let (class, num_classes) = byte_classes(merges, tokens.clone());
        let mut trie = Self {
            class,
            width: num_classes,
            links: vec![],
            token_at: vec![],
        };
        trie.add_row()?;
        let mut bytes = Vec::new();
        for id in tokens {
            bytes.clear();
            merges.expand(id, &mut bytes);
            trie.insert(&bytes, id)?;
        }
        Ok(trie)
    }

    fn add_row(&mut self) -> Result<u32, BpeError> {
        let row = self.links.len();
        if row + self.width as usize > MAX_LINKS {
            let message = "the tokens need a look-up table of more than 1 GiB; use fewer merges";
            return Err(BpeError(message.into()));
        }
        self.links.resize(row + self.width as usize, 0);
        self.token_at.push(u32::MAX);
        Ok(row as u32)
    }

    fn insert(&mut self, bytes: &[u8], id: u32) -> Result<(), BpeError> {
        let mut row = 0;
        let mut slot = 0;
        for &byte in bytes {
            slot = (row + u32::from(self.class[byte as usize])) as usize;
            if self.links[slot] == 0 {
                self.links[slot] = self.add_row()? << 1;
            }
            row = self.links[slot] >> 1;
        }
        self.links[slot] |= ENDS_TOKEN;
        self.token_at[(row / self.width) as usize] = id;
        Ok(())
    }

    /// The longest token at the start of `data` (not empty) and its length.
    #[inline]
    pub fn longest(&self, data: &[u8]) -> (u32, usize) {
        let mut best = 0;
        let mut length = 1;
        let mut row = 0;
        for (i, &byte) in data.iter().enumerate() {
            let slot = (row + u32::from(self.class[byte as usize])) as usize;
            // SAFETY: rows are offsets that `add_row` returned and classes are below `width`
            let link = unsafe { *self.links.get_unchecked(slot) };
            if link == 0 {
                break;
            }
            row = link >> 1;
            if link & ENDS_TOKEN != 0 {
                best = row;
                length = i + 1;
            }
        }
        if best == 0 {
            (u32::from(data[0]), 1)
        } else {
            (self.token_at[(best / self.width) as usize], length)
        }
    }
}

/// Columns for the bytes that occur in `tokens`, 1 and up; 0 for all others.
fn byte_classes(merges: &Merges, tokens: Range<u32>) -> ([u8; 256], u32) {
    let mut used = [false; 256];
    let mut bytes = Vec::new();
    for id in tokens {
        bytes.clear();
        merges.expand(id, &mut bytes);
        bytes.iter().for_each(|&byte| used[byte as usize] = true);
    }
    // with all 256 bytes in use there is no byte left over that needs the empty column
    let mut next = u32::from(used.contains(&false));
    let mut class = [0; 256];
    for byte in 0..256 {
        if used[byte] {
            class[byte] = next as u8;
            next += 1;
        }
    }
    (class, next.max(1))
}
