//! rotate_store.cu: places and integers of queries, keys and values.

use super::*;

/// The pages as the layout of kernels/abi.h says, read and written element by element.
struct Reader {
    shape: AttentionShape,
    pool: Vec<u8>,
}

impl Reader {
    fn base(&self, page: u32, kv_head: u32) -> usize {
        let head = u64::from(LAYER * self.shape.kv_heads + kv_head) * u64::from(self.shape.head_bytes());
        (u64::from(page) * self.shape.page_bytes() + head) as usize
    }

    /// Byte of the low slice; the high one is 512 further.
    fn key_at(&self, page: u32, kv_head: u32, at: usize, channel: usize) -> usize {
        let padded = self.shape.head_dim.next_multiple_of(32) as usize;
        let block = channel / 128;
        let ksteps = (padded - block * 128).min(128) / 32;
        let (kstep, k) = (channel % 128 / 32, channel % 32);
        let lane = at % 8 * 4 + k % 16 / 4;
        let register = at % 16 / 8 + 2 * (k / 16);
        let tile = block * 128 * 256 + (at / 16) * ksteps * 1024;
        self.base(page, kv_head) + tile + kstep * 1024 + lane * 16 + register * 4 + k % 4
    }

    fn value_at(&self, page: u32, kv_head: u32, at: usize, channel: usize) -> usize {
        let padded = self.shape.head_dim.next_multiple_of(32) as usize;
        let lane = channel % 8 * 4 + at % 16 / 4;
        let register = channel % 16 / 8 + 2 * (at % 32 / 16);
        let tile = 256 * padded + (channel / 16) * 4096 + (at / 32) * 1024;
        self.base(page, kv_head) + tile + lane * 16 + register * 4 + at % 4
    }

    fn exponent_at(&self, page: u32, kv_head: u32, at: usize, block: usize, value: bool) -> usize {
        let padded = self.shape.head_dim.next_multiple_of(32) as usize;
        let blocks = self.shape.blocks() as usize;
        self.base(page, kv_head) + 512 * padded + (usize::from(value) * blocks + block) * 128 + at
    }

    fn write(&mut self, page: u32, kv_head: u32, at: usize, x: &[f32], value: bool) {
        let r = numerics::quantize_r(x).unwrap();
        // Channels beyond the head, up to a whole k32 step, are zeros of a key, and nothing of a value.
        let channels = if value { x.len() } else { x.len().next_multiple_of(32) };
        for (i, &q) in r.q.iter().enumerate().take(channels) {
            let to = if value { self.value_at(page, kv_head, at, i) } else { self.key_at(page, kv_head, at, i) };
            let lo = q as i8;
            self.pool[to] = lo as u8;
            self.pool[to + 512] = ((q - i16::from(lo)) / 256) as i8 as u8;
        }
        for (block, &g) in r.g.iter().enumerate() {
            let to = self.exponent_at(page, kv_head, at, block, value);
            self.pool[to] = g as i8 as u8;
        }
    }
}

fn row(world: &World, salt: u32, width: f32) -> Vec<f32> {
    noise(world.shape.qkv_width() as usize, salt, width)
}

/// The whole pool byte by byte: what was there, with the new keys and values in their places and nothing else changed.
#[test]
fn a_row_changes_its_own_bytes_of_the_pages_and_no_others() {
    let Some(device) = device() else { return };
    for shape in shapes() {
        let mut world = World::new(&device, shape, 1.0);
        let mut reader = Reader { shape, pool: world.pages.pool_mut().to_vec().unwrap() };
        world.start(0, &[3, 1]);
        world.start(2, &[7]);
        // Positions 0.. of two sequences, interleaved; the last rows come in a launch of their own.
        let mut rows: Vec<_> = (0..40).map(|i| (if i % 3 == 0 { 2 } else { 0 }, row(&world, i, 4.0))).collect();
        rows.extend((40..170).map(|i| (0, row(&world, i, 0.01))));
        let late = rows.split_off(165);
        world.push(&rows);
        world.push(&late);
        let d = shape.head_dim as usize;
        for slot in [0, 2] {
            for (position, rotated) in world.sequences[slot].rotated.iter().enumerate() {
                let page = world.sequences[slot].pages[position / PAGE];
                for kv in 0..shape.kv_heads {
                    let key = (shape.heads + kv) as usize * d;
                    let value = key + shape.kv_heads as usize * d;
                    reader.write(page, kv, position % PAGE, &rotated[key..key + d], false);
                    reader.write(page, kv, position % PAGE, &rotated[value..value + d], true);
                }
            }
        }
        let found = world.pages.pool_mut().to_vec().unwrap();
        let differs = found.iter().zip(&reader.pool).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{shape:?}, head part {:?}", differs.map(|at| at % shape.head_bytes() as usize));
    }
}

