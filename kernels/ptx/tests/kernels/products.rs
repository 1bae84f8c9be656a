//! gemm.cu and gemv.cu, and what they cost.

use grail_engine::numerics::{Quantized, product, quantize_l, quantize_r, silu};
use grail_ptx::{Class, Counters, Ptr, Shape};

use crate::launch::{Params, Values, abi, floats, planted, source};
use crate::layout::{pack_rows, pack_weights};
use crate::quantizers::{corner_rows, named};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epilogue {
    Store,
    Add,
    SiluMul,
}

/// One product's operands and result.
pub struct Case {
    rows: usize,
    features: usize,
    blocks: usize,
    epilogue: Epilogue,
    weights: (Vec<u8>, Vec<u8>),
    x: (Vec<u8>, Vec<u8>),
    before: Vec<f32>,
    after: Vec<f32>,
    ld: usize,
}

impl Case {
    pub fn new(rows: usize, features: usize, k: usize, epilogue: Epilogue) -> Self {
        let gated = epilogue == Epilogue::SiluMul;
        let packed = if gated { 16 * features.div_ceil(8) } else { features };
        let left: Vec<Quantized> = corner_rows(packed, k, 5).iter().map(|r| quantize_l(r).unwrap()).collect();
        let right: Vec<Quantized> = corner_rows(rows, k, 6).iter().map(|r| quantize_r(r).unwrap()).collect();
        let ld = features + 3;
        let before = Values(9).floats(rows * ld);
        let mut after = before.clone();
        for (t, x) in right.iter().enumerate() {
            for f in 0..features {
                let y = &mut after[t * ld + f];
                *y = match epilogue {
                    Epilogue::Store => product(&left[f], x),
                    Epilogue::Add => *y + product(&left[f], x),
                    Epilogue::SiluMul => {
                        let gate = 16 * (f / 8) + f % 8;
                        silu(product(&left[gate], x)) * product(&left[gate + 8], x)
                    }
                };
            }
        }
        let blocks = k.div_ceil(128);
        Self { rows, features, blocks, epilogue, weights: pack_weights(&left), x: pack_rows(&right), before, after, ld }
    }

    fn tiles(&self) -> usize {
        self.weights.1.len() / 16 / self.blocks
    }

    pub fn run(&self, compiled: &crate::launch::Compiled, kernel: &str, shape: Shape) -> Counters {
        compiled.run(
            kernel,
            shape,
            |device| {
                let w = device.alloc_from("weights", &self.weights.0);
                let w_g = device.alloc_from("weight exponents", &self.weights.1);
                let x = device.alloc_from("rows", &self.x.0);
                let x_g = device.alloc_from("row exponents", &self.x.1);
                let y = device.alloc_from("y", &floats(&self.before));
                let params = Params::new().ptr(w).ptr(w_g).ptr(x).ptr(x_g).ptr(y).ptr(Ptr::NULL);
                let words = [self.features, self.blocks, self.rows, self.ld, self.epilogue as usize, 0];
                params.words(&words.map(|w| w as u32))
            },
            |device, what| {
                let got = named(device, 4, 4 * self.after.len());
                let want = floats(&self.after);
                if let Some(at) = (0..self.after.len()).find(|i| got[4 * i..4 * i + 4] != want[4 * i..4 * i + 4]) {
                    let (t, f) = (at / self.ld, at % self.ld);
                    let got = f32::from_le_bytes(got[4 * at..4 * at + 4].try_into().unwrap());
                    panic!("{what}: row {t} feature {f} is {got:e}, expected {:e}", self.after[at]);
                }
            },
        )
    }
}

/// Share of the tensor instructions, sectors and conflicts: the proxies of speed.
fn report(what: &str, counters: &Counters) {
    let weights = counters.traffic_of("weights").unwrap();
    println!(
        "{what:<44} IMMA {:4.1} %  weights read x{:.2}  sectors used {:5.1} %  bank conflicts {}",
        100.0 * counters.share(Class::Imma),
        weights.read_sectors as f64 / weights.distinct_read as f64,
        100.0 * counters.sector_use(),
        counters.bank_conflicts(),
    );
}

#[test]
fn gemv_equals_the_reference_and_reads_weights_once() {
    let Some(compiled) = source("gemv.cu") else { return };
    for (rows, features, k, epilogue) in [
        (1, 32, 1280, Epilogue::Store),
        (1, 20, 384, Epilogue::Add),
        (3, 24, 256, Epilogue::SiluMul),
        (16, 48, 1152, Epilogue::Store),
        (33, 16, 300, Epilogue::Add),
        (64, 32, 512, Epilogue::SiluMul),
    ] {
        let case = Case::new(rows, features, k, epilogue);
        for (kernel, tiles, shared) in
            [("gemv", 1, abi("GEMV_SHARED_BYTES")), ("gemv_wide", 2, abi("GEMV_WIDE_SHARED_BYTES"))]
        {
            for blocks in [1, case.tiles().div_ceil(tiles)] {
                let shape = Shape { dynamic_shared: shared, ..Shape::new(blocks as u32, 256) };
                let counters = case.run(&compiled, kernel, shape);
                if blocks > 1 || case.tiles() == 1 {
                    report(&format!("{kernel} {rows} x {features} x {k} {epilogue:?}"), &counters);
                }
                let weights = counters.traffic_of("weights").unwrap();
                let odd = !case.tiles().is_multiple_of(tiles);
                assert!(weights.read_sectors == weights.distinct_read || odd, "weights are read more than once");
                assert_eq!(counters.bank_conflicts(), 0, "{:?}", counters.conflicting_lines());
            }
        }
    }
}

