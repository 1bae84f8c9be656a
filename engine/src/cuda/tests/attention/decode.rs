//! attend_chunks.cu and combine_chunks.cu.

use super::*;

/// Positions at which a chunk begins, ends, or has one key.
const EDGES: [usize; 7] = [0, 126, 127, 128, 254, 255, 256];

#[test]
fn decoding_is_the_reference_at_the_edges_of_chunks() {
    let Some(device) = device() else { return };
    for shape in shapes() {
        let mut world = World::new(&device, shape, 2.0);
        world.start(3, &[11, 2, 17]);
        world.push_noise(3, 257, 2.0);
        let rows: Vec<Row> = EDGES.iter().map(|&p| (3, p)).collect();
        world.ask(&rows);
        let out = world.decode(&rows, 16);
        agree(&world, &rows, &out, "edges");
    }
}

/// The items a row is computed in, and with whom, leave no trace.
#[test]
fn sequences_share_pages_and_forks_go_on_without_moving_each_other() {
    let Some(device) = device() else { return };
    for shape in [shape(4, 2, 64), shape(4, 1, 128), shape(2, 1, 256), shape(8, 1, 32)] {
        let mut world = World::new(&device, shape, 2.0);
        world.start(0, &[5, 12]);
        world.push_noise(0, 150, 1.0);
        for (slot, last) in [(1, 8), (2, 1), (4, 19), (5, 6)] {
            world.fork(0, slot, last);
        }
        world.start(3, &[0, 15, 7]);
        world.push_noise(3, 258, 1.0);
        let each = |i: u32| noise(shape.qkv_width() as usize, 900 + i, 1.0);
        for i in 0..3 {
            // One new row for each fork in one launch, as a group of rollouts decodes.
            let rows: Vec<_> = [0, 1, 2, 4, 5].iter().map(|&slot| (slot, each(10 * i + slot as u32))).collect();
            world.push(&rows);
        }
        let rows: Vec<Row> = [(1, 152), (0, 152), (3, 257), (2, 151), (4, 152), (3, 128), (5, 152), (3, 0)].to_vec();
        assert_eq!(world.len(5), 153);
        for rows_per_item in [1, 3, 16] {
            world.ask(&rows);
            let out = world.decode(&rows, rows_per_item);
            agree(&world, &rows, &out, "forks");
        }
    }
}

/// More chunks than are loaded ahead of the combine, near each other and so far apart that some count for nothing.
#[test]
fn many_chunks_are_joined_in_order() {
    let Some(device) = device() else { return };
    let mut apart = BTreeSet::new();
    for (shape, q_weight) in [(shape(2, 1, 16), 2.0), (shape(2, 1, 16), 300.0), (shape(1, 1, 128), 100.0)] {
        let mut world = World::new(&device, shape, q_weight);
        world.start(0, &[11, 2, 17, 3, 0, 19, 8, 5, 21, 12]);
        for _ in 0..4 {
            world.push_noise(0, 299, 1.0);
        }
        let rows: Vec<Row> = [1195, 1023, 1024, 1151, 900].iter().map(|&p| (0, p)).collect();
        world.ask(&rows);
        let out = world.decode(&rows, 3);
        agree(&world, &rows, &out, "chunks");
        let last: Vec<Row> = (1191..1196).map(|p| (0, p)).collect();
        world.ask(&last);
        let out = world.prefill(&[5]);
        agree(&world, &last, &out, "chunks");
        let scale = numerics::attention_scale(shape.head_dim as usize);
        let a =
            numerics::attend(&world.sequences[0].queries[1195][0], &world.sequences[0].caches[0], 1196, scale).unwrap();
        let n = |order: fn(f32, f32) -> f32| a.chunks.iter().map(|c| c.n).reduce(order).unwrap();
        apart.insert(n(f32::max) - n(f32::min) > 100.0);
    }
    assert_eq!(apart.len(), 2, "chunks within 100 powers of two, and further apart");
}

/// A sequence that has ended stays where it is while the chunks of its row are those of a place further on.
#[test]
fn a_row_before_a_chunk_sees_none_of_it_and_has_no_fault() {
    let Some(device) = device() else { return };
    for shape in [shape(4, 2, 64), shape(2, 1, 256)] {
        let mut world = World::new(&device, shape, 2.0);
        world.start(0, &[5, 12, 3]);
        world.push_noise(0, 200, 1.0);
        world.start(3, &[0, 15, 7]);
        world.push_noise(3, 258, 1.0);
        let (rows, planned) = ([(0, 199), (3, 126), (3, 257), (3, 127)], [(0, 299), (3, 257), (3, 257), (3, 128)]);
        for rows_per_item in [1, 16] {
            world.ask(&rows);
            let out = world.decode_planned(&rows, &planned, rows_per_item);
            agree(&world, &rows, &out, "chunks ahead");
            assert_eq!(out.faults, [abi::NO_FAULT; 4]);
        }
    }
}

/// More columns than a group of 32 has, so that a block goes through its page's integers several times.
#[test]
fn many_rows_of_one_page_are_several_groups_of_columns() {
    let Some(device) = device() else { return };
    for shape in [shape(8, 1, 64), shape(8, 1, 160)] {
        let mut world = World::new(&device, shape, 1.0);
        world.start(0, &[4]);
        world.push_noise(0, 11, 1.0);
        let rows: Vec<Row> = (0..11).rev().map(|p| (0, p)).collect();
        world.ask(&rows);
        let out = world.decode(&rows, 64);
        agree(&world, &rows, &out, "groups");
    }
}

