//! The stand-in for a script: serves until it is killed. Usage: serve DATASET...; one line of JSON says where and with
//! which tokens.

use std::io::Write;

use grail_hub_standin::{Hub, READER, WRITER};

fn main() -> std::io::Result<()> {
    let hub = Hub::start()?;
    for id in std::env::args().skip(1) {
        hub.create(&id, false);
    }
    let told = serde_json::json!({ "url": hub.url(), "writer": WRITER, "reader": READER });
    let mut out = std::io::stdout();
    writeln!(out, "{told}")?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}
