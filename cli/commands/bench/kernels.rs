//! `grail bench kernels`: how long each GPU kernel takes, what that is of the device's limits, and of cuBLASLt's time.

use std::io::Write;

use anyhow::{Context, Result};
use grail_engine::cuda::{BenchOptions, BenchRow, Bytes, KernelBench, Limits, Peer};
use grail_engine::{Chosen, DeviceChoice, Error};
use serde_json::{Value, json};

use super::spread::Spread;
use super::{Outcome, Usage};
use crate::flags::{BenchKernels, ShapeName};

const LEGEND: &str = "\
us: median microseconds of a launch, from recorded graphs. GB/s: bytes read and written, each once; + where more are read
that depend on the values. Tops/s: two for each product of two bytes that is issued; a product of this engine's numbers is
four. Shares are of the copy and of int8 mma.sync above. bf16: the same matrices by cuBLASLt, and how many times as long
the kernel takes.";

pub fn run(flags: &BenchKernels, out: &mut dyn Write) -> Result<Outcome> {
    let bench = KernelBench::new(device(&flags.device)?, options(flags)?)?;
    let limits = bench.limits().context("measuring the device's limits")?;
    let missing = bench.peer_problem();
    let info = bench.device().info();
    let name = format!("cuda:{} {}", info.ordinal, info.name);
    if flags.json {
        let head = json!({
            "device": name, "shape": flags.shape, "copy_bytes_per_s": limits.bytes_per_s,
            "mma_operations_per_s": limits.operations_per_s, "bf16_missing": missing,
        });
        writeln!(out, "{head}")?;
    } else {
        let (copy, mma) = (limits.bytes_per_s / 1e9, limits.operations_per_s / 1e12);
        writeln!(out, "device   {name}: copies {copy:.0} GB/s, {mma:.1} Tops/s of int8 mma.sync")?;
        writeln!(out, "shape    {}, {} positions before a decoding row", flags.shape, flags.context)?;
        writeln!(out, "bf16     {}", missing.as_deref().map_or("cuBLASLt".into(), |why| format!("none: {why}")))?;
        writeln!(out, "runs     {}\n", flags.runs)?;
        writeln!(
            out,
            "{:<19} {:<36} {:>10}  {:<20} {:>8} {:>5} {:>8} {:>5} {:>10} {:>6}",
            "kernel", "case", "us", "range", "GB/s", "", "Tops/s", "", "bf16 us", ""
        )?;
    }
    let mut refused = None;
    let measured = bench.run(&mut |row| {
        let written = shown(&row, &limits, flags.json).and_then(|text| Ok(writeln!(out, "{text}")?));
        written.and_then(|()| Ok(out.flush()?)).map_err(|error| {
            refused = Some(error);
            // Ends the measurement; what is told is the reason.
            Error::Request { field: "output".into(), problem: "refused".into() }
        })
    });
    if let Some(error) = refused {
        return Err(error);
    }
    measured?;
    if !flags.json {
        writeln!(out, "\n{LEGEND}")?;
    }
    Ok(Outcome::Done)
}

/// The one GPU.
fn device(choice: &DeviceChoice) -> Result<usize> {
    let usage = |problem: String| anyhow::Error::from(Usage(problem));
    match choice.resolve()? {
        Chosen::Cuda(ordinals) if ordinals.len() == 1 => Ok(ordinals[0]),
        Chosen::Cuda(_) => Err(usage(format!("--device {choice}: kernels are measured on one GPU"))),
        Chosen::Cpu { why: None } => Err(usage(format!(
            "--device {choice}: these are kernels of GPUs; those of CPUs: cargo bench -p grail-engine --bench kernels"
        ))),
        Chosen::Cpu { why: Some(why) } => Err(anyhow::anyhow!("no GPU to measure: {why}")),
    }
}

fn options(flags: &BenchKernels) -> Result<BenchOptions> {
    let ShapeName(shape) = flags.shape.parse().map_err(Usage)?;
    let batches = flags.batches.0.iter().map(|&n| u32::try_from(n));
    let batches = batches.collect::<Result<_, _>>().map_err(|_| Usage("--batches: more than 2^32 - 1".into()))?;
    let (prompt, context, runs) = (flags.prompt, flags.context, flags.runs);
    let options = BenchOptions { batches, prompt, context, runs, ..BenchOptions::new(shape) };
    Ok(if flags.quick { options.quick() } else { options })
}

/// A measured row beside the limits.
struct Row<'a> {
    row: &'a BenchRow,
    time: Spread,
    bytes_per_s: f64,
    of_copy: f64,
    operations_per_s: f64,
    of_mma: f64,
    peer_s: Option<f64>,
}

