//! What the chain's error names and codes mean to the owner of a hotkey, and what to do about them.

/// The meaning of a pallet's error.
pub(crate) fn pallet_error(pallet: &str, error: &str) -> String {
    let words = match pallet {
        "Commitments" => commitments(error),
        "SubtensorModule" => weights(error).or_else(|| subtensor(error)),
        _ => None,
    };
    words.map_or_else(|| "the chain gives no more words than its name".to_owned(), str::to_owned)
}

fn commitments(error: &str) -> Option<&'static str> {
    Some(match error {
        "TooManyFieldsInCommitmentInfo" => "the commitment has more fields than the chain keeps",
        "AccountNotAllowedCommit" => "only hotkeys registered on the subnet may commit; register this one first",
        "SpaceLimitExceeded" => {
            "this hotkey has used up its bytes for commitments in this epoch; they are renewed at the next one"
        }
        "UnexpectedUnreserveLeftover" => "the deposit of the last commitment could not be given back in full",
        _ => return None,
    })
}

fn subtensor(error: &str) -> Option<&'static str> {
    Some(match error {
        "HotKeyNotRegisteredInSubNet" | "HotKeyNotRegisteredInNetwork" | "HotKeyAccountNotExists" => {
            "the hotkey is not registered on the subnet; register it first"
        }
        "HotKeyAlreadyRegisteredInSubNet" => "the hotkey is registered on the subnet already",
        "NonAssociatedColdKey" => "the hotkey belongs to another coldkey",
        "NotEnoughBalanceToStake" | "InsufficientBalance" => "the coldkey's balance is too low",
        "SubNetRegistrationDisabled" => "registration on the subnet is switched off",
        "SubnetNotExists" | "MechanismDoesNotExist" => "the subnet does not exist",
        "TooManyRegistrationsThisBlock" => "too many hotkeys were registered in this block; try in the next",
        "TooManyRegistrationsThisInterval" => "too many hotkeys were registered in this interval; try in the next",
        "NoNeuronIdAvailable" => "every place on the subnet is taken and protected; try later",
        "ServingRateLimitExceeded" | "TxRateLimitExceeded" | "NetworkTxRateLimitExceeded" => {
            "calls of this kind came too fast after each other; wait and try again"
        }
        "CallDisabled" => "this call is switched off on this chain",
        _ => return None,
    })
}

fn weights(error: &str) -> Option<&'static str> {
    Some(match error {
        "NotEnoughStakeToSetWeights" => "the hotkey has too little stake to set weights",
        "NeuronNoValidatorPermit" => "the hotkey has no validator permit, and only its own uid could be weighed",
        "WeightVecNotEqualSize" | "InputLengthsUnequal" => "there are not as many weights as uids",
        "DuplicateUids" => "a uid is weighed twice",
        "UidVecContainInvalidOne" => "a uid is weighed that the subnet does not have",
        "WeightVecLengthIsLow" => "fewer uids are weighed than the subnet asks for",
        "MaxWeightExceeded" => "a weight is above the subnet's highest share",
        "UidsLengthExceedUidsInSubNet" => "more uids are weighed than the subnet has",
        "SettingWeightsTooFast" | "CommittingWeightsTooFast" => {
            "the last weights, or the registration, are too recent for the subnet's rate limit"
        }
        "IncorrectWeightVersionKey" => "the subnet asks for a higher version key: update this program",
        "CommitRevealEnabled" => "the subnet takes commitments to weights, not weights",
        "CommitRevealDisabled" => "the subnet takes weights, not commitments to them",
        "CanNotSetRootNetworkWeights" => "weights of the root network cannot be set",
        "TooManyUnrevealedCommits" => "too many commitments to weights are waiting for their reveal",
        "IncorrectCommitRevealVersion" => "the subnet asks for another version of commitments to weights",
        _ => return None,
    })
}

/// The meaning of a code with which Subtensor's checks before the pool refuse an extrinsic.
pub(crate) fn custom_error(code: u8) -> String {
    let words = match code {
        0 => "the coldkey is about to be swapped",
        1 => "the stake is too low",
        2 => "the balance is too low",
        3 => "the subnet does not exist",
        4 => "the hotkey is not known to the chain; register it first",
        5 => "there is not enough stake to withdraw",
        6 => "calls of this kind came too fast after each other; wait for the rate limit",
        7 => "the subnet's pool has too little liquidity",
        8 => "the price would move too far",
        9 => "the subnet does not allow transfers",
        10 => "the hotkey is not registered on the subnet; register it first",
        11 => "the IP address is not valid",
        12 => "serving came too fast after the last time; wait for the rate limit",
        13 => "the port is not valid",
        15 => "the round of the reveal is not valid",
        16 => "there is no such commitment to weights",
        17 => "the commitment to weights cannot be revealed at this block",
        18 => "there are not as many weights as uids",
        19 => "a uid does not exist",
        255 => "the call is malformed",
        _ => return format!("the chain's own code {code}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_have_words_and_unknown_ones_say_so() {
        for (pallet, error) in [
            ("Commitments", "SpaceLimitExceeded"),
            ("Commitments", "AccountNotAllowedCommit"),
            ("SubtensorModule", "SettingWeightsTooFast"),
            ("SubtensorModule", "HotKeyNotRegisteredInSubNet"),
        ] {
            assert!(!pallet_error(pallet, error).contains("no more words"), "{pallet}::{error}");
        }
        assert!(pallet_error("Commitments", "SettingWeightsTooFast").contains("no more words"));
        assert!(pallet_error("Elsewhere", "SpaceLimitExceeded").contains("no more words"));
        assert_eq!(custom_error(200), "the chain's own code 200");
    }
}
