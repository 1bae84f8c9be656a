//! The question before anything is signed on a real network for the first time.
//!
//! What a hotkey commits there is public for ever, and a flag mistyped is quickly typed. So a person is asked once for
//! each network and hotkey; a program says `--yes`.

use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grail_protocol::{AccountId, Hash, ss58};

use super::Usage;
use crate::flags::{NetworkName, SubnetFlags};

/// Who is to sign where.
pub struct Place<'a> {
    /// The network as it was named.
    pub network: &'a NetworkName,
    /// Hash of the chain's first block.
    pub genesis: Hash,
    /// The subnet.
    pub netuid: u16,
    /// The key that signs.
    pub hotkey: AccountId,
}

impl Place<'_> {
    fn mark(&self, data: &Path) -> PathBuf {
        let name = format!("{}-{}-{}", hex::encode(&self.genesis[..8]), self.netuid, ss58::encode(&self.hotkey));
        data.join("confirmed").join(name)
    }

    /// Goes on if it was confirmed before, or is now.
    ///
    /// # Errors
    /// Another answer than yes, nobody to ask, and a folder that cannot be written.
    pub fn confirm(&self, data: &Path, terminal: Option<&mut dyn BufRead>, out: &mut dyn Write) -> Result<()> {
        let mark = self.mark(data);
        if mark.exists() {
            return Ok(());
        }
        let Some(input) = terminal else {
            bail!(Usage(format!(
                "--yes: needed before {} signs on network {} for the first time, as there is no terminal to ask at",
                ss58::encode(&self.hotkey),
                self.network
            )));
        };
        writeln!(
            out,
            "{} has not signed on this network before: {}, subnet {}, genesis 0x{}.\nWhat it publishes there is public \
             for ever. Go on? Type yes:",
            ss58::encode(&self.hotkey),
            self.network,
            self.netuid,
            hex::encode(self.genesis)
        )?;
        out.flush()?;
        let mut answer = String::new();
        input.read_line(&mut answer).context("the answer")?;
        if answer.trim() != "yes" {
            bail!("nothing was signed: the answer was not yes");
        }
        let write = || {
            fs::create_dir_all(mark.parent().unwrap_or(data))?;
            fs::write(&mark, "")
        };
        write().with_context(|| mark.display().to_string())
    }
}

/// Whether what was named is on this machine alone.
#[must_use]
pub fn is_local(flags: &SubnetFlags) -> bool {
    let endpoints = match flags.chain_endpoint.is_empty() {
        true => flags.network.endpoints(),
        false => flags.chain_endpoint.clone(),
    };
    endpoints.iter().all(|url| is_loopback(url))
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINNEY: Place<'_> = Place { network: &NetworkName::Finney, genesis: [1; 32], netuid: 81, hotkey: [2; 32] };

    fn ask(place: &Place<'_>, data: &Path, answer: Option<&str>) -> (Result<()>, String) {
        let mut out = Vec::new();
        let mut input = answer.map(str::as_bytes);
        let result = place.confirm(data, input.as_mut().map(|input| input as &mut dyn BufRead), &mut out);
        (result, String::from_utf8(out).unwrap())
    }

    #[test]
    fn yes_is_asked_for_once_per_network_and_hotkey() {
        let folder = tempfile::tempdir().unwrap();
        let (refused, question) = ask(&FINNEY, folder.path(), Some("y\n"));
        assert!(refused.unwrap_err().to_string().contains("nothing was signed"));
        assert!(question.contains("finney, subnet 81") && question.contains("public"), "{question}");
        assert!(ask(&FINNEY, folder.path(), Some("yes\n")).0.is_ok());
        let (again, question) = ask(&FINNEY, folder.path(), None);
        assert!(again.is_ok() && question.is_empty(), "{question}");
        for other in
            [Place { hotkey: [3; 32], ..FINNEY }, Place { genesis: [3; 32], ..FINNEY }, Place { netuid: 1, ..FINNEY }]
        {
            assert!(ask(&other, folder.path(), Some("")).0.is_err());
        }
    }

    #[test]
    fn without_a_terminal_the_flag_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = ask(&FINNEY, folder.path(), None).0.unwrap_err();
        assert!(refused.is::<Usage>() && refused.to_string().starts_with("--yes: needed"), "{refused}");
    }

    #[test]
    fn only_this_machine_is_local() {
        for url in ["ws://127.0.0.1:9944", "ws://localhost", "ws://[::1]:1/x", "ws://127.9.9.9:1"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "wss://entrypoint-finney.opentensor.ai:443",
            "ws://10.0.0.1:9944",
            "ws://127.0.0.1.example:1",
            "ws://localhost@example.org",
            "ws://example.org/127.0.0.1",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
