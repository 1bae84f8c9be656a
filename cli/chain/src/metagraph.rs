//! Who is on the subnet.
//!
//! One call of the runtime gives it all. Its answer has some seventy fields whose order and number change between
//! runtimes, so only the needed ones are decoded, by name. A runtime without that call is read entry by entry.

use futures::{StreamExt, TryStreamExt, stream};
use grail_protocol::AccountId;
use subxt::ext::scale_decode::DecodeAsType;

use crate::error::not_registered;
use crate::state::StateAt;
use crate::{Block, Chain, NodeError, StateError};

const PALLET: &str = "SubtensorModule";

/// Requests under way at once when the metagraph is read entry by entry.
const CONCURRENT: usize = 16;

/// The neurons of the subnet at one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metagraph {
    /// The subnet.
    pub netuid: u16,
    /// The block it is of.
    pub block: u64,
    /// Whether [`Neuron::stake`] is the stake weight that the chain's thresholds are about.
    pub stake_is_weight: bool,
    /// By uid, from 0 without gaps.
    pub neurons: Vec<Neuron>,
}

/// One place on the subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neuron {
    /// Its number.
    pub uid: u16,
    /// The key that mines or validates.
    pub hotkey: AccountId,
    /// The key that owns the hotkey.
    pub coldkey: AccountId,
    /// Stake in rao: the stake weight, or where the runtime lacks `get_metagraph` only the hotkey's alpha on this
    /// subnet.
    pub stake: u64,
    /// Whether it may weigh others.
    pub validator_permit: bool,
    /// Block of its last weights, or of its registration.
    pub last_update: u64,
    /// Whether it set weights within the activity cutoff.
    pub active: bool,
}

impl Metagraph {
    /// The neuron of a hotkey.
    #[must_use]
    pub fn neuron(&self, hotkey: &AccountId) -> Option<&Neuron> {
        self.neurons.iter().find(|n| n.hotkey == *hotkey)
    }

    /// What to tell the owner of a hotkey that is not in it.
    #[must_use]
    pub fn not_registered(&self, hotkey: &AccountId) -> String {
        not_registered(hotkey, self.netuid)
    }
}

/// The needed fields of the runtime's answer.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(crate) struct Answer {
    hotkeys: Vec<AccountId>,
    coldkeys: Vec<AccountId>,
    active: Vec<bool>,
    validator_permit: Vec<bool>,
    last_update: Vec<u64>,
    total_stake: Vec<u64>,
}

impl Chain {
    /// The metagraph at a block.
    ///
    /// # Errors
    /// [`StateError::NoSubnet`] where the subnet does not exist at that block; otherwise see [`StateError`].
    pub async fn metagraph(&self, block: &Block) -> Result<Metagraph, StateError> {
        let (netuid, number) = (self.settings().netuid, block.number);
        let (answer, by_api): (Option<Answer>, bool) = self
            .read("the metagraph", block, |state| async move {
                match state.has_api("SubnetInfoRuntimeApi", "get_metagraph") {
                    true => Ok((state.call("SubnetInfoRuntimeApi", "get_metagraph", (netuid,)).await?, true)),
                    false => Ok((entry_by_entry(&state, netuid).await?, false)),
                }
            })
            .await?;
        answer.ok_or(StateError::NoSubnet { netuid, block: number })?.into_metagraph(netuid, number, by_api)
    }

    /// The uid of a hotkey at a block; `None` when it is not registered, of which
    /// [`Chain::not_registered`] tells its owner more.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn registration(&self, block: &Block, hotkey: &AccountId) -> Result<Option<u16>, StateError> {
        let (netuid, hotkey) = (self.settings().netuid, *hotkey);
        self.read(
            "the registration",
            block,
            |state| async move { state.optional(PALLET, "Uids", (netuid, hotkey)).await },
        )
        .await
    }

    /// What to tell the owner of a hotkey without a uid.
    #[must_use]
    pub fn not_registered(&self, hotkey: &AccountId) -> String {
        not_registered(hotkey, self.settings().netuid)
    }

    /// The weights that a uid has set, as (uid, weight) pairs.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn weights(&self, block: &Block, uid: u16) -> Result<Vec<(u16, u16)>, StateError> {
        let netuid = self.settings().netuid;
        self.read("the weights", block, |state| async move { state.value(PALLET, "Weights", (netuid, uid)).await })
            .await
    }
}

impl Answer {
    pub fn into_metagraph(self, netuid: u16, block: u64, stake_is_weight: bool) -> Result<Metagraph, StateError> {
        let expected = self.hotkeys.len();
        let lists = [
            ("coldkeys", self.coldkeys.len()),
            ("active", self.active.len()),
            ("validator_permit", self.validator_permit.len()),
            ("last_update", self.last_update.len()),
            ("total_stake", self.total_stake.len()),
        ];
        if let Some((list, found)) = lists.into_iter().find(|(_, found)| *found != expected) {
            return Err(StateError::Ragged { block, list, found, expected });
        }
        let too_many = StateError::Ragged { block, list: "uids", found: usize::from(u16::MAX), expected };
        let count = u16::try_from(expected).map_err(|_| too_many)?;
        let neurons = (0..count).map(|uid| {
            let i = usize::from(uid);
            Neuron {
                uid,
                hotkey: self.hotkeys[i],
                coldkey: self.coldkeys[i],
                stake: self.total_stake[i],
                validator_permit: self.validator_permit[i],
                last_update: self.last_update[i],
                active: self.active[i],
            }
        });
        Ok(Metagraph { netuid, block, stake_is_weight, neurons: neurons.collect() })
    }
}

