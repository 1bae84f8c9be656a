//! Laws of weights, for any numbers.

use grail_chain::{clip_to_max_weight, conform, normalise};
use proptest::prelude::*;

proptest! {
    #[test]
    fn the_largest_weight_is_full_and_none_is_zero(weights in prop::collection::vec(0.0..1e6f64, 0..40)) {
        let uids: Vec<u16> = (0..weights.len() as u16).collect();
        let sent = normalise(&uids, &weights).unwrap();
        prop_assert!(sent.values.iter().all(|v| *v > 0));
        let something = weights.iter().any(|w| *w > 0.0);
        prop_assert_eq!(sent.values.iter().max().copied(), something.then_some(u16::MAX));
    }

    #[test]
    fn no_clipped_share_is_above_its_limit(weights in prop::collection::vec(1e-6..1.0f64, 1..40), limit in 0.01..1.0f64) {
        let clipped = clip_to_max_weight(&weights, limit).unwrap();
        let highest = limit.max(1.0 / weights.len() as f64);
        prop_assert!(clipped.iter().all(|w| *w <= highest + 1e-6), "{:?}", clipped);
        prop_assert!((clipped.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn any_numbers_are_sent_or_refused(weights: Vec<f64>, own_uid: u16, min: u16, max: u16) {
        let uids: Vec<u16> = (0..weights.len() as u16).collect();
        if let Ok(sent) = conform(&uids, &weights, own_uid, min, max) {
            prop_assert_eq!(sent.uids.len(), sent.values.len());
            prop_assert!(!sent.uids.is_empty());
        }
    }
}