fn shown(row: &BenchRow, limits: &Limits, json: bool) -> Result<String> {
    let of = || format!("{}, {}", row.kernel, row.case);
    let time = Spread::of(row.seconds.clone()).with_context(of)?;
    let peer_s = match &row.peer {
        Peer::Seconds(seconds) => Some(Spread::of(seconds.clone()).with_context(of)?.median),
        Peer::None | Peer::Missing(_) => None,
    };
    let (bytes_per_s, operations_per_s) = (row.bytes.count() as f64 / time.median, row.operations as f64 / time.median);
    let (of_copy, of_mma) = (bytes_per_s / limits.bytes_per_s, operations_per_s / limits.operations_per_s);
    let row = Row { row, time, bytes_per_s, of_copy, operations_per_s, of_mma, peer_s };
    Ok(if json { row.json().to_string() } else { row.text() })
}

impl Row<'_> {
    fn json(&self) -> Value {
        let missing = match &self.row.peer {
            Peer::Missing(why) => Some(why),
            _ => None,
        };
        json!({
            "kernel": self.row.kernel, "case": self.row.case, "seconds": self.time.median,
            "least_seconds": self.time.least, "greatest_seconds": self.time.greatest,
            "bytes": self.row.bytes.count(), "bytes_are_exact": matches!(self.row.bytes, Bytes::Exactly(_)),
            "operations": self.row.operations, "bytes_per_s": self.bytes_per_s, "of_copy": self.of_copy,
            "operations_per_s": self.operations_per_s, "of_mma": self.of_mma,
            "bf16_seconds": self.peer_s, "bf16_missing": missing,
        })
    }

    fn text(&self) -> String {
        let us = |s: f64| 1e6 * s;
        let more = if matches!(self.row.bytes, Bytes::AtLeast(_)) { "+" } else { " " };
        let mut text = format!(
            "{:<19} {:<36} {:>10.2}  {:<20} {:>7.1}{more} {:>3.0} %",
            self.row.kernel,
            self.row.case,
            us(self.time.median),
            format!("{:.2} to {:.2}", us(self.time.least), us(self.time.greatest)),
            self.bytes_per_s / 1e9,
            100.0 * self.of_copy,
        );
        if self.row.operations > 0 {
            text += &format!(" {:>8.2} {:>3.0} %", self.operations_per_s / 1e12, 100.0 * self.of_mma);
        }
        match (&self.row.peer, self.peer_s) {
            (_, Some(peer)) => text += &format!(" {:>10.2} {:>5.2}x", us(peer), self.time.median / peer),
            (Peer::Missing(_), None) => text += &format!(" {:>10}", "none"),
            _ => {}
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes_per_s: 2e12, operations_per_s: 5e14 };

    fn row(peer: Peer) -> BenchRow {
        let seconds = vec![1e-5, 1.25e-5, 0.9e-5];
        let bytes = Bytes::Exactly(10_000_000);
        BenchRow { kernel: "gemv", case: "o 1 x 2, decode 1".into(), bytes, operations: 2_000_000_000, seconds, peer }
    }

    #[test]
    fn a_row_says_time_shares_of_both_limits_and_the_peers_time() {
        let text = shown(&row(Peer::Seconds(vec![2e-5])), &LIMITS, false).unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        let expected = "gemv o 1 x 2, decode 1 10.00 9.00 to 12.50 1000.0 50 % 200.00 40 % 20.00 0.50x";
        assert_eq!(words.join(" "), expected);
        let none = shown(&row(Peer::Missing("no library".into())), &LIMITS, false).unwrap();
        assert!(none.ends_with(" none"), "{none}");
    }

    #[test]
    fn a_line_has_numbers_and_says_what_is_missing() {
        let line: Value =
            serde_json::from_str(&shown(&row(Peer::Missing("no library".into())), &LIMITS, true).unwrap()).unwrap();
        for (share, expected) in [("of_copy", 0.5), ("of_mma", 0.4)] {
            let got = line[share].as_f64().unwrap();
            assert!((got - expected).abs() < 1e-12, "{share} {got}, expected {expected} but for roundings");
        }
        assert_eq!((&line["bf16_seconds"], line["bf16_missing"].as_str()), (&Value::Null, Some("no library")));
    }

    #[test]
    fn a_time_of_nothing_is_no_time() {
        let empty = BenchRow { seconds: Vec::new(), ..row(Peer::None) };
        assert!(shown(&empty, &LIMITS, true).unwrap_err().to_string().contains("gemv"));
    }
}
