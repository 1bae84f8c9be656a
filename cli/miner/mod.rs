//! The miner: what it keeps on disk, and how it uses its time.
//!
//! A window's work is kept group by group before anything else happens with it, so that a miner that was killed goes
//! on where it was: no index is used twice for different rollouts (they follow from the window), and none is skipped.

mod journal;
mod pace;
mod publish;
mod run;
mod shift;

pub use journal::{Closed, Journal, JournalError, Stage, closed, set_stage, stage};
pub use pace::Pace;
pub use publish::Publisher;
pub use run::{Miner, MinerOptions, folder};
pub use shift::{Shift, ShiftEnd, check_own};
