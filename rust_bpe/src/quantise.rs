//! Millivolts to symbols, bit for bit as `Quantiser.symbols` computes it in numpy.

/// The constants of a quantiser.
#[derive(Debug, Clone, Copy)]
pub struct Quantiser {
    pub low: f64,
    /// `high - low + epsilon`.
    pub scale: f64,
    pub num_symbols: u8,
}

const FIRST_LETTER: u8 = 97;

impl Quantiser {
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
