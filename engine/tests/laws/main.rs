//! The engine's laws (NUMERICS section 12), each as a test, against the scalar reference.
//!
//! One binary, so that the helpers are compiled and linked once. Models are tiny and random; what is compared is
//! bits. Every family has tests that change something by the least amount and must be noticed.

mod ahead;
mod common;
mod faults;
mod forward;
mod generate;
mod oracle;
mod requests;
mod score;
mod truth;

// The examples are compiled with the tests and run with them.
#[path = "../../examples/embed.rs"]
mod embed;
#[path = "../../examples/replay.rs"]
mod replay;

#[test]
fn the_example_programs_run() {
    embed::main().unwrap();
    replay::main().unwrap();
}

#[test]
fn an_engine_can_be_sent_to_another_thread() {
    fn assert_send<T: Send>(_: &T) {}
    let model = common::small();
    let mut engine = model.engine(common::options());
    assert_send(&engine);
    let r = common::projection(model.shape.hidden);
    let (here, engine) = (oracle::traced(&mut engine, &[1, 2, 3], &r).unwrap(), engine);
    let there = std::thread::spawn(move || {
        let mut engine = engine;
        oracle::traced(&mut engine, &[1, 2, 3], &r).unwrap()
    });
    assert_eq!(oracle::difference(&here, &there.join().unwrap()), None);
}
