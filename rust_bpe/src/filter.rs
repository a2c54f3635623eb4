//! Zero-phase recursive filters over all leads of a recording at once.
//!
//! The recursion along time cannot be vectorised, the leads can: samples are interleaved, so that one
//! vector instruction advances several leads. Every operation and its order are those of scipy's
//! `lfilter` (transposed direct form II), lead by lead, so results agree bit for bit.

/// Leads that one pass advances together where the filter's state is small.
const MANY: usize = 12;
/// Leads that one pass advances together where a larger state would spill from registers.
const FEW: usize = 4;
/// Highest order with a kernel of its own; Python turns to scipy above.
pub const MAX_ORDER: usize = 8;

/// A filter of order `numerator.len() - 1` whose first denominator coefficient is 1.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    pub numerator: &'a [f64],
    pub denominator: &'a [f64],
    /// Steady state for a constant input of 1, one number less than coefficients.
    pub initial_state: &'a [f64],
}

impl Filter<'_> {
    /// The filter's order if the three lists fit together and there is a kernel for it.
    pub fn order(&self) -> Option<usize> {
        let order = self.initial_state.len();
        let fits = self.numerator.len() == order + 1 && self.denominator.len() == order + 1;
        (fits && (1..=MAX_ORDER).contains(&order) && self.denominator[0] == 1.0).then_some(order)
    }
}

/// Filter forwards and backwards; both ends are continued by `padding` samples turned about the
/// end point, which are cut off again.
///
/// `signal` holds leads of `num_samples` one after the other. None: the filter has no kernel, or
/// leads are not longer than the padding.
pub fn zero_phase(
    signal: &[f64],
    num_samples: usize,
    filter: Filter<'_>,
    padding: usize,
) -> Option<Vec<f64>> {
    let order = filter.order()?;
    if num_samples <= padding {
        return None;
    }
    let mut out = vec![0.0; signal.len()];
    macro_rules! kernels {
        ($($order:literal with $lanes:ident),*) => {
            match order {
                $($order => all_groups::<$lanes, $order>(signal, num_samples, filter, padding, &mut out),)*
                _ => return None,
            }
        };
    }
    kernels!(
        1 with MANY, 2 with MANY, 3 with MANY, 4 with MANY, 5 with FEW, 6 with FEW, 7 with FEW, 8 with FEW
    );
    Some(out)
}

fn all_groups<const LANES: usize, const ORDER: usize>(
    signal: &[f64],
    num_samples: usize,
    filter: Filter<'_>,
    padding: usize,
    out: &mut [f64],
) {
    let mut block = vec![[0.0; LANES]; num_samples + 2 * padding];
    let groups = signal.chunks(LANES * num_samples);
    for (leads, filtered) in groups.zip(out.chunks_mut(LANES * num_samples)) {
        fill(leads, num_samples, padding, &mut block);
        for _ in 0..2 {
            pass::<LANES, ORDER>(&mut block, filter);
            block.reverse();
        }
        for (lane, lead) in filtered.chunks_mut(num_samples).enumerate() {
            for (value, row) in lead.iter_mut().zip(&block[padding..]) {
                *value = row[lane];
            }
        }
    }
}

/// Interleave up to LANES leads with their continued ends; lanes without a lead stay as they are.
fn fill<const LANES: usize>(
    leads: &[f64],
    num_samples: usize,
    padding: usize,
    block: &mut [[f64; LANES]],
) {
    for (lane, lead) in leads.chunks(num_samples).enumerate() {
        let (first, last) = (lead[0], lead[num_samples - 1]);
        for k in 0..padding {
            block[k][lane] = 2.0 * first - lead[padding - k];
            block[padding + num_samples + k][lane] = 2.0 * last - lead[num_samples - 2 - k];
        }
        for (row, &value) in block[padding..].iter_mut().zip(lead) {
            row[lane] = value;
        }
    }
}

fn pass<const LANES: usize, const ORDER: usize>(block: &mut [[f64; LANES]], filter: Filter<'_>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was just asked for the one feature that the function needs.
        return unsafe { pass_avx2::<LANES, ORDER>(block, filter) };
    }
    recursion::<LANES, ORDER>(block, filter);
}

/// The same recursion, compiled for wider vectors. It fuses no multiplications with additions, so
/// it rounds as the plain one does.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn pass_avx2<const LANES: usize, const ORDER: usize>(
    block: &mut [[f64; LANES]],
    filter: Filter<'_>,
) {
    recursion::<LANES, ORDER>(block, filter);
}