#[test]
fn gemm_equals_the_reference_without_bank_conflicts_of_operands() {
    let Some(compiled) = source("gemm.cu") else { return };
    for (rows, features, k, epilogue) in [
        (65, 80, 256, Epilogue::Store),
        (128, 128, 640, Epilogue::Store),
        (70, 130, 130, Epilogue::Add),
        (130, 72, 384, Epilogue::SiluMul),
    ] {
        let case = Case::new(rows, features, k, epilogue);
        for (kernel, edge, shared) in
            [("gemm", 128, abi("GEMM_SHARED_BYTES")), ("gemm_narrow", 64, abi("GEMM_NARROW_SHARED_BYTES"))]
        {
            let tiles = (16 * case.tiles()).div_ceil(edge as usize) * rows.div_ceil(edge as usize);
            for blocks in [1, tiles] {
                let shape = Shape { dynamic_shared: shared, ..Shape::new(blocks as u32, 2 * edge) };
                let counters = case.run(&compiled, kernel, shape);
                if blocks == tiles {
                    report(&format!("{kernel} {rows} x {features} x {k} {epilogue:?}"), &counters);
                }
                // The copies and fragments, which are nearly all of it.
                for class in [Class::LoadShared, Class::CopyAsync] {
                    let count = counters.class(class);
                    assert_eq!(count.wavefronts, count.least_wavefronts, "{:?}", counters.conflicting_lines());
                }
                let passes = counters.total().wavefronts;
                assert!(100 * counters.bank_conflicts() <= passes, "{:?}", counters.conflicting_lines());
            }
        }
    }
}

/// What a block of 128 more costs, without prologue and epilogue.
#[test]
fn the_main_loops_counted() {
    let (Some(gemm), Some(gemv)) = (source("gemm.cu"), source("gemv.cu")) else { return };
    for (compiled, kernel, rows, features, threads, shared) in [
        (&gemm, "gemm", 128, 128, 256, abi("GEMM_SHARED_BYTES")),
        (&gemm, "gemm_narrow", 64, 64, 128, abi("GEMM_NARROW_SHARED_BYTES")),
        (&gemv, "gemv", 1, 16, 256, abi("GEMV_SHARED_BYTES")),
        (&gemv, "gemv", 16, 16, 256, abi("GEMV_SHARED_BYTES")),
        (&gemv, "gemv_wide", 64, 32, 256, abi("GEMV_WIDE_SHARED_BYTES")),
    ] {
        let shape = Shape { dynamic_shared: shared, ..Shape::new(1, threads) };
        let [short, long] = [16, 32]
            .map(|blocks| Case::new(rows, features, 128 * blocks, Epilogue::Store).run(compiled, kernel, shape));
        let main = long.beyond(&short);
        println!("{kernel}, {rows} rows, main loop: IMMA {:.1} % of what is issued", 100.0 * main.share(Class::Imma));
        println!("{main}");
        // Every tile of 16 x 8 needs 16 products of slices for a block.
        let least = 16 * (features / 16) as u64 * rows.div_ceil(8) as u64 * 16;
        assert_eq!(main.class(Class::Imma).issued, least, "{kernel}");
        // Of PTX: the assembler folds the address arithmetic, so of what is really issued it is more.
        let budget = if kernel.starts_with("gemm") { 0.30 } else { 0.05 };
        assert!(main.share(Class::Imma) >= budget, "{kernel}: {main}");
    }
}

/// The host build never sees the inline assembly, and the assembler takes either order.
#[test]
fn registers_swapped_in_the_inline_mma_of_gpu_cuh_show() {
    let (right, wrong) = (r#""r"(a[1]), "r"(a[2])"#, r#""r"(a[2]), "r"(a[1])"#);
    let Some(compiled) = planted("gemv.cu", "gpu.cuh", right, wrong) else { return };
    let case = Case::new(3, 16, 256, Epilogue::Store);
    let shape = Shape { dynamic_shared: abi("GEMV_SHARED_BYTES"), ..Shape::new(1, 256) };
    let outcome = std::panic::catch_unwind(|| case.run(&compiled, "gemv", shape));
    let message = *outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("expected"), "{message}");
    println!("A registers swapped in gpu.cuh: {message}");
}
