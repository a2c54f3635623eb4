//! The encoder of both modes: one sequence, a batch, or float signals.

use crate::bpe::{self, BpeEncoder};
use crate::greedy::GreedyEncoder;
use crate::merges::{BpeError, Merges};
use crate::pool;
use crate::quantise::Quantiser;

enum Method {
    Greedy(GreedyEncoder),
    Bpe(BpeEncoder),
}

/// Immutable encoder and decoder of a merge list.
pub struct Encoder {
    method: Method,
    /// The bytes of all ids in a row, and where each id's begin (one more entry than ids).
    expansions: Vec<u8>,
    starts: Vec<usize>,
}

/// Memory that one thread reuses from sequence to sequence.
#[derive(Default)]
struct Scratch {
    symbols: Vec<u8>,
    ids: Vec<u32>,
    bpe: bpe::Scratch,
}

impl Encoder {
    /// Build for `greedy` (longest match) or `bpe` (merge order).
    pub fn new(merges: &Merges, mode: &str) -> Result<Self, BpeError> {
        let method = match mode {
            "greedy" => Method::Greedy(GreedyEncoder::new(merges)?),
            "bpe" => Method::Bpe(BpeEncoder::new(merges)),
            _ => return Err(BpeError(format!("mode must be greedy or bpe, got {mode}"))),
        };
        let mut expansions = Vec::new();
        let mut starts = vec![0];
        for id in 0..merges.num_ids() as u32 {
            merges.expand(id, &mut expansions);
            starts.push(expansions.len());
        }
        Ok(Self {
            method,
            expansions,
            starts,
        })
    }

    /// The ids of one sequence.
    pub fn encode(&self, data: &[u8]) -> Vec<u32> {
        let mut scratch = Scratch::default();
        self.encode_into(data, &mut scratch.bpe, &mut scratch.ids);
        scratch.ids
    }

    fn encode_into(&self, data: &[u8], scratch: &mut bpe::Scratch, out: &mut Vec<u32>) {
        match &self.method {
            Method::Greedy(encoder) => encoder.encode(data, out),
            Method::Bpe(encoder) => encoder.encode(data, scratch, out),
        }
    }

    /// The ids of every sequence; the same for any number of threads.
    pub fn encode_batch(&self, sequences: &[&[u8]], num_threads: usize) -> Vec<Vec<u32>> {
        pool::map(num_threads, sequences, Scratch::default, |scratch, data| {
            scratch.ids.clear();
            self.encode_into(data, &mut scratch.bpe, &mut scratch.ids);
            scratch.ids.clone()
        })
    }

    /// Quantise and encode rows of `row_length` values.
    pub fn encode_signals<T: Copy + Into<f64> + Sync>(
        &self,
        values: &[T],
        row_length: usize,
        quantiser: Quantiser,
        num_threads: usize,
    ) -> Vec<Vec<u32>> {
        let rows: Vec<&[T]> = values.chunks_exact(row_length).collect();
        pool::map(num_threads, &rows, Scratch::default, |scratch, row| {
            quantiser.symbols(row, &mut scratch.symbols);
            scratch.ids.clear();
            self.encode_into(&scratch.symbols, &mut scratch.bpe, &mut scratch.ids);
            scratch.ids.clone()
        })
    }

    /// The bytes of `ids`, or the first id that does not exist.
    pub fn decode(&self, ids: &[i64]) -> Result<Vec<u8>, BpeError> {
        let mut out = Vec::with_capacity(4 * ids.len());
        for &id in ids {
            let known = usize::try_from(id)
                .ok()
                .filter(|&id| id + 1 < self.starts.len());
            let Some(id) = known else {
                return Err(BpeError(format!("token id {id} does not exist")));
            };
            out.extend_from_slice(&self.expansions[self.starts[id]..self.starts[id + 1]]);
        }
        Ok(out)
    }
}
