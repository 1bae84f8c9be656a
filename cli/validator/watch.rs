//! What passes on the chain, kept as it passes: the metagraph at a window's first block, what was committed at its last.
//!
//! Public nodes forget state after a few hundred blocks, so this never waits for the judging. A window whose blocks
//! passed unseen is skipped, and says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use grail_chain::{Block, BlockError, StateError};
use grail_protocol::AccountId;
use grail_protocol::window_root::WindowRoot;
use tokio::sync::watch;

use super::{Book, Committed, Miner, WindowEntry};
use crate::subnet::{Ended, Event, Events, Retry, Stop, Subnet, window_of};

/// Keeps what passes.
pub struct Watch {
    /// The network.
    pub subnet: Subnet,
    /// Where it is kept.
    pub book: Arc<Book>,
    /// Who hears of windows that passed unseen.
    pub events: Events,
}

/// Why a block's state was not read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    State(#[from] StateError),
}

impl ReadError {
    fn advise(&self) -> Retry {
        let transient = match self {
            Self::Block(e) => e.is_transient(),
            Self::State(e) => e.is_transient(),
        };
        if transient { Retry::Later } else { Retry::Never }
    }
}

impl Watch {
    /// Watches until told to stop; `kept` hears of every block of which something was kept.
    ///
    /// # Errors
    /// The database's.
    pub async fn run(self, kept: watch::Sender<u64>, stop: Stop) -> Result<()> {
        let length = self.subnet.window_length();
        let Some(seen) = self.subnet.reach(0, &stop).await else {
            return Ok(());
        };
        // The window that is under way is the first that can be judged, unless an earlier run kept more.
        let mut next = match self.book.watched()? {
            Some(watched) => boundary_after(watched, length),
            None => window_of(seen.block.number, length),
        };
        while self.subnet.reach(next, &stop).await.is_some() {
            match self.keep(next, &stop).await? {
                Ok(()) => {
                    kept.send_replace(next);
                    next = boundary_after(next, length);
                }
                Err(Ended::Stopped) => break,
                Err(error) => {
                    let window = window_of(next, length);
                    self.events.tell(Event::WindowUnseen { window, why: error.to_string() });
                    let head = self.subnet.heads.latest().map_or(next, |seen| seen.block.number);
                    next = (window + length).max(window_of(head, length));
                }
            }
        }
        Ok(())
    }

    async fn keep(&self, number: u64, stop: &Stop) -> Result<std::result::Result<(), Ended<ReadError>>> {
        let (subnet, length) = (&self.subnet, self.subnet.window_length());
        let is_first = number.is_multiple_of(length);
        let read = || async {
            let block = subnet.chain.block(number).await?;
            Ok(match is_first {
                true => (block, Some(self.miners(&block).await?), None),
                false => (block, None, Some(self.committed(&block).await?)),
            })
        };
        let forever = || Duration::MAX;
        let (block, miners, committed) =
            match subnet.patience.attempt("chain", stop, forever, ReadError::advise, read).await {
                Ok(found) => found,
                Err(ended) => return Ok(Err(ended)),
            };
        if let Some(miners) = miners {
            let Block { number, hash, timestamp_ms, .. } = block;
            self.book.begin_window(&WindowEntry { block_number: number, block_hash: hash, timestamp_ms }, &miners)?;
        }
        if let Some(committed) = committed {
            self.book.keep_roots(window_of(number, length), number, &committed)?;
        }
        Ok(Ok(()))
    }

    async fn miners(&self, block: &Block) -> Result<Vec<Miner>, ReadError> {
        let metagraph = self.subnet.chain.metagraph(block).await?;
        Ok(metagraph.neurons.iter().map(|n| Miner { uid: n.uid, hotkey: n.hotkey }).collect())
    }

    /// Commitments with a root; whatever else stands there is none of ours.
    async fn committed(&self, block: &Block) -> Result<BTreeMap<AccountId, Committed>, ReadError> {
        let all = self.subnet.chain.commitments(block).await?;
        let of = |commitment: &grail_chain::Commitment| {
            let root = WindowRoot::from_bytes(commitment.raw(1)?)?;
            Some(Committed { root, credentials: commitment.raw(0)?.to_vec() })
        };
        Ok(all.iter().filter_map(|(account, commitment)| Some((*account, of(commitment)?))).collect())
    }
}

/// The first block after one that begins or ends a window.
fn boundary_after(block: u64, length: u64) -> u64 {
    let (window, next) = (window_of(block, length), block + 1);
    let last = window + length - 1;
    if next <= last { last } else { window + length }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_and_last_blocks_alternate() {
        let blocks: Vec<u64> =
            std::iter::successors(Some(100), |&block| Some(boundary_after(block, 50))).take(5).collect();
        assert_eq!(blocks, [100, 149, 150, 199, 200]);
        assert_eq!(boundary_after(120, 50), 149);
    }

    proptest! {
        #[test]
        fn no_boundary_is_passed_over(block in 0_u64..1 << 40, length in 2_u64..1000) {
            let next = boundary_after(block, length);
            let is_boundary = |b: u64| b.is_multiple_of(length) || b % length == length - 1;
            prop_assert!(is_boundary(next) && next > block);
            prop_assert!((block + 1..next).all(|b| !is_boundary(b)));
        }
    }
}
