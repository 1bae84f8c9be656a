//! The chain as a miner and a validator use it.
