//! rotate_store.cu, attend_chunks.cu, combine_chunks.cu and attend_prefill.cu against `numerics`, to the bit: a layer's
//! worth of attention over a cache whose pages were used before.

mod decode;
mod faults;
mod prefill;
mod store;

use std::collections::BTreeSet;

use super::device;
use super::reading::noise;
use crate::cuda::ops::attend_chunks::{AttendChunks, ChunkItems, ChunkPlan, Partials};
use crate::cuda::ops::attend_prefill::{AttendPrefill, PrefillOut, tiles};
use crate::cuda::ops::combine_chunks::{AttentionOut, CombineChunks};
use crate::cuda::ops::pages::{AttentionShape, Pages, QueryColumns, StepRows};
use crate::cuda::ops::rotate_store::{Qkv, RotateStore, Rotation};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::kv::{PAGE, PageId};
use crate::numerics::{self, HeadCache, Quantized};

const LAYER: u32 = 1;
const EPS: f32 = 1e-6;
const THETA: f64 = 1e4;
const MAX_PAGES: u32 = 12;
const SLOTS: u32 = 8;

fn shape(heads: u32, kv_heads: u32, head_dim: u32) -> AttentionShape {
    AttentionShape { layers: 2, heads, kv_heads, head_dim }
}

/// Every ratio of heads, and head widths with whole and partial blocks and k32 steps.
fn shapes() -> Vec<AttentionShape> {
    let all = [
        (2, 2, 16),
        (4, 2, 64),
        (4, 1, 128),
        (8, 1, 32),
        (2, 1, 256),
        (6, 2, 48),
        (3, 1, 144),
        (2, 2, 128),
        (8, 1, 80),
    ];
    all.iter().map(|&(heads, kv_heads, head_dim)| shape(heads, kv_heads, head_dim)).collect()
}

/// A query row: slot of its sequence and position in it.
type Row = (usize, usize);

/// A sequence as the reference has it.
#[derive(Clone, Default)]
struct Sequence {
    pages: Vec<PageId>,
    caches: Vec<HeadCache>,
    /// Queries of each position, `[head][head_dim]`, after norm and RoPE.
    queries: Vec<Vec<Vec<f32>>>,
    /// Floats of each position that the kernel quantizes, in the layout of qkv.
    rotated: Vec<Vec<f32>>,
}

/// Weights of the norms, on both sides.
struct Norms {
    q: Vec<f32>,
    k: Vec<f32>,
    device_q: DeviceBuffer<f32>,
    device_k: DeviceBuffer<f32>,
}

/// One layer's attention on the device and in the reference.
struct World {
    device: Device,
    shape: AttentionShape,
    pages: Pages,
    step: StepRows,
    queries: QueryColumns,
    norms: Norms,
    cos: DeviceBuffer<f32>,
    sin: DeviceBuffer<f32>,
    sequences: Vec<Sequence>,
    fault: DeviceBuffer<u32>,
}

/// What attention left of some rows.
struct Out {
    /// `[row][heads * head_dim]`
    attention: Vec<Vec<f32>>,
    /// The same by R, where it was made.
    rows: Vec<Quantized>,
    faults: Vec<u32>,
}

const MAX_ROWS: u32 = 300;

impl World {
    /// No sequences; pages full of a former owner's integers. `q_weight` scales the queries and with them the scores.
    fn new(device: &Device, shape: AttentionShape, q_weight: f32) -> Self {
        let d = shape.head_dim as usize;
        let weights = |salt, by: f32| noise(d, salt, 1.0).into_iter().map(|w| (w + 1.0) * by).collect::<Vec<f32>>();
        let (q, k) = (weights(1, q_weight), weights(2, 1.0));
        let (device_q, device_k) =
            (DeviceBuffer::from_slice(device, &q).unwrap(), DeviceBuffer::from_slice(device, &k).unwrap());
        let inverse = numerics::inverse_frequencies(THETA, d);
        let table = (0..MAX_PAGES as usize * PAGE).map(|p| numerics::rope_row(&inverse, p));
        let (cos, sin): (Vec<_>, Vec<_>) = table.unzip();
        let pool = 24;
        let mut world = Self {
            device: device.clone(),
            shape,
            pages: Pages::new(device, shape, pool).unwrap(),
            step: StepRows::new(device, MAX_ROWS, SLOTS, MAX_PAGES).unwrap(),
            queries: QueryColumns::new(device, &shape, MAX_ROWS).unwrap(),
            norms: Norms { q, k, device_q, device_k },
            cos: DeviceBuffer::from_slice(device, &cos.concat()).unwrap(),
            sin: DeviceBuffer::from_slice(device, &sin.concat()).unwrap(),
            sequences: vec![Sequence::default(); SLOTS as usize],
            fault: DeviceBuffer::from_slice(device, &vec![abi::NO_FAULT; MAX_ROWS as usize]).unwrap(),
        };
        world.pages.pool_mut().write(0, &used_pool(&shape, pool)).unwrap();
        world
    }

