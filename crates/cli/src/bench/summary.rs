use anyhow::{Context, Result};
use detrace_report::Summary;

/// Summarises times, of which there must be one at least.
pub(super) fn summary(times: &[f64]) -> Result<Summary> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return Err(nothing_timed()) };
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    let at = |q: f64| quantile(&sorted, q).with_context(|| format!("a quantile {q}"));
    Ok(Summary { min, mean, median: at(0.5)?, p90: at(0.9)?, p99: at(0.99)?, max })
}

/// The median, of one time at least.
pub(super) fn median(times: &[f64]) -> Result<f64> {
    Ok(summary(times)?.median)
}

fn nothing_timed() -> anyhow::Error {
    anyhow::anyhow!("nothing was timed; take --iters 1 or more")
}

/// The value at a share `q` of the way through sorted values, linear between neighbours.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.percentile(x, [50, 90, 99])` of NumPy 2.4.6 on the same values.
    #[test]
    fn quantiles_are_numpys() {
        for (times, [median, p90, p99], mean) in [
            (vec![0.5], [0.5, 0.5, 0.5], 0.5),
            (vec![3.0, 1.0], [2.0, 2.8, 2.98], 2.0),
            (vec![0.9, 0.1, 0.4, 0.2, 0.7], [0.4, 0.82, 0.892], 0.46),
            ((1..=20).rev().map(f64::from).collect(), [10.5, 18.1, 19.81], 10.5),
        ] {
            let got = summary(&times).expect("times");
            let low = times.iter().copied().fold(f64::INFINITY, f64::min);
            let high = times.iter().copied().fold(0.0, f64::max);
            assert_eq!((got.min, got.max), (low, high));
            for (got, want) in [(got.median, median), (got.p90, p90), (got.p99, p99), (got.mean, mean)] {
                assert!((got - want).abs() < 1e-12, "{times:?}: {got}, not {want}");
            }
        }
        assert!(summary(&[]).is_err());
    }
}