/// The same from the entries behind it. The lists of permits and the like may be shorter than the number of
/// neurons: the pallet appends to them when it next writes them.
pub(crate) async fn entry_by_entry(state: &StateAt, netuid: u16) -> Result<Option<Answer>, NodeError> {
    if !state.value::<_, bool>(PALLET, "NetworksAdded", (netuid,)).await? {
        return Ok(None);
    }
    let count: u16 = state.value(PALLET, "SubnetworkN", (netuid,)).await?;
    let hotkeys: Vec<AccountId> = stream::iter(0..count)
        .map(|uid| state.value::<_, AccountId>(PALLET, "Keys", (netuid, uid)))
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let coldkeys = stream::iter(&hotkeys)
        .map(|hotkey| state.value::<_, AccountId>(PALLET, "Owner", (*hotkey,)))
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let total_stake = stream::iter(&hotkeys)
        .map(|hotkey| state.value::<_, u64>(PALLET, "TotalHotkeyAlpha", (*hotkey, netuid)))
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let (mut active, mut validator_permit, mut last_update): (Vec<bool>, Vec<bool>, Vec<u64>) = tokio::try_join!(
        state.value(PALLET, "Active", (netuid,)),
        state.value(PALLET, "ValidatorPermit", (netuid,)),
        state.value(PALLET, "LastUpdate", (netuid,)),
    )?;
    active.resize(hotkeys.len(), false);
    validator_permit.resize(hotkeys.len(), false);
    last_update.resize(hotkeys.len(), 0);
    Ok(Some(Answer { hotkeys, coldkeys, active, validator_permit, last_update, total_stake }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(count: usize) -> Answer {
        Answer {
            hotkeys: (0..count).map(|i| [i as u8; 32]).collect(),
            coldkeys: vec![[9; 32]; count],
            active: vec![true; count],
            validator_permit: vec![false; count],
            last_update: vec![7; count],
            total_stake: (0..count as u64).collect(),
        }
    }

    #[test]
    fn neurons_are_numbered_from_zero() {
        let metagraph = answer(3).into_metagraph(81, 100, true).unwrap();
        assert_eq!(metagraph.neurons.iter().map(|n| n.uid).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(metagraph.neuron(&[2; 32]).map(|n| (n.uid, n.stake)), Some((2, 2)));
        assert_eq!(metagraph.neuron(&[3; 32]), None);
        assert!(metagraph.not_registered(&[3; 32]).contains("btcli subnet register --netuid 81"));
    }

    #[test]
    fn lists_of_different_lengths_are_no_metagraph() {
        let mut ragged = answer(3);
        ragged.active.pop();
        let error = ragged.into_metagraph(81, 100, true).unwrap_err();
        assert_eq!(error, StateError::Ragged { block: 100, list: "active", found: 2, expected: 3 });
        assert!(answer(65_536).into_metagraph(81, 100, true).is_err());
    }

    /// A chain of two neurons, one of them with stake and permit.
    async fn localnet() -> (grail_localnet::chain::ChainServer, Chain) {
        use grail_localnet::chain::{Chain as Localnet, ChainConfig, GenesisConfig, GenesisNeuron};
        let neuron = |n: u8, stake, validator_permit| GenesisNeuron {
            hotkey: [n; 32],
            coldkey: [n + 100; 32],
            stake,
            validator_permit,
        };
        let neurons = vec![neuron(1, 5_000_000_000, true), neuron(2, 0, false)];
        let genesis = GenesisConfig { neurons, ..GenesisConfig::default() };
        let config = ChainConfig { genesis, block_time: None, ..ChainConfig::default() };
        let server = Localnet::open(config, None).unwrap().serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let settings = crate::Settings::new(81, std::time::Duration::from_secs(1));
        let client = Chain::connect(&[server.url()], settings).await.unwrap();
        (server, client)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn entry_by_entry_gives_the_neurons_of_the_call() {
        let (_server, client) = localnet().await;
        let head = client.head().await.unwrap();
        let by_call = client.metagraph(&head).await.unwrap();
        let found = client.read("entries", &head, |state| async move { entry_by_entry(&state, 81).await }).await;
        let by_entry = found.unwrap().unwrap().into_metagraph(81, head.number, true).unwrap();
        assert_eq!(by_entry, by_call);
        assert_eq!((by_call.neurons[0].stake, by_call.neurons[0].coldkey), (5_000_000_000, [101; 32]));
        let none = client.read("entries", &head, |state| async move { entry_by_entry(&state, 7).await }).await;
        assert!(none.unwrap().is_none());
    }
}
