//! Medians and quantiles.

/// The median; not a number for an empty list.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which the share `at` (0 to 1) of all values lies; no number for an empty list.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list of measurements"
)]
pub(crate) fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = (at * (sorted.len() as f64 - 1.0)).round().max(0.0) as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The medians of the quotients taken pair by pair: each round beside its own neighbour.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    let quotients: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    median(&quotients)
}
