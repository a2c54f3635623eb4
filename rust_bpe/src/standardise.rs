//! Per-lead z-scores and linear interpolation, bit for bit as the numpy forms in
//! `ecg_fairseq/signal/{normalising,rate_change}.py` compute them.

/// Leads whose sums run side by side: each sum is one chain of additions, sample after sample.
const LANES: usize = 12;

/// Subtract each lead's mean and divide by its population deviation, in place; flat leads become
/// zeros. Leads stand one after the other.
///
/// `is_flat`: leads known to be flat; besides these, a lead is flat whose deviation is at most
/// `flat_share` of its mean. Returns means and deviations; the deviation of a flat lead is 0.
pub fn standardise(
    values: &mut [f64],
    num_samples: usize,
    is_flat: &[bool],
    flat_share: f64,
) -> (Vec<f64>, Vec<f64>) {
    let mean = means(values, num_samples, |value, _| value);
    for (lead, &level) in values.chunks_mut(num_samples).zip(&mean) {
        lead.iter_mut().for_each(|value| *value -= level);
    }
    let residue = means(values, num_samples, |value, _| value);
    let mut deviation = means(values, num_samples, |value, lead| {
        let centred = value - residue[lead];
        centred * centred
    });
    for (index, lead) in values.chunks_mut(num_samples).enumerate() {
        let spread = deviation[index].sqrt();
        let flat = is_flat[index] || spread <= flat_share * mean[index].abs();
        deviation[index] = if flat { 0.0 } else { spread };
        if flat {
            lead.fill(0.0);
        } else {
            lead.iter_mut().for_each(|value| *value /= spread);
        }
    }
    (mean, deviation)
}

/// Means of `of(value, lead)` over each lead, added sample after sample.
fn means(values: &[f64], num_samples: usize, of: impl Fn(f64, usize) -> f64) -> Vec<f64> {
    let leads: Vec<&[f64]> = values.chunks(num_samples).collect();
    let mut means = Vec::with_capacity(leads.len());
    for (group, chosen) in leads.chunks(LANES).enumerate() {
        let mut sums = [0.0; LANES];
        for t in 0..num_samples {
            for (lane, lead) in chosen.iter().enumerate() {
                sums[lane] += of(lead[t], group * LANES + lane);
            }
        }
        means.extend(
            sums[..chosen.len()]
                .iter()
                .map(|sum| sum / num_samples as f64),
        );
    }
    means
}

/// Interpolate between `left[q]` and its neighbour: `(y[l + 1] - y[l]) / step[l] * way[q] + y[l]`,
/// the difference in the signal's own precision, all else in float64.
pub fn interpolate<T>(
    signal: &[T],
    num_samples: usize,
    left: &[i64],
    way: &[f64],
    steps: &[f64],
) -> Option<Vec<f64>>
where
    T: Copy + Into<f64> + std::ops::Sub<Output = T>,
{
    let last = i64::try_from(num_samples).ok()? - 2;
    let fits = left.len() == way.len() && steps.len() + 1 == num_samples;
    if !fits || left.iter().any(|&place| !(0..=last).contains(&place)) {
        return None;
    }
    let mut out = Vec::with_capacity(signal.len() / num_samples * left.len());
    let mut slopes = vec![0.0; steps.len()];
    for lead in signal.chunks(num_samples) {
        for (k, slope) in slopes.iter_mut().enumerate() {
            let difference: f64 = (lead[k + 1] - lead[k]).into();
            *slope = difference / steps[k];
        }
        out.extend(left.iter().zip(way).map(|(&place, way)| {
            let start: f64 = lead[place as usize].into();
            slopes[place as usize] * way + start
        }));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_get_mean_zero_and_deviation_one_and_flat_leads_zeros() {
        let mut signal: Vec<f64> = (0..13 * 50)
            .map(|k| ((k * k) as f64 * 0.11).sin() + 3.0)
            .collect();
        signal[50..100].fill(0.1);
        let mut is_flat = [false; 13];
        is_flat[7] = true;
        let mut scores = signal.clone();
        let (mean, deviation) = standardise(&mut scores, 50, &is_flat, 1e-9);
        for (lead, values) in scores.chunks(50).enumerate() {
            if lead == 1 || lead == 7 {
                assert!(values.iter().all(|&value| value == 0.0));
                assert_eq!(deviation[lead], 0.0);
                continue;
            }
            let level = values.iter().sum::<f64>() / 50.0;
            let square = values.iter().map(|value| value * value).sum::<f64>() / 50.0;
            assert!(level.abs() < 1e-12 && (square - 1.0).abs() < 1e-12);
            let first = mean[lead] + values[0] * deviation[lead];
            assert!((first - signal[lead * 50]).abs() < 1e-12);
        }
    }

    #[test]
    fn points_between_samples_lie_on_the_line() {
        let signal = [0.0_f32, 2.0, 1.0, 5.0, 5.0, 7.0];
        let out = interpolate(&signal, 3, &[0, 0, 1], &[0.0, 0.5, 1.0], &[1.0, 2.0]).unwrap();
        assert_eq!(out, [0.0, 1.0, 1.5, 5.0, 5.0, 6.0]);
        assert!(interpolate(&signal, 3, &[2], &[0.0], &[1.0, 1.0]).is_none());
        assert!(interpolate(&signal, 3, &[0], &[0.0, 1.0], &[1.0, 1.0]).is_none());
    }
}
