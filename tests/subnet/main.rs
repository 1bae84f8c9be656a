//! The running subnet, driven through the real binary over real protocols: miners, a validator and a network that
//! fail, lie, are killed and come back.
//!
//! Nothing here waits for time to pass; everything waits for something to be seen, with patience. Networks run side by
//! side, as waiting for blocks is most of what they do; those that keep both cores busy have the machine alone. The
//! moments of kills follow from `GRAIL_TEST_SEED`; those of the soak, which runs only when it is asked for, from
//! `SOAK_SEED`.

mod cheats;
mod clocks;
mod doctor;
mod gpu;
mod honest;
mod late;
mod link;
mod metrics;
mod net;
mod process;
mod random;
mod restarts;
mod signals;
mod soak;
mod trouble;
mod upgrade;
mod watchdog;
mod workshop;
