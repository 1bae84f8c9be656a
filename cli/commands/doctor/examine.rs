//! The checks, in an order in which each needs only those before it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use grail_beacon::client::{Client, Settings as BeaconSettings};
use grail_chain::{Block, Chain};
use grail_localnet::bucket::Access;
use grail_protocol::Hash;
use grail_protocol::signature::Signer;
use grail_protocol::ss58;
use grail_store::{Endpoint, Settings as StoreSettings};

use super::{Report, bucket};
use crate::beacon::Clock;
use crate::commands::one_line;
use crate::commands::subnet::{Model, signer};
use crate::flags::{Doctor, NetworkName, Role};
use crate::load;
use crate::network::NetworkFile;
use crate::subnet::local::{Description, MINER, VALIDATOR};
use crate::subnet::{OwnBucket, local_chain, local_store, remote_beacon, remote_chain, remote_network};
use crate::terminal::size;

/// The largest window file inflated, which is what the work of one window may take.
const DISK_BYTES: u64 = 1 << 30;
/// How far this machine's clock may be behind the chain's, in milliseconds.
const BEHIND_MS: u64 = 5_000;
/// How old the newest block may be, in blocks, and at least.
const AGE_BLOCKS: u64 = 4;
const AGE_MS: u64 = 15_000;

/// A network as far as it can be found without connecting to it.
struct Place {
    network: NetworkFile,
    /// Where everything is, of a local network.
    at: Option<Description>,
}

/// Looks at everything; `clock` is this machine's.
pub async fn examine(flags: &Doctor, clock: &Clock) -> Report {
    let mut report = Report::default();
    // An address may hold a key.
    let named = match &flags.subnet.network {
        NetworkName::At(url) => Some(url),
        _ => None,
    };
    for url in named.into_iter().chain(&flags.subnet.chain_endpoint) {
        report.hide(url, host_of(url));
    }
    let signer = wallet(&mut report, flags);
    let digest = model(&mut report, flags);
    disk(&mut report, flags);
    let Some(place) = place(&mut report, flags) else {
        for check in &super::CHECKS[5..] {
            report.skipped(check, "parameters");
        }
        return report;
    };
    weights_digest(&mut report, &place, digest);
    let head = chain(&mut report, flags, &place, clock, signer.as_ref()).await;
    beacon(&mut report, flags, &place, head.as_ref(), clock).await;
    buckets(&mut report, flags, &place, signer.as_ref()).await;
    report
}

/// Scheme and host of an address.
fn host_of(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "(an address)".to_owned();
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{}", host.rsplit('@').next().unwrap_or_default())
}

fn wallet(report: &mut Report, flags: &Doctor) -> Option<Signer> {
    let development = if flags.role == Role::Mine { MINER } else { VALIDATOR };
    match signer(&flags.signer, &flags.subnet, development) {
        Ok(signer) => {
            report.ok("wallet", ss58::encode(&signer.account()));
            Some(signer)
        }
        Err(error) => {
            let advice = "`grail wallet list` shows the hotkeys; name one by --wallet and --hotkey, and the password of \
                an encrypted one by --password-file";
            report.failed("wallet", one_line(&error), advice);
            None
        }
    }
}

/// Opens the model and loads it on its device.
fn model(report: &mut Report, flags: &Doctor) -> Option<Hash> {
    let opened = match Model::open(&flags.model) {
        Ok(opened) => opened,
        Err(error) => {
            report.failed("model", one_line(&error), "`grail model pull MODEL` fetches one; --model names it");
            report.skipped("device", "model");
            return None;
        }
    };
    let digest = opened.identity.digest;
    report.ok("model", opened.identity.name);
    match load::on_device(opened.checkpoint, flags.engine.options()) {
        Ok(engine) => report.ok("device", engine.device()),
        Err(error) => report.failed(
            "device",
            one_line(&error.into()),
            "--device cpu needs no GPU; for a GPU look at `nvidia-smi` and the driver (580 or later); --memory limits memory",
        ),
    }
    Some(digest)
}

fn disk(report: &mut Report, flags: &Doctor) {
    let advice = format!(
        "--data (GRAIL_DATA) names a folder that this user may write, on a disk with {} free",
        size(DISK_BYTES)
    );
    let folder = flags.subnet.data_folder();
    match folder.and_then(|folder| free(&folder).map(|free| (folder, free))) {
        Ok((folder, free)) if free >= DISK_BYTES => {
            report.ok("disk", format!("{} free for {}", size(free), folder.display()));
        }
        Ok((folder, free)) => {
            let found = format!("{} free for {}, a window may need {}", size(free), folder.display(), size(DISK_BYTES));
            report.failed("disk", found, advice);
        }
        Err(error) => report.failed("disk", one_line(&error), advice),
    }
}