#[inline(always)]
fn recursion<const LANES: usize, const ORDER: usize>(
    block: &mut [[f64; LANES]],
    filter: Filter<'_>,
) {
    let gain = filter.numerator[0];
    let (mut ahead, mut back) = ([0.0; ORDER], [0.0; ORDER]);
    ahead.copy_from_slice(&filter.numerator[1..]);
    back.copy_from_slice(&filter.denominator[1..]);
    let mut state = [[0.0; LANES]; ORDER];
    for (row, &steady) in state.iter_mut().zip(filter.initial_state) {
        for (value, first) in row.iter_mut().zip(block[0]) {
            *value = steady * first;
        }
    }
    for samples in block.iter_mut() {
        let input = *samples;
        let mut output = [0.0; LANES];
        for lane in 0..LANES {
            output[lane] = state[0][lane] + gain * input[lane];
        }
        for k in 0..ORDER - 1 {
            for lane in 0..LANES {
                state[k][lane] =
                    state[k + 1][lane] + input[lane] * ahead[k] - output[lane] * back[k];
            }
        }
        for lane in 0..LANES {
            state[ORDER - 1][lane] =
                input[lane] * ahead[ORDER - 1] - output[lane] * back[ORDER - 1];
        }
        *samples = output;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One lead, one sample at a time, with lists that grow: as plain as it gets.
    fn slow(lead: &[f64], filter: Filter<'_>, padding: usize) -> Vec<f64> {
        let last = lead.len() - 1;
        let mut values: Vec<f64> = (0..padding)
            .map(|k| 2.0 * lead[0] - lead[padding - k])
            .collect();
        values.extend_from_slice(lead);
        values.extend((0..padding).map(|k| 2.0 * lead[last] - lead[last - 1 - k]));
        for _ in 0..2 {
            let first = values[0];
            let mut state: Vec<f64> = filter.initial_state.iter().map(|s| s * first).collect();
            state.push(0.0);
            for value in &mut values {
                let input = *value;
                *value = state[0] + filter.numerator[0] * input;
                for k in 1..state.len() {
                    let carried = if k + 1 < state.len() {
                        state[k] + input * filter.numerator[k]
                    } else {
                        input * filter.numerator[k]
                    };
                    state[k - 1] = carried - *value * filter.denominator[k];
                }
            }
            values.reverse();
        }
        values[padding..padding + lead.len()].to_vec()
    }

    #[test]
    fn every_order_and_number_of_leads_equals_the_slow_form() {
        let numerator: Vec<f64> = (0..=MAX_ORDER).map(|k| 0.3 / (k as f64 + 1.0)).collect();
        let denominator: Vec<f64> = (0..=MAX_ORDER).map(|k| 0.4_f64.powi(k as i32)).collect();
        let steady: Vec<f64> = (0..MAX_ORDER).map(|k| 0.2 - 0.03 * k as f64).collect();
        for order in 1..=MAX_ORDER {
            let filter = Filter {
                numerator: &numerator[..=order],
                denominator: &denominator[..=order],
                initial_state: &steady[..order],
            };
            for num_leads in [1, 3, 4, 5, 12, 13] {
                let signal: Vec<f64> = (0..num_leads * 40)
                    .map(|k| ((k * k) as f64 * 0.37).sin())
                    .collect();
                let fast = zero_phase(&signal, 40, filter, 9).unwrap();
                for (lead, filtered) in signal.chunks(40).zip(fast.chunks(40)) {
                    assert_eq!(slow(lead, filter, 9), filtered, "order {order}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let filter = Filter {
            numerator: &[0.5, 0.5],
            denominator: &[1.0, 0.1],
            initial_state: &[0.2],
        };
        assert!(zero_phase(&[1.0, 2.0, 3.0], 3, filter, 3).is_none());
        let doubled = Filter {
            denominator: &[2.0, 0.1],
            ..filter
        };
        assert!(zero_phase(&[1.0, 2.0, 3.0], 3, doubled, 1).is_none());
        let longer = Filter {
            numerator: &[0.5, 0.5, 0.5],
            ..filter
        };
        assert!(zero_phase(&[1.0, 2.0, 3.0], 3, longer, 1).is_none());
    }
}
