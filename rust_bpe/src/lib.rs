//! Byte-pair encoding of long unsplit sequences (quantised ECG, DNA, protein).
//!
//! Ids 0..255 are bytes; merge `k` joins two earlier ids and gets id `256 + k`. The rules of training
//! and encoding are written down once, in the Python twin `ecg_fairseq/tokenizer/twin.py`; every
//! module here is tested against a slow form of them.
//!
//! `filter` and `standardise` are inner loops of the signal path: recursive filters, z-scores and
//! interpolation of recordings, each equal to its numpy or scipy form to the last bit.
//! `alike_lines` is the inner loop of opening a file of questions.

pub mod alike_lines;
pub mod bpe;
pub mod encode;
pub mod filter;
pub mod greedy;
pub mod merges;
mod neighbours;
pub mod pairs;
mod places;
pub mod pool;
pub mod quantise;
pub mod recount;
pub mod standardise;
mod table;
pub mod text;
pub mod train;
pub mod trie;

#[cfg(feature = "python")]
mod py;
#[cfg(feature = "python")]
mod py_lines;