    /// Gives a slot an empty sequence with these pages.
    fn start(&mut self, slot: usize, pages: &[PageId]) {
        let caches = vec![HeadCache::default(); self.shape.kv_heads as usize];
        self.sequences[slot] = Sequence { pages: pages.to_vec(), caches, ..Sequence::default() };
        self.step.page_table.write(slot * MAX_PAGES as usize, pages).unwrap();
    }

    /// A sequence that begins as `from` does: whole pages are shared, the rest is copied to `last`.
    fn fork(&mut self, from: usize, to: usize, last: PageId) {
        let mut sequence = self.sequences[from].clone();
        let whole = sequence.queries.len() / PAGE;
        if whole < sequence.pages.len() {
            self.pages.copy(sequence.pages[whole], last).unwrap();
            sequence.pages.truncate(whole);
            sequence.pages.push(last);
        }
        self.step.page_table.write(to * MAX_PAGES as usize, &sequence.pages).unwrap();
        self.sequences[to] = sequence;
    }

    /// Length of a slot's sequence.
    fn len(&self, slot: usize) -> usize {
        self.sequences[slot].queries.len()
    }

    /// Appends rows of queries, keys and values to their slots' sequences, on both sides; the rows of the launch are in this
    /// order. The reference takes no fault.
    fn push(&mut self, rows: &[(usize, Vec<f32>)]) {
        let (faults, _) = self.store(rows, &[]);
        assert!(faults.iter().all(|f| *f == abi::NO_FAULT));
        for (slot, x) in rows {
            self.push_reference(*slot, x);
        }
    }

    /// `count` rows of noise of a width to one slot.
    fn push_noise(&mut self, slot: usize, count: usize, width: f32) {
        let columns = self.shape.qkv_width() as usize;
        let salt = (slot * 1000 + self.len(slot)) as u32;
        let rows: Vec<_> = (0..count).map(|i| (slot, noise(columns, salt + 7 * i as u32, width))).collect();
        self.push(&rows);
    }

    /// The device's side of [`World::push`] alone; rows in `absent` count as beyond those there are.
    fn store(&mut self, rows: &[(usize, Vec<f32>)], absent: &[(usize, Vec<f32>)]) -> (Vec<u32>, Vec<f32>) {
        let (width, ld) = (self.shape.qkv_width() as usize, self.shape.qkv_width() + 4);
        let mut flat = Vec::new();
        let (mut sequence, mut position) = (Vec::new(), Vec::new());
        let mut next: Vec<usize> = (0..SLOTS as usize).map(|slot| self.len(slot)).collect();
        for (slot, x) in rows.iter().chain(absent) {
            flat.extend_from_slice(&x[..width]);
            flat.resize(flat.len() + 4, f32::NAN);
            sequence.push(*slot as u32);
            position.push(next[*slot] as u32);
            next[*slot] += 1;
        }
        self.step.sequence.write(0, &sequence).unwrap();
        self.step.position.write(0, &position).unwrap();
        self.step.count.write(0, &[rows.len() as u32]).unwrap();
        let x = DeviceBuffer::from_slice(&self.device, &flat).unwrap();
        let count = (rows.len() + absent.len()) as u32;
        let mut rotated = DeviceBuffer::zeroed(&self.device, flat.len()).unwrap();
        let mut fault = self.no_faults();
        let rotation = Rotation {
            q_norm: &self.norms.device_q,
            k_norm: &self.norms.device_k,
            cos: &self.cos,
            sin: &self.sin,
            eps: EPS,
        };
        let qkv = Qkv { x: &x, ld, rows: count, counted: !absent.is_empty() };
        let kernel = RotateStore::new(&self.device).unwrap();
        let (step, pages, queries) = (&self.step, &mut self.pages, &mut self.queries);
        // SAFETY: every slot in these tests has pages of the pool for its positions, below the rotary table's length.
        unsafe { kernel.run(&qkv, &rotation, step, pages, LAYER, queries, Some(&mut rotated), &mut fault) }.unwrap();
        (fault.to_vec().unwrap(), rotated.to_vec().unwrap())
    }