#[test]
fn queries_and_probes_are_those_of_the_reference() {
    let Some(device) = device() else { return };
    for shape in shapes() {
        let mut world = World::new(&device, shape, 3.0);
        world.start(1, &[9]);
        let rows: Vec<_> = (0..11).map(|i| (1, row(&world, 50 + i, [1e-3, 1.0, 300.0][i as usize % 3]))).collect();
        let (faults, rotated) = world.store(&rows, &[]);
        assert!(faults.iter().all(|f| *f == abi::NO_FAULT));
        for (slot, x) in &rows {
            world.push_reference(*slot, x);
        }
        let found = world.queries.get().unwrap();
        world.queries.set(&vec![0; found.0.len()], &vec![0; found.1.len()]).unwrap();
        world.ask(&(0..11).map(|p| (1, p)).collect::<Vec<_>>());
        let wanted = world.queries.get().unwrap();
        assert!(found.0 == wanted.0, "{shape:?}: integers");
        assert_eq!(found.1, wanted.1, "{shape:?}: exponents");
        let width = shape.qkv_width() as usize;
        for (found, wanted) in rotated.chunks(width + 4).zip(&world.sequences[1].rotated) {
            assert_eq!(bits(&found[..width]), bits(wanted), "{shape:?}");
        }
    }
}

#[test]
fn rows_beyond_the_count_are_not_touched() {
    let Some(device) = device() else { return };
    let mut world = World::new(&device, shape(4, 2, 64), 1.0);
    world.start(0, &[3]);
    world.start(1, &[4]);
    let before = world.pages.pool_mut().to_vec().unwrap();
    let (there, absent) = (vec![(0, row(&world, 1, 1.0))], vec![(1, row(&world, 2, 1.0)), (1, vec![f32::NAN; 512])]);
    let (faults, _) = world.store(&there, &absent);
    let after = world.pages.pool_mut().to_vec().unwrap();
    let page = world.shape.page_bytes() as usize;
    assert!(faults.iter().all(|f| *f == abi::NO_FAULT));
    assert!(before[4 * page..5 * page] == after[4 * page..5 * page], "an absent row was stored");
    assert!(before[3 * page..4 * page] != after[3 * page..4 * page], "a present row was not");
}

/// Values of four neighbours fill words together, but not where the launch ends before the fourth.
#[test]
fn three_of_four_neighbours_leave_the_fourths_bytes_alone() {
    let Some(device) = device() else { return };
    let mut world = World::new(&device, shape(4, 2, 64), 1.0);
    world.start(0, &[3]);
    let reader = Reader { shape: world.shape, pool: world.pages.pool_mut().to_vec().unwrap() };
    let mut rows: Vec<_> = (0..8).map(|i| (0, row(&world, i, 1.0))).collect();
    let absent = rows.split_off(7);
    world.store(&rows, &absent);
    let after = world.pages.pool_mut().to_vec().unwrap();
    let changed = |at: usize| {
        let bytes = (0..64).map(|channel| reader.value_at(3, 1, at, channel));
        bytes.filter(|byte| after[*byte] != reader.pool[*byte]).count()
    };
    assert!((0..7).all(|at| changed(at) > 32), "{:?}", (0..7).map(changed).collect::<Vec<_>>());
    assert_eq!(changed(7), 0);
}

#[test]
fn a_head_that_no_quantizer_takes_is_zeros_and_the_first_fault_is_kept() {
    let Some(device) = device() else { return };
    let s = shape(4, 2, 64);
    let mut world = World::new(&device, s, 1.0);
    world.start(0, &[3]);
    let d = s.head_dim as usize;
    let x = |i: usize, at: Option<(usize, f32)>| {
        let mut x = noise(s.qkv_width() as usize, i as u32, 1.0);
        if let Some((at, value)) = at {
            x[at] = value;
        }
        (0, x)
    };
    // No fault; a query whose squares overflow; a NaN key; a value of 2^60; a value just below; a NaN query and a NaN value.
    let below = f32::from_bits(0x5d7f_ffff);
    let mut rows = vec![
        x(0, None),
        x(1, Some((3, 3e38))),
        x(2, Some((4 * d + 5, f32::NAN))),
        x(3, Some((6 * d + 1, 2f32.powi(60)))),
        x(4, Some((6 * d + 1, below))),
        x(5, Some((7, f32::NAN))),
    ];
    rows[5].1[7 * d] = f32::NAN;
    let (faults, _) = world.store(&rows, &[]);
    let word = |stage, kind| LAYER << 16 | stage << 8 | kind;
    let norm = word(abi::STAGE_QK_NORM, abi::FAULT_SUM_OF_SQUARES);
    let wanted = [abi::NO_FAULT, norm, norm, word(abi::STAGE_KEY_VALUE, abi::FAULT_QUANTIZER), abi::NO_FAULT, norm];
    assert_eq!(faults[..6], wanted);
    let reader = Reader { shape: s, pool: world.pages.pool_mut().to_vec().unwrap() };
    let slices = |at: usize| (reader.pool[at], reader.pool[at + 512]);
    assert!((0..d).all(|i| slices(reader.key_at(3, 0, 2, i)) == (0, 0)), "key of the NaN");
    assert!((0..d).all(|i| slices(reader.value_at(3, 0, 3, i)) == (0, 0)), "value of 2^60");
    assert_eq!(reader.pool[reader.exponent_at(3, 0, 3, 0, true)] as i8, -54);
    assert_eq!(reader.pool[reader.exponent_at(3, 0, 4, 0, true)] as i8, 46);
    assert!((0..d).any(|i| slices(reader.key_at(3, 0, 3, i)) != (0, 0)), "a key beside a faulty value stays");
}
