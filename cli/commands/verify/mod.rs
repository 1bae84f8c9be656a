//! `grail verify`: derives a window file again and says what it is worth.

mod report;

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use grail_engine::EngineOptions;
use grail_protocol::assignment::{Protocol, WindowHead};
use grail_protocol::verify::{
    Claimed, Extent, Outcome as VerdictOutcome, Reason, ReasonKind, Selection, Verdict, Verifier,
};
use grail_protocol::window::{Schema, WindowFile};
use grail_protocol::{AccountId, Hash, ss58};

use super::rollouts::watch;
use super::{Outcome, Usage};
use crate::flags::Verify;
use crate::load;
use crate::offline::{Opened, Setting, head_of, open};
use crate::sat::Sat;
use report::{Facts, Report};

pub fn run(flags: &Verify, out: &mut dyn Write) -> Result<Outcome> {
    let address = flags.address.as_deref().map(|text| ss58::decode(text).map_err(|e| Usage(format!("--address: {e}"))));
    let address = address.transpose()?;
    let Setting { checkpoint, tokenizer, network } = Setting::open(&flags.network)?;
    let protocol = Protocol::new(network.network(), &Sat, &tokenizer, checkpoint.config())?;
    let opened = open(&flags.file, &Schema::of::<Sat>(), &protocol.limits())?;
    let challenge = challenge(flags)?;
    let mut facts = Facts { flags, network: &network, opened: &opened, head: None, challenge, timing: None };

    let verdict = match judged(&opened, &network, address) {
        Err(reason) => Verdict::refused(reason),
        Ok((file, head, account)) => {
            let options = EngineOptions { max_batch: flags.batch as usize, ..flags.engine.options() };
            let mut engine = load::on_device(checkpoint, options).context("the model")?;
            let mut scored = (0, 0.0);
            let mut scorer = |request: &grail_engine::types::ScoreRequest<'_>| {
                let begun = Instant::now();
                let result = engine.score(request, &mut *watch("verifying"));
                let tokens = request.groups.iter().flat_map(|g| &g.completions).map(|c| c.tokens.len()).sum();
                scored = (tokens, begun.elapsed().as_secs_f64());
                result
            };
            let verifier = Verifier::new(&protocol);
            let claimed = Claimed { file, head: &head, account: &account };
            let verdict = match (flags.spot, &challenge) {
                (true, Some(challenge)) => verifier.spot(claimed, challenge, Extent::EveryRollout, &mut scorer),
                (_, Some(c_w)) => {
                    let drawn = Selection::Drawn { c_w, lowered_to: None };
                    verifier.verify(claimed, drawn, Extent::EveryRollout, &mut scorer)
                }
                (_, None) => verifier.verify(claimed, Selection::All, Extent::EveryRollout, &mut scorer),
            }?;
            (facts.head, facts.timing) = (Some(head), Some(scored));
            verdict
        }
    };
    Report { facts: &facts, verdict: &verdict }.write(out)?;
    Ok(if verdict.outcome == VerdictOutcome::Valid { Outcome::Done } else { Outcome::Rejected })
}

/// C_w as it was stated; a spot check without one draws its own.
fn challenge(flags: &Verify) -> Result<Option<Hash>> {
    match &flags.challenge {
        Some(stated) => Ok(Some(stated.0)),
        None if flags.spot => {
            let mut random = [0; 32];
            getrandom::fill(&mut random).context("the system's random bytes")?;
            Ok(Some(random))
        }
        None => Ok(None),
    }
}

/// The parts of a file that can be judged: it reads, its head holds, and it names a hotkey.
pub(super) fn judged<'a>(
    opened: &'a Opened,
    network: &crate::network::NetworkFile,
    address: Option<AccountId>,
) -> Result<(&'a WindowFile, WindowHead, AccountId), Reason> {
    let file = opened.file.as_ref().map_err(Clone::clone)?;
    // Before the head: another network has another beacon.
    let (stated, found) = (hex::encode(network.network().id()), &file.network_id);
    if stated != *found {
        return Err(Reason::of_file(ReasonKind::WrongNetwork, "network_id", format!("{stated}, as stated"), found));
    }
    let head = head_of(&file.block, &file.beacon, network)?;
    let account = match address {
        Some(account) => account,
        None => ss58::decode(&file.wallet).map_err(|e| {
            Reason::of_file(ReasonKind::WrongHotkey, "wallet", format!("an address: {e}"), &file.wallet)
        })?,
    };
    Ok((file, head, account))
}