    /// The reference's side of [`World::push`].
    fn push_reference(&mut self, slot: usize, x: &[f32]) {
        let s = self.shape;
        let (d, heads, kv) = (s.head_dim as usize, s.heads as usize, s.kv_heads as usize);
        let position = self.len(slot);
        let inverse = numerics::inverse_frequencies(THETA, d);
        let (cos, sin) = numerics::rope_row(&inverse, position);
        let turned = |x: &[f32], w: &[f32]| {
            let mut y = numerics::rmsnorm(x, w, EPS).unwrap();
            numerics::rotate(&mut y, &cos, &sin);
            y
        };
        let queries: Vec<Vec<f32>> = x[..heads * d].chunks(d).map(|x| turned(x, &self.norms.q)).collect();
        let keys: Vec<Vec<f32>> = x[heads * d..(heads + kv) * d].chunks(d).map(|x| turned(x, &self.norms.k)).collect();
        let values = &x[(heads + kv) * d..(heads + 2 * kv) * d];
        let sequence = &mut self.sequences[slot];
        for ((cache, key), value) in sequence.caches.iter_mut().zip(&keys).zip(values.chunks(d)) {
            cache.push(key, value).unwrap();
        }
        sequence.rotated.push([queries.concat(), keys.concat(), values.to_vec()].concat());
        sequence.queries.push(queries);
    }

    fn no_faults(&self) -> DeviceBuffer<u32> {
        DeviceBuffer::from_slice(&self.device, &vec![abi::NO_FAULT; MAX_ROWS as usize]).unwrap()
    }

    /// Makes `rows`, of any sequences and positions, the rows of a launch; their queries are packed here.
    fn ask(&mut self, rows: &[Row]) {
        let s = self.shape;
        let scale = numerics::attention_scale(s.head_dim as usize);
        let (mut q, mut g) = (Vec::new(), Vec::new());
        for &(slot, position) in rows {
            for query in &self.sequences[slot].queries[position] {
                let scaled: Vec<f32> = query.iter().map(|x| x * scale).collect();
                let l = numerics::quantize_l(&scaled).unwrap();
                q.extend(pack_column(&l, s.head_dim as usize));
                g.extend(l.g.iter().map(|&g| g as i8));
            }
        }
        self.queries.set(&q, &g).unwrap();
        let word = |f: fn(&Row) -> usize| rows.iter().map(|r| f(r) as u32).collect::<Vec<u32>>();
        self.step.sequence.write(0, &word(|r| r.0)).unwrap();
        self.step.position.write(0, &word(|r| r.1)).unwrap();
        self.step.count.write(0, &[rows.len() as u32]).unwrap();
        self.fault = self.no_faults();
    }

    /// attend_chunks and combine_chunks for the rows asked.
    fn decode(&mut self, rows: &[Row], rows_per_item: usize) -> Out {
        self.decode_planned(rows, rows, rows_per_item)
    }

