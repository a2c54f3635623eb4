//! Millivolts to symbols, bit for bit as `Quantizer.symbols` computes it in numpy.

use crate::merges::BpeError;

/// The constants of a quantiser; the number of symbols is one that letters exist for.
#[derive(Debug, Clone, Copy)]
pub struct Quantiser {
    low: f64,
    scale: f64,
    num_symbols: u8,
}

const FIRST_LETTER: u8 = 97;
/// Letters from `FIRST_LETTER` to the last byte.
pub const MAX_SYMBOLS: u8 = u8::MAX - FIRST_LETTER + 1;

impl Quantiser {
    /// `scale`: `high - low + epsilon`. Refuses numbers of symbols that do not fit into a byte.
    pub fn new(low: f64, scale: f64, num_symbols: i64) -> Result<Self, BpeError> {
        match u8::try_from(num_symbols) {
            Ok(number) if (1..=MAX_SYMBOLS).contains(&number) => Ok(Self {
                low,
                scale,
                num_symbols: number,
            }),
            _ => Err(BpeError(format!(
                "num_symbols must be 1..{MAX_SYMBOLS}, got {num_symbols}"
            ))),
        }
    }

    /// Write the symbols of `values` to `out` (same length); NaN becomes the first letter.
    pub fn symbols<T: Copy + Into<f64>>(&self, values: &[T], out: &mut Vec<u8>) {
        let bins = f64::from(self.num_symbols);
        let last = i32::from(self.num_symbols) - 1;
        out.clear();
        out.extend(values.iter().map(|&value| {
            // a division: a reciprocal would round otherwise; the cast turns NaN into 0
            let scaled = ((value.into() - self.low) / self.scale).clamp(0.0, 1.0);
            ((scaled * bins) as i32).min(last) as u8 + FIRST_LETTER
        }));
    }
}