/// All widths of L, tiny and large scores, and equal scores: what the softmax weights look like is up to the queries' size
/// and the values' exponents.
#[test]
fn weights_of_every_width_are_the_reference() {
    let Some(device) = device() else { return };
    let shape = shape(2, 1, 64);
    let mut seen = BTreeSet::new();
    for (i, q_weight) in WEIGHTS.into_iter().enumerate() {
        let mut world = World::new(&device, shape, q_weight);
        world.start(0, &[11, 2, 17]);
        let columns = shape.qkv_width() as usize;
        let rows: Vec<_> = (0..200)
            .map(|p| {
                let mut x = noise(columns, 31 * i as u32 + p, 1.0);
                let scale = value_scale(i, p as usize);
                x[3 * 64..].iter_mut().for_each(|v| *v *= scale);
                (0, x)
            })
            .collect();
        world.push(&rows);
        let asked: Vec<Row> = [0, 1, 3, 7, 20, 60, 127, 150, 199].iter().map(|&p| (0, p)).collect();
        world.ask(&asked);
        let out = world.decode(&asked, 16);
        agree(&world, &asked, &out, "widths");
        for &row in &asked {
            seen.extend(widths(&world, row, |p, _| rows[p].1[3 * 64..].to_vec()));
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (10..=15).collect::<Vec<_>>(), "widths that were not met");
}

#[test]
fn equal_scores_and_zero_rows_are_the_reference() {
    let Some(device) = device() else { return };
    let shape = shape(4, 2, 64);
    let mut world = World::new(&device, shape, 2.0);
    world.start(0, &[1, 2]);
    let one = noise(shape.qkv_width() as usize, 5, 1.0);
    let zero = vec![0.0; one.len()];
    let mut no_query = one.clone();
    no_query[..4 * 64].fill(0.0);
    // Zero keys and values, then the same row over and over, then queries of zeros: all scores are ties at 0.
    let rows: Vec<_> = (0..140).map(|p| (0, [&zero, &one, &no_query][(p / 20) % 3].clone())).collect();
    world.push(&rows);
    let asked: Vec<Row> = [0, 19, 20, 39, 40, 59, 127, 128, 139].iter().map(|&p| (0, p)).collect();
    world.ask(&asked);
    let out = world.decode(&asked, 16);
    agree(&world, &asked, &out, "ties");
}

/// Negative control: what a row sees counts to the last bit, what it does not see does not.
#[test]
fn a_byte_that_is_seen_moves_the_output_and_one_that_is_not_does_not() {
    let Some(device) = device() else { return };
    let shape = shape(2, 2, 128);
    let mut world = World::new(&device, shape, 2.0);
    world.start(0, &[1]);
    world.push_noise(0, 20, 1.0);
    let rows = [(0, 9)];
    let page = shape.page_bytes() as usize;
    let head = page + (shape.kv_heads * shape.head_bytes()) as usize; // page 1, layer 1, kv head 0
    let value = 128 * 256;
    // Low slices of channel 0: key of position p, value of position p (4 positions a word).
    let key_of = |p: usize| head + p / 16 * 4096 + p % 8 * 64 + p % 16 / 8 * 4;
    let value_of = |p: usize| head + value + p % 16 / 4 * 16 + p % 4;
    let mut run = |byte: Option<usize>| {
        let old = byte.map(|b| world.pages.pool_mut().read(b, 1).unwrap()[0]);
        let put = |world: &mut World, b: usize, v: u8| world.pages.pool_mut().write(b, &[v]).unwrap();
        if let (Some(b), Some(old)) = (byte, old) {
            put(&mut world, b, old ^ 0x7f);
        }
        world.ask(&rows);
        let out = world.decode(&rows, 16);
        if let (Some(b), Some(old)) = (byte, old) {
            put(&mut world, b, old);
        }
        bits(&out.attention[0])
    };
    let plain = run(None);
    for p in [0, 5, 9] {
        assert_ne!(run(Some(key_of(p))), plain, "key {p}");
        assert_ne!(run(Some(value_of(p))), plain, "value {p}");
    }
    for p in [10, 11, 15] {
        assert_eq!(run(Some(key_of(p))), plain, "key {p}");
        assert_eq!(run(Some(value_of(p))), plain, "value {p}");
    }
}

#[test]
fn a_copied_page_is_the_page() {
    let Some(device) = device() else { return };
    let shape = shape(2, 1, 48);
    let mut world = World::new(&device, shape, 1.0);
    world.start(0, &[5]);
    world.push_noise(0, 3, 1.0);
    let page = shape.page_bytes() as usize;
    let before = world.pages.pool_mut().to_vec().unwrap();
    world.pages.copy(5, 9).unwrap();
    let after = world.pages.pool_mut().to_vec().unwrap();
    assert!(after[9 * page..10 * page] == before[5 * page..6 * page]);
    assert!(after[..9 * page] == before[..9 * page] && after[10 * page..] == before[10 * page..]);
    assert!(world.pages.copy(5, 24).is_err() && world.pages.copy(5, 5).is_err(), "a page that there is not");
}