    /// The same by the chunks of `planned`, the same slots at positions that may be further on.
    fn decode_planned(&mut self, rows: &[Row], planned: &[Row], rows_per_item: usize) -> Out {
        let s = self.shape;
        let listed: Vec<(&[PageId], usize)> =
            planned.iter().map(|&(slot, p)| (&self.sequences[slot].pages[..], p)).collect();
        let plan = ChunkPlan::new(&listed, rows_per_item);
        let mut items = ChunkItems::new(&self.device, plan.reads() + 3).unwrap();
        items.set(&plan).unwrap();
        let n = rows.len() as u32;
        let mut partials = Partials::new(&self.device, &s, n, MAX_PAGES).unwrap();
        let attend = AttendChunks::new(&self.device, &s).unwrap();
        // SAFETY: the plan is of these rows.
        unsafe { attend.run(&items, &self.step, n, &self.pages, LAYER, &self.queries, &mut partials, &mut self.fault) }
            .unwrap();
        let mut made = Made::new(&self.device, &s, n);
        let combine = CombineChunks::new(&self.device).unwrap();
        let mut out = AttentionOut { q: &mut made.q, g: &mut made.g, attention: Some(&mut made.attention) };
        // SAFETY: as above.
        unsafe { combine.run(&s, &partials, &self.step, n, false, LAYER, &mut out, &mut self.fault) }.unwrap();
        made.out(&s, rows.len(), true, &self.fault)
    }

    /// attend_prefill for the rows asked, which are neighbours: a count for each sequence.
    fn prefill(&mut self, counts: &[u32]) -> Out {
        let (s, n) = (self.shape, counts.iter().sum());
        let kernel = AttendPrefill::new(&self.device, &s).unwrap();
        let list = DeviceBuffer::from_slice(&self.device, &tiles(&s, counts)).unwrap();
        let mut made = Made::new(&self.device, &s, n);
        let rows = kernel.quantizes().then_some((&mut made.q, &mut made.g));
        let mut out = PrefillOut { rows, attention: Some(&mut made.attention) };
        // SAFETY: the tiles are of these rows.
        unsafe { kernel.run(&list, &self.step, n, &self.pages, LAYER, &self.queries, &mut out, &mut self.fault) }
            .unwrap();
        made.out(&s, n as usize, kernel.quantizes(), &self.fault)
    }

    /// The reference's output of a row.
    fn expected(&self, (slot, position): Row) -> Vec<f32> {
        let s = self.shape;
        let sequence = &self.sequences[slot];
        let scale = numerics::attention_scale(s.head_dim as usize);
        let head = |(h, query): (usize, &Vec<f32>)| {
            numerics::attend(query, &sequence.caches[h / s.per_kv() as usize], position + 1, scale).unwrap().o
        };
        sequence.queries[position].iter().enumerate().flat_map(head).collect()
    }
}

/// Memory of an output.
struct Made {
    q: DeviceBuffer<u8>,
    g: DeviceBuffer<i8>,
    attention: DeviceBuffer<f32>,
}

impl Made {
    fn new(device: &Device, s: &AttentionShape, rows: u32) -> Self {
        let columns = s.heads * s.head_dim;
        let tiles = (rows.div_ceil(8) * columns.div_ceil(128)) as usize;
        Self {
            q: DeviceBuffer::zeroed(device, tiles * abi::ROWS_TILE_BYTES as usize).unwrap(),
            g: DeviceBuffer::zeroed(device, tiles * 8).unwrap(),
            attention: DeviceBuffer::zeroed(device, (rows * columns) as usize).unwrap(),
        }
    }

    fn out(self, s: &AttentionShape, rows: usize, quantized: bool, fault: &DeviceBuffer<u32>) -> Out {
        let columns = (s.heads * s.head_dim) as usize;
        let attention = self.attention.to_vec().unwrap();
        let rows_of = || unpack_rows(&self.q.to_vec().unwrap(), &self.g.to_vec().unwrap(), rows, columns);
        Out {
            attention: attention.chunks(columns).map(<[f32]>::to_vec).collect(),
            rows: if quantized { rows_of() } else { Vec::new() },
            faults: fault.read(0, rows).unwrap(),
        }
    }
}

/// Quantized rows of kernels/abi.h, read element by element.
pub(super) fn unpack_rows(q: &[u8], g: &[i8], rows: usize, columns: usize) -> Vec<Quantized> {
    let blocks = columns.div_ceil(128);
    let row = |row: usize| {
        let tile = |block: usize| (row / 8) * blocks + block;
        let integer = |k: usize| {
            let (kstep, half, t, byte) = (k % 128 / 32, k % 32 / 16, k % 16 / 4, k % 4);
            let at = tile(k / 128) * 2048 + kstep * 512 + (4 * (row % 8) + t) * 16 + 4 * half + byte;
            256 * i16::from(q[at + 8] as i8) + i16::from(q[at] as i8)
        };
        Quantized {
            q: (0..blocks * 128).map(integer).collect(),
            g: (0..blocks).map(|b| i32::from(g[tile(b) * 8 + row % 8])).collect(),
        }
    };
    (0..rows).map(row).collect()
}

