//! Setting weights when that is due, and publishing what they use once all can see them.

use anyhow::{Context, Result};
use grail_chain::{Neuron, Wait};
use grail_protocol::environment::Environment;

use super::publish::Publication;
use super::run::Validator;
use super::{BookError, Miner, Submission, Waiting};
use crate::subnet::Event;

/// Version of the verdicts for a network that asks validators for one.
const WEIGHTS_VERSION: u64 = 1;

impl<E: Environment> Validator<'_, E> {
    /// Sets weights if that is due, and then publishes what they use.
    pub(super) async fn weigh(&mut self, window: u64) -> Result<()> {
        if self.options.test_mode {
            return Ok(());
        }
        let part = self.subnet.part();
        part.begins(format!("weights of window {window}"));
        // Reads before the call that sets them.
        let longest = self.subnet.chain.longest_call().saturating_mul(3);
        match part.within(longest, self.set_weights(window)).await {
            Ok(true) => self.publish(window).await?,
            Ok(false) => {}
            // What failed once fails until it is opened again, and says less each time.
            Err(error) if is_of_book(&error) => return Err(error),
            Err(error) => self.events.tell(Event::WeightsNotSet { window, why: format!("{error:#}") }),
        }
        Ok(())
    }

    /// Publishes what the newest weights use that all can see on chain: where they are committed first, they wait there
    /// for their reveal.
    pub(super) async fn publish_revealed(&self) -> Result<()> {
        for submission in self.book.late_submissions()? {
            let window = submission.window_start;
            if let Some(waiting) = &submission.waiting {
                let longest = self.subnet.chain.longest_call().saturating_mul(3);
                match self.subnet.part().within(longest, self.is_revealed(waiting)).await {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => {
                        tracing::debug!("whether weights are revealed: {error:#}");
                        return Ok(());
                    }
                }
                let weights = submission.uids.iter().copied().zip(submission.weights.iter().copied()).collect();
                self.book.submitted(&Submission { waiting: None, ..submission })?;
                self.events.tell(Event::WeightsSet { window, weights });
            }
            return self.publish(window).await;
        }
        Ok(())
    }

    async fn is_revealed(&self, waiting: &Waiting) -> Result<bool> {
        let chain = &self.subnet.chain;
        let head = chain.head().await?;
        if head.timestamp_ms < waiting.round_ms {
            return Ok(false);
        }
        let uid = chain.registration(&head, &self.signer.account()).await?;
        let uid = uid.context("the hotkey is not registered any more")?;
        Ok(chain.weights(&head, uid).await? == waiting.shown)
    }

    /// Whether weights are on chain now that count this window, for all to see.
    async fn set_weights(&self, window: u64) -> Result<bool> {
        let chain = &self.subnet.chain;
        let best = chain.best().await?;
        let interval = |block: u64| block / self.options.weights_interval;
        if let Some(last) = self.book.last_submission()?
            && interval(last.block) == interval(best.number)
        {
            return Ok(false);
        }
        let metagraph = chain.metagraph(&best).await?;
        let neuron = |n: &Neuron| Miner { uid: n.uid, hotkey: n.hotkey };
        let neurons: Vec<Miner> = metagraph.neurons.iter().map(neuron).collect();
        let history = self.book.history(window, self.subnet.window_length())?;
        let weights = self.options.weighing.weights(&history, &neurons, window)?;
        if weights.iter().all(|&weight| weight <= 0.0) {
            return Ok(false);
        }
        let uids: Vec<u16> = neurons.iter().map(|n| n.uid).collect();
        let submitted = chain.submit_weights(&self.signer, &uids, &weights, WEIGHTS_VERSION, Wait::Finality).await?;
        let waiting = submitted.reveal.map(|reveal| {
            let (block, round) = (reveal.block, reveal.round);
            tracing::info!(window, block, round, "weights are committed, and revealed from that block on");
            let schedule = chain.settings().timelock.schedule();
            let round_ms = schedule.time_of_round(round).unwrap_or(u64::MAX);
            Waiting { round_ms, shown: submitted.sent.uids.into_iter().zip(submitted.sent.values).collect() }
        });
        let is_shown = waiting.is_none();
        let told = uids.iter().copied().zip(weights.iter().copied()).collect();
        self.book.submitted(&Submission { block: best.number, window_start: window, uids, weights, waiting })?;
        if is_shown {
            self.events.tell(Event::WeightsSet { window, weights: told });
        }
        Ok(is_shown)
    }

    async fn publish(&self, window: u64) -> Result<()> {
        let publication = Publication {
            book: &self.book,
            shelf: &self.shelf,
            bucket: &self.bucket,
            validator: self.signer.account(),
            events: &self.events,
            part: self.subnet.part(),
        };
        match publication.up_to(window).await {
            Err(error) if is_of_book(&error) => return Err(error),
            Err(error) => {
                tracing::warn!("publishing records: {error:#}; it is tried again with the next weights");
                return Ok(());
            }
            Ok(()) => {}
        }
        if let Some(folder) = &self.options.export
            && let Err(error) = self.shelf.hand_over(window, folder)
        {
            tracing::warn!("--export: {error:#}; it is tried again with the next weights");
        }
        Ok(())
    }
}

/// Whether the database failed: no trouble of others, and none that passes.
fn is_of_book(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<BookError>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_fails_is_told_from_trouble_of_others() {
        let failed = redb::Error::Io(std::io::ErrorKind::StorageFull.into());
        let failed = BookError::Database { path: std::path::PathBuf::from("book.redb"), source: Box::new(failed) };
        assert!(is_of_book(&anyhow::Error::from(failed).context("weights")));
        let others = anyhow::anyhow!("the chain is away").context("weights");
        assert!(!is_of_book(&others));
    }
}
