//! attend_prefill.cu.

use super::*;

/// The rows' queries are those rotate_store left.
#[test]
fn prefill_is_the_reference_at_every_position() {
    let Some(device) = device() else { return };
    for shape in shapes() {
        let mut world = World::new(&device, shape, 2.0);
        world.start(3, &[11, 2, 17]);
        world.push_noise(3, 259, 2.0);
        let rows: Vec<Row> = (0..259).map(|p| (3, p)).collect();
        let out = world.prefill(&[259]);
        agree(&world, &rows, &out, "prefill");
    }
}

/// A prompt in parts, beside others, behind a cached prefix: the same rows.
#[test]
fn parts_of_several_sequences_are_the_reference() {
    let Some(device) = device() else { return };
    for shape in [shape(4, 2, 64), shape(4, 1, 128), shape(3, 1, 144)] {
        let mut world = World::new(&device, shape, 2.0);
        world.start(0, &[4, 9, 13]);
        world.push_noise(0, 131, 1.0);
        world.fork(0, 2, 18);
        world.start(1, &[20]);
        let row = |slot: usize, i: u32| (slot, noise(shape.qkv_width() as usize, 5000 + 100 * slot as u32 + i, 1.0));
        let mut rows: Vec<_> = (0..17).map(|i| row(1, i)).collect();
        rows.extend((0..5).map(|i| row(0, i)));
        rows.extend((0..1).map(|i| row(2, i)));
        world.push(&rows);
        let asked: Vec<Row> = (0..17).map(|p| (1, p)).chain((131..136).map(|p| (0, p))).chain([(2, 131)]).collect();
        let out = world.prefill(&[17, 5, 1]);
        agree(&world, &asked, &out, "parts");
    }
}

#[test]
fn prefill_weights_of_every_width_are_the_reference() {
    let Some(device) = device() else { return };
    for shape in [shape(2, 1, 64), shape(2, 1, 256)] {
        let d = shape.head_dim as usize;
        let mut seen = BTreeSet::new();
        for (i, q_weight) in WEIGHTS.into_iter().enumerate() {
            let mut world = World::new(&device, shape, q_weight);
            world.start(0, &[11, 2]);
            let rows: Vec<_> = (0..150)
                .map(|p| {
                    let mut x = noise(shape.qkv_width() as usize, 31 * i as u32 + p, 1.0);
                    let scale = value_scale(i, p as usize);
                    x[3 * d..].iter_mut().for_each(|v| *v *= scale);
                    (0, x)
                })
                .collect();
            world.push(&rows);
            let asked: Vec<Row> = (0..150).map(|p| (0, p)).collect();
            let out = world.prefill(&[150]);
            agree(&world, &asked, &out, "widths");
            if d <= 128 {
                for &row in &asked {
                    seen.extend(widths(&world, row, |p, _| rows[p].1[3 * d..].to_vec()));
                }
            }
        }
        if d <= 128 {
            assert_eq!(seen.into_iter().collect::<Vec<_>>(), (10..=15).collect::<Vec<_>>(), "widths that were not met");
        }
    }
}

/// Decoding a row and prefilling it are two kernels and one result.
#[test]
fn decode_equals_prefill() {
    let Some(device) = device() else { return };
    for shape in [shape(4, 1, 128), shape(2, 2, 256)] {
        let mut world = World::new(&device, shape, 3.0);
        world.start(0, &[3, 14, 8]);
        world.push_noise(0, 270, 1.0);
        let rows: Vec<Row> = (256..270).map(|p| (0, p)).collect();
        world.ask(&rows);
        let decoded = world.decode(&rows, 4);
        world.ask(&rows);
        let prefilled = world.prefill(&[14]);
        for (a, b) in decoded.attention.iter().zip(&prefilled.attention) {
            assert_eq!(bits(a), bits(b));
        }
        assert_eq!(decoded.rows, prefilled.rows);
    }
}

#[test]
fn tiles_cover_each_sequence_once() {
    let s = shape(12, 4, 128);
    let made: Vec<_> = tiles(&s, &[50, 1, 21]).iter().map(|t| (t.first, t.count)).collect();
    assert_eq!(made, [(0, 21), (21, 21), (42, 8), (50, 1), (51, 21)]);
}