/// A query column of kernels/abi.h, written element by element.
fn pack_column(l: &Quantized, head_dim: usize) -> Vec<u8> {
    let padded = head_dim.next_multiple_of(32);
    let mut bytes = vec![0u8; 2 * padded];
    for (k, &q) in l.q[..padded.min(l.q.len())].iter().enumerate() {
        let lo = q as i8;
        let hi = ((q - i16::from(lo)) / 256) as i8;
        let at = k / 32 * 64 + k % 16 / 4 * 16 + 4 * (k % 32 / 16) + k % 4;
        (bytes[at], bytes[at + 8]) = (lo as u8, hi as u8);
    }
    bytes
}

/// Bytes that pages of a former owner could hold.
fn used_pool(s: &AttentionShape, pages: u32) -> Vec<u8> {
    let head = s.head_bytes() as usize;
    let integers = (4 * 128 * s.head_dim.next_multiple_of(32)) as usize;
    let heads = (pages * s.layers * s.kv_heads) as usize;
    let mut pool = Vec::with_capacity(heads * head);
    let mut x = 0x1234_5678u32;
    for i in 0..heads * head {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (x >> 24) as u8;
        // Exponents of R: -54 to 46.
        pool.push(if i % head < integers { byte } else { ((i32::from(byte) % 101) - 54) as i8 as u8 });
    }
    pool
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Every row as the reference has it, and no fault.
fn agree(world: &World, rows: &[Row], out: &Out, what: &str) {
    assert_eq!(out.attention.len(), rows.len());
    for (i, &row) in rows.iter().enumerate() {
        let wanted = world.expected(row);
        assert_eq!(out.faults[i], abi::NO_FAULT, "{what}: {:?} row {row:?}", world.shape);
        assert_eq!(bits(&out.attention[i]), bits(&wanted), "{what}: {:?} row {row:?}", world.shape);
        if !out.rows.is_empty() {
            assert_eq!(out.rows[i], numerics::quantize_r(&wanted).unwrap(), "{what}: {:?} row {row:?}", world.shape);
        }
    }
}

/// Sizes of queries for weights of every width: from all keys alike to one key alone. Each twice, see [`value_scale`].
const WEIGHTS: [f32; 16] = [1e-30, 1e-30, 1e-3, 1e-3, 0.05, 0.05, 0.5, 0.5, 2.0, 2.0, 6.0, 6.0, 12.0, 12.0, 3e3, 3e3];

/// Values of one size, or of very different exponents with zeros among them.
fn value_scale(i: usize, position: usize) -> f32 {
    if i.is_multiple_of(2) { 1.0 } else { [1.0, 1e-20, 0.0, 1e3, 1e-3][(position / 3) % 5] }
}

/// Widths of L that the softmax weights of a row's chunks take.
fn widths(world: &World, (slot, position): Row, values: impl Fn(usize, usize) -> Vec<f32>) -> BTreeSet<i32> {
    let s = world.shape;
    let scale = numerics::attention_scale(s.head_dim as usize);
    let mut found = BTreeSet::new();
    for (h, query) in world.sequences[slot].queries[position].iter().enumerate() {
        let kv_head = h / s.per_kv() as usize;
        let a = numerics::attend(query, &world.sequences[slot].caches[kv_head], position + 1, scale).unwrap();
        for (c, z) in a.z.chunks(128).enumerate() {
            let weighted: Vec<f32> = z
                .iter()
                .enumerate()
                .map(|(j, z)| {
                    let e = numerics::block_exponent(&values(128 * c + j, kv_head)).unwrap();
                    numerics::exp2(z - a.chunks[c].n) * numerics::pow2(e)
                })
                .collect();
            found.insert(numerics::block_exponent(&weighted).unwrap() - a.chunks[c].g[0]);
        }
    }
    found
}
