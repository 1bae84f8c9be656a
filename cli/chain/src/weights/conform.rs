//! From real weights to the subnet's u16, as the chain's own SDK prepares them.
//!
//! The chain keeps ratios only, so the largest weight becomes 65535. Rounding is half to even, on f64. What rounds
//! to zero is left out. Where the subnet limits the share of one weight, weights are clipped first, so that what is
//! cut from the largest goes to all.

use std::collections::BTreeSet;

/// Weights cannot be sent as they are.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConformError {
    /// Two lists that belong together have different lengths.
    #[error("{uids} uids and {weights} weights: there must be as many of both")]
    Lengths {
        /// Number of uids.
        uids: usize,
        /// Number of weights.
        weights: usize,
    },
    /// A weight is below zero, or not a number.
    #[error("the weight of uid {uid} is {weight}: weights are finite and not below zero")]
    BadWeight {
        /// Its uid.
        uid: u16,
        /// The weight.
        weight: f64,
    },
    /// A uid stands twice in the list.
    #[error("uid {uid} is weighed twice")]
    Duplicate {
        /// The uid.
        uid: u16,
    },
    /// Nothing is above zero.
    #[error("every weight is zero: there is nothing to set")]
    AllZero,
    /// Too few are above zero.
    #[error("the subnet asks for at least {required} weights, only {found} are above zero")]
    TooFew {
        /// The subnet's minimum.
        required: u16,
        /// Weights above zero after rounding.
        found: usize,
    },
}

/// What is sent: uids, each with a weight from 1 to 65535.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConformedWeights {
    /// In the order given, without those of no weight.
    pub uids: Vec<u16>,
    /// The largest is 65535.
    pub values: Vec<u16>,
}

/// Scales the largest weight to 65535, rounds, and leaves zeros out. All zeros give empty lists.
///
/// # Errors
/// [`ConformError::Lengths`] and [`ConformError::BadWeight`].
pub fn normalise(uids: &[u16], weights: &[f64]) -> Result<ConformedWeights, ConformError> {
    if uids.len() != weights.len() {
        return Err(ConformError::Lengths { uids: uids.len(), weights: weights.len() });
    }
    let bad = |weight: &f64| !weight.is_finite() || *weight < 0.0;
    if let Some(i) = weights.iter().position(bad) {
        return Err(ConformError::BadWeight { uid: uids[i], weight: weights[i] });
    }
    let top = weights.iter().copied().fold(0.0, f64::max);
    let mut sent = ConformedWeights::default();
    if top == 0.0 {
        return Ok(sent);
    }
    for (uid, weight) in uids.iter().zip(weights) {
        // At most 65535, as no weight is above `top`.
        let value = (weight / top * f64::from(u16::MAX)).round_ties_even() as u16;
        if value != 0 {
            sent.uids.push(*uid);
            sent.values.push(value);
        }
    }
    Ok(sent)
}

/// Weights that sum to 1 with none above `limit`. What is cut from the largest is spread over all in proportion.
/// Where no distribution can hold the limit (`len * limit <= 1`), the weights are equal, whatever they were.
///
/// # Errors
/// [`ConformError::AllZero`].
pub fn clip_to_max_weight(weights: &[f64], limit: f64) -> Result<Vec<f64>, ConformError> {
    // Keeps a bound of the search strictly below the limit.
    const EPSILON: f64 = 1e-7;
    let count = weights.len();
    let total: f64 = weights.iter().sum();
    if count == 0 || total <= 0.0 {
        return Err(ConformError::AllZero);
    }
    if count as f64 * limit <= 1.0 {
        return Ok(vec![1.0 / count as f64; count]);
    }
    let mut shares: Vec<f64> = weights.iter().map(|w| w / total).collect();
    shares.sort_by(f64::total_cmp);
    if shares[count - 1] <= limit {
        return Ok(weights.iter().map(|w| w / total).collect());
    }
    let running_sum = |sum: &mut f64, share: &f64| {
        *sum += share;
        Some(*sum)
    };
    let sums: Vec<f64> = shares.iter().scan(0.0, running_sum).collect();
    let keeps = |i: &usize| shares[*i] / ((count - i - 1) as f64 * shares[*i] + sums[*i] + EPSILON) < limit;
    let kept = (0..count).filter(keeps).count();
    let kept_sum = kept.checked_sub(1).map_or(0.0, |last| sums[last]);
    let cutoff = (limit * kept_sum - EPSILON) / (1.0 - limit * (count - kept) as f64) * total;
    let clipped: Vec<f64> = weights.iter().map(|w| w.min(cutoff)).collect();
    let clipped_total: f64 = clipped.iter().sum();
    Ok(clipped.into_iter().map(|w| w / clipped_total).collect())
}

/// Everything between scores and the call: clipped to the subnet's highest share, scaled, rounded, and counted
/// against its minimum. A single weight on one's own uid is free of both limits, as the chain has it.
///
/// * `min_allowed_weights`: the subnet's minimum, already bounded by the number of neurons;
/// * `max_weight_limit`: highest share of one weight, of 65535; 65535: no limit.
///
/// # Errors
/// [`ConformError`].
pub fn conform(
    uids: &[u16],
    weights: &[f64],
    own_uid: u16,
    min_allowed_weights: u16,
    max_weight_limit: u16,
) -> Result<ConformedWeights, ConformError> {
    let mut seen = BTreeSet::new();
    if let Some(uid) = uids.iter().find(|uid| !seen.insert(**uid)) {
        return Err(ConformError::Duplicate { uid: *uid });
    }
    let only_self = uids == [own_uid];
    let sent = match only_self || max_weight_limit == u16::MAX {
        true => normalise(uids, weights)?,
        false => normalise(uids, &clip_to_max_weight(weights, f64::from(max_weight_limit) / f64::from(u16::MAX))?)?,
    };
    if sent.uids.is_empty() {
        return Err(ConformError::AllZero);
    }
    if !only_self && sent.uids.len() < usize::from(min_allowed_weights) {
        return Err(ConformError::TooFew { required: min_allowed_weights, found: sent.uids.len() });
    }
    Ok(sent)
}
