//! Training by counting everything again for every merge: the reference's method under our tie rule.
//!
//! Kept as the oracle of the tests and the baseline of the benchmark; its time grows with text times
//! merges.

use rustc_hash::FxHashMap;

use crate::merges::NUM_BASE_IDS;

/// Train on whole sequences; returns the merges and the count of each when it was chosen.
pub fn train_by_recount(
    sequences: &[&[u8]],
    num_merges: usize,
    min_count: u64,
) -> (Vec<(u32, u32)>, Vec<u64>) {
    let mut rows: Vec<Vec<u32>> = sequences
        .iter()
        .map(|row| row.iter().map(|&byte| u32::from(byte)).collect())
        .collect();
    let mut merges = Vec::new();
    let mut chosen = Vec::new();
    while merges.len() < num_merges {
        let mut counts: FxHashMap<(u32, u32), u64> = FxHashMap::default();
        for row in &rows {
            for pair in row.windows(2) {
                *counts.entry((pair[0], pair[1])).or_default() += 1;
            }
        }
        let best = counts
            .iter()
            .max_by_key(|&(&pair, &count)| (count, std::cmp::Reverse(pair)));
        let Some((&pair, &count)) = best else { break };
        if count < min_count {
            break;
        }
        let new = (NUM_BASE_IDS + merges.len()) as u32;
        rows.iter_mut().for_each(|row| replace(row, pair, new));
        merges.push(pair);
        chosen.push(count);
    }
    (merges, chosen)
}

/// Replace `pair` by `new` from left to right without overlap.
fn replace(row: &mut Vec<u32>, pair: (u32, u32), new: u32) {
    let mut write = 0;
    let mut read = 0;
    while read < row.len() {
        let is_pair = read + 1 < row.len() && (row[read], row[read + 1]) == pair;
        row[write] = if is_pair { new } else { row[read] };
        read += if is_pair { 2 } else { 1 };
        write += 1;
    }
    row.truncate(write);
}
