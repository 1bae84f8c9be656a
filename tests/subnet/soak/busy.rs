//! Whether this machine works for somebody else: processor time that no process of the soak had.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::thread::available_parallelism;

use super::facts::{MACHINE, Outage};

/// Milliseconds of a tick in which the system counts processor time (`USER_HZ` is 100 on Linux).
const TICK_MS: u64 = 10;
/// Time over which a share is taken.
const SPAN_MS: u64 = 2000;

/// Processor time since the beginning, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    at_ms: u64,
    /// Of everybody, and what a host took away.
    all_ms: u64,
    /// Of each process of the soak.
    ours_ms: BTreeMap<u32, u64>,
}

impl Used {
    /// Now, with these processes and this one; none where the system does not tell.
    pub fn now(at_ms: u64, processes: impl IntoIterator<Item = u32>) -> Option<Self> {
        let all_ms = of_everybody(&fs::read_to_string("/proc/stat").ok()?)?;
        let of = |id: u32| Some((id, of_process(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?));
        let ours_ms = processes.into_iter().chain([std::process::id()]).filter_map(of).collect();
        Some(Self { at_ms, all_ms, ours_ms })
    }

    /// Of others, between a time before and this one.
    fn of_others(&self, before: &Self) -> u64 {
        let since = |id: &u32, now: u64| now.saturating_sub(before.ours_ms.get(id).copied().unwrap_or(0));
        let ours: u64 = self.ours_ms.iter().map(|(id, &now)| since(id, now)).sum();
        self.all_ms.saturating_sub(before.all_ms).saturating_sub(ours)
    }
}

/// Spans in which others had at least half of all processors.
#[derive(Default)]
pub struct Busy {
    before: Option<Used>,
    /// Begin, end and what others used, of the last looks.
    looks: VecDeque<(u64, u64, u64)>,
    spans: Vec<Outage>,
}

impl Busy {
    /// Learns from a look.
    pub fn learn(&mut self, used: Used, processors: u64) {
        let Some(before) = self.before.replace(used.clone()) else { return };
        self.looks.push_back((before.at_ms, used.at_ms, used.of_others(&before)));
        while self.looks.get(1).is_some_and(|&(begin, ..)| begin + SPAN_MS <= used.at_ms) {
            self.looks.pop_front();
        }
        let Some(&(from_ms, ..)) = self.looks.front() else { return };
        let (passed_ms, others_ms) = (used.at_ms - from_ms, self.looks.iter().map(|look| look.2).sum::<u64>());
        if passed_ms < SPAN_MS || others_ms * 2 < passed_ms * processors {
            return;
        }
        match self.spans.last_mut().filter(|last| last.to_ms >= from_ms) {
            Some(last) => last.to_ms = used.at_ms,
            None => self.spans.push(Outage { who: MACHINE, from_ms, to_ms: used.at_ms }),
        }
    }

    pub fn spans(&self) -> Vec<Outage> {
        self.spans.clone()
    }
}

/// Processors that there are.
pub fn processors() -> u64 {
    available_parallelism().map_or(1, |n| n.get() as u64)
}

/// The first line of `/proc/stat` but for idle time and waiting for disks.
fn of_everybody(stat: &str) -> Option<u64> {
    let numbers: Option<Vec<u64>> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(|n| n.parse().ok()).collect();
    match numbers?[..] {
        [user, nice, system, _idle, _disks, interrupts, soft, stolen, ..] => {
            Some((user + nice + system + interrupts + soft + stolen) * TICK_MS)
        }
        _ => None,
    }
}

/// User and system time of a process's `stat`, whose second field may hold anything in its parentheses.
fn of_process(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) * TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};
    use std::time::Duration;

    use crate::net::PATIENCE;
    use crate::process::eventually;
    use crate::random::now_ms;

    #[test]
    fn processor_time_is_what_the_system_says() {
        assert_eq!(of_everybody("cpu  10 2 3 1000 500 1 2 4 9 9\ncpu0 1 1\n"), Some(220));
        assert_eq!(of_everybody("cpu  10 2\n"), None);
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 900 1 1";
        assert_eq!(of_process(stat), Some(3000));
        assert!(Used::now(0, []).is_some_and(|used| used.ours_ms.contains_key(&std::process::id())));
    }

    /// Looks every 250 ms for a while; each gives what everybody and the one process of ours used meanwhile.
    fn spans(looks: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut busy = Busy::default();
        let mut used = Used { at_ms: 0, all_ms: 7000, ours_ms: [(1, 500)].into() };
        busy.learn(used.clone(), 2);
        for (all, ours) in looks {
            used.at_ms += 250;
            used.all_ms += all;
            *used.ours_ms.get_mut(&1).expect("ours") += ours;
            busy.learn(used.clone(), 2);
        }
        busy.spans().iter().map(|span| (span.from_ms, span.to_ms)).collect()
    }

    #[test]
    fn a_machine_is_busy_when_others_have_half_of_it_for_two_seconds_and_not_when_the_soak_has() {
        assert_eq!(spans(&[(500, 500); 40]), []);
        assert_eq!(spans(&[(500, 260); 40]), []);
        assert_eq!(spans(&[(500, 250); 40]), [(0, 10_000)]);
        assert_eq!(spans(&[(500, 0); 3]), []);
        // A burst of a second is half a second of each.
        let quiet = [(300, 300); 12];
        assert_eq!(spans(&[&quiet[..], &[(500, 0); 3], &quiet].concat()), []);
        let long = spans(&[&quiet[..], &[(500, 0); 8], &quiet].concat());
        assert!(matches!(long[..], [(from, to)] if from >= 2000 && to <= 6000), "{long:?}");
    }

    #[test]
    fn a_process_that_has_just_begun_is_ours_and_one_that_is_gone_is_nobodys() {
        let before = Used { at_ms: 0, all_ms: 1000, ours_ms: [(1, 900), (2, 50)].into() };
        let now = Used { at_ms: 250, all_ms: 1400, ours_ms: [(1, 1000), (3, 200)].into() };
        assert_eq!(now.of_others(&before), 100);
    }

    struct Loop(Child);

    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = (self.0.kill(), self.0.wait());
        }
    }

    #[test]
    fn a_machine_that_others_use_is_seen_to_be_busy() {
        let begin = |_| Loop(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh"));
        let _others: Vec<Loop> = (0..processors()).map(begin).collect();
        let mut busy = Busy::default();
        let look = || {
            std::thread::sleep(Duration::from_millis(250));
            busy.learn(Used::now(now_ms(), []).expect("Linux"), processors());
            (!busy.spans().is_empty()).then_some(())
        };
        eventually("a busy machine", PATIENCE, look, String::new);
    }
}