/// Free bytes where a folder is or would be made, after a file was written there.
fn free(folder: &Path) -> Result<u64> {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    ensure!(there.is_dir(), "{}: not a folder", there.display());
    let told = |error: std::io::Error| anyhow::anyhow!("{}: {error}", there.display());
    let mut file = tempfile::NamedTempFile::new_in(there).map_err(told)?;
    std::io::Write::write_all(&mut file, &[0; 4096]).and_then(|()| file.as_file().sync_all()).map_err(told)?;
    let disk = rustix::fs::statvfs(there).map_err(|error| told(error.into()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn place(report: &mut Report, flags: &Doctor) -> Option<Place> {
    let is_local = flags.subnet.network == NetworkName::Local && flags.subnet.chain_endpoint.is_empty();
    let found = match is_local {
        true => local_place(flags),
        false => remote_network(&flags.subnet).map(|network| Place { network, at: None }),
    };
    let netuid = |place: &Place| place.network.network().parameters().netuid;
    match found {
        Ok(place) if flags.subnet.netuid == netuid(&place) => {
            let id = &hex::encode(place.network.network().id())[..16];
            report.ok("parameters", format!("network {id}..., subnet {}", netuid(&place)));
            Some(place)
        }
        Ok(place) => {
            let (found, asked) = (netuid(&place), flags.subnet.netuid);
            let told = format!("subnet {found}, --netuid asks for {asked}");
            let cure =
                format!("--netuid {found} (NETUID), if that subnet is meant, or the --parameters of subnet {asked}");
            report.failed("parameters", told, cure);
            None
        }
        Err(error) => {
            let advice = match is_local {
                true => "start a local network: `grail localnet`, with the same --data",
                false => "--parameters (GRAIL_PARAMETERS) names the file that the network's parties agree on",
            };
            report.failed("parameters", one_line(&error), advice);
            None
        }
    }
}

fn local_place(flags: &Doctor) -> Result<Place> {
    let folder: PathBuf = flags.subnet.data_folder()?.join("localnet");
    let at = Description::read(&folder)?;
    ensure!(at.is_some(), "no local network runs in {}", folder.display());
    Ok(Place { network: NetworkFile::read(&folder.join("network.json"))?, at })
}

fn weights_digest(report: &mut Report, place: &Place, digest: Option<Hash>) {
    let parameters = place.network.network().parameters();
    let (wanted, name) = (parameters.weights_digest, &parameters.model_name);
    match digest {
        None => report.skipped("model digest", "model"),
        Some(digest) if digest == wanted => report.ok("model digest", hex::encode(digest)),
        Some(digest) => {
            let found = format!("{}, the network's is {} ({name})", hex::encode(digest), hex::encode(wanted));
            report.failed("model digest", found, format!("--model (GRAIL_MODEL_NAME) must be the network's: {name}"));
        }
    }
}

/// Chain, clock and registration; the newest finalised block.
async fn chain(
    report: &mut Report,
    flags: &Doctor,
    place: &Place,
    clock: &Clock,
    signer: Option<&Signer>,
) -> Option<Block> {
    let connected = match &place.at {
        Some(at) => local_chain(&place.network, at).await,
        None => remote_chain(&flags.subnet, &place.network).await,
    };
    let advice = match &place.at {
        Some(_) => "the local network does not answer: run `grail localnet` with the same --data",
        None => {
            "--network (BT_NETWORK) or --chain-endpoint (BT_CHAIN_ENDPOINT) must lead to a node of the parameters' chain"
        }
    };
    let read = async {
        let chain = connected?;
        let (head, best) = (chain.head().await?, chain.best().await?);
        let genesis = place.network.network().parameters().genesis_hash;
        ensure!(
            chain.genesis_hash() == genesis,
            "its genesis is 0x{}, not the parameters'",
            hex::encode(chain.genesis_hash())
        );
        Ok((chain, head, best))
    };
    match read.await {
        Ok((chain, head, best)) => {
            report.ok("chain", format!("finalised block {}, best {}", head.number, best.number));
            time(report, &best, chain.settings().block_time, clock);
            registration(report, flags, &chain, &head, signer).await;
            Some(head)
        }
        Err(error) => {
            report.failed("chain", one_line(&error), advice);
            report.skipped("clock", "chain");
            report.skipped("registration", "chain");
            None
        }
    }
}

/// This machine's clock beside that of the newest block.
fn time(report: &mut Report, best: &Block, block_time: Duration, clock: &Clock) {
    let now_ms = clock.now_ms();
    let block_ms = u64::try_from(block_time.as_millis()).unwrap_or(u64::MAX);
    let oldest_ms = block_ms.saturating_mul(AGE_BLOCKS).max(AGE_MS);
    let seconds = now_ms.abs_diff(best.timestamp_ms) as f64 / 1000.0;
    let set = "set this machine's clock right, such as by `timedatectl set-ntp true`";
    if now_ms.saturating_add(BEHIND_MS) < best.timestamp_ms {
        report.failed("clock", format!("{seconds:.1} s behind the time of the newest block"), set);
    } else if now_ms > best.timestamp_ms.saturating_add(oldest_ms) {
        let found = format!("{seconds:.1} s ahead of the newest block, or the chain stands still");
        report.failed("clock", found, format!("{set}; if it is right, take another node"));
    } else {
        report.ok("clock", format!("the newest block is {seconds:.1} s away"));
    }
}

async fn registration(report: &mut Report, flags: &Doctor, chain: &Chain, head: &Block, signer: Option<&Signer>) {
    let Some(signer) = signer else {
        return report.skipped("registration", "wallet");
    };
    let account = signer.account();
    match chain.metagraph(head).await {
        Ok(metagraph) => match metagraph.neuron(&account) {
            Some(neuron) if flags.role == Role::Validate && !neuron.validator_permit => {
                let found = format!("uid {} has no validator permit", neuron.uid);
                report.failed(
                    "registration",
                    found,
                    "a permit comes with stake on the hotkey: stake more, then wait an epoch",
                );
            }
            Some(neuron) => report.ok("registration", format!("uid {}", neuron.uid)),
            None => {
                let advice = match flags.subnet.network {
                    NetworkName::Local => "`grail mine` registers a hotkey on the local network by itself".to_owned(),
                    _ => format!("register it: btcli subnet register --netuid {}", chain.settings().netuid),
                };
                report.failed("registration", metagraph.not_registered(&account), advice);
            }
        },
        Err(error) => report.failed("registration", error.to_string(), "look at the chain's endpoint, and at --netuid"),
    }
}

/// The newest round that is out for certain, verified.
async fn beacon(report: &mut Report, flags: &Doctor, place: &Place, head: Option<&Block>, clock: &Clock) {
    let client = match &place.at {
        Some(at) => Client::new(place.network.beacon().clone(), &[&at.beacon], BeaconSettings::default()),
        None => remote_beacon(&flags.subnet, &place.network),
    };
    // By the chain's time, so that a wrong clock here is told once.
    let now_ms = head.map_or_else(|| clock.now_ms(), |head| head.timestamp_ms);
    let schedule = place.network.beacon().schedule();
    let round = schedule.round_at_time(now_ms).map_or(1, |round| round.saturating_sub(1).max(1));
    let asked = async { client?.round(round).await };
    match asked.await {
        Ok(beacon) => report.ok("beacon", format!("round {} is verified", beacon.round)),
        Err(error) => {
            let advice = match &place.at {
                Some(_) => "the local network's beacon does not answer: run `grail localnet` with the same --data",
                None => "--beacon-relay (GRAIL_BEACON_RELAYS) must name a relay of the parameters' beacon that answers",
            };
            report.failed("beacon", error.to_string(), advice);
        }
    }
}

async fn buckets(report: &mut Report, flags: &Doctor, place: &Place, signer: Option<&Signer>) {
    let (own, readers) = match (&place.at, signer) {
        (Some(_), None) => {
            return super::CHECKS[10..].iter().for_each(|check| report.skipped(check, "wallet"));
        }
        (Some(at), Some(signer)) => {
            let access = Access::derive(&at.secret, &signer.account());
            (OwnBucket::local(&at.bucket, &access, local_store()), Endpoint::At(at.bucket.clone()))
        }
        (None, _) => {
            let readers = flags.subnet.buckets_endpoint.clone().map_or(Endpoint::R2, Endpoint::At);
            (OwnBucket::from_env(StoreSettings::default()), readers)
        }
    };
    match own {
        Ok(own) => bucket::examine(report, &own, &readers).await,
        Err(error) => {
            report.failed("bucket write", one_line(&error), "the variables R2_*; .env.example explains each");
            super::CHECKS[11..].iter().for_each(|check| report.skipped(check, "bucket write"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_the_host_is_shown() {
        for (url, host) in [
            ("wss://h.example:443/key/x?y=z", "wss://h.example:443"),
            ("wss://user:hush@h", "wss://h"),
            ("hush", "(an address)"),
        ] {
            assert_eq!(host_of(url), host);
        }
    }

    #[test]
    fn a_disk_is_looked_at_where_a_folder_would_be_made_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(&folder.path().join("not/yet")).unwrap() > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(free(&file).unwrap_err().to_string().contains("not a folder"));
    }
}
