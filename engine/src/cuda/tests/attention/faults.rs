//! Faults of attention: told for the row that meets them, and nobody else moves.

use super::*;

fn word(stage: u32, kind: u32) -> u32 {
    LAYER << 16 | stage << 8 | kind
}

/// Slot 0 goes on as if slot 1 were not there; the fault words of slot 1's rows.
fn beside(world: &mut World, rows: &[Row], prefill: Option<&[u32]>) -> Vec<u32> {
    world.ask(rows);
    let out = match prefill {
        Some(counts) => world.prefill(counts),
        None => world.decode(rows, 16),
    };
    for (i, &row) in rows.iter().enumerate().filter(|(_, row)| row.0 == 0) {
        assert_eq!(out.faults[i], abi::NO_FAULT);
        assert_eq!(bits(&out.attention[i]), bits(&world.expected(row)), "{row:?}");
        if !out.rows.is_empty() {
            assert_eq!(out.rows[i], numerics::quantize_r(&world.expected(row)).unwrap());
        }
    }
    rows.iter().zip(out.faults).filter(|(row, _)| row.0 == 1).map(|(_, fault)| fault).collect()
}

/// Queries that are not normed here, so that one row's scores can leave 2^20.
#[test]
fn scores_beyond_the_bound_are_a_fault_of_their_row() {
    let Some(device) = device() else { return };
    for shape in [shape(4, 2, 64), shape(2, 1, 128), shape(2, 1, 256)] {
        for sign in [1.0f32, -1.0] {
            let mut world = World::new(&device, shape, 1.0);
            world.start(0, &[4]);
            world.start(1, &[6]);
            world.push_noise(0, 9, 1.0);
            world.push_noise(1, 9, 1.0);
            // Every score of the row is sign * much: the query is its own keys' sum, at the reference's side too.
            let keys: Vec<f32> = world.sequences[1].rotated[0][(shape.heads * shape.head_dim) as usize..]
                [..shape.head_dim as usize]
                .to_vec();
            world.sequences[1].queries[0][0] = keys.iter().map(|k| k * sign * 1e7).collect();
            let rows = [(0, 0), (0, 8), (1, 0), (1, 8)];
            let reference = numerics::attend(
                &world.sequences[1].queries[0][0],
                &world.sequences[1].caches[0],
                1,
                numerics::attention_scale(shape.head_dim as usize),
            );
            assert_eq!(reference.unwrap_err(), crate::FaultKind::Attention);
            let wanted = [word(abi::STAGE_ATTENTION, abi::FAULT_ATTENTION), abi::NO_FAULT];
            assert_eq!(beside(&mut world, &rows, None), wanted, "{shape:?} {sign}");
            assert_eq!(
                beside(&mut world, &[(0, 0), (0, 1), (1, 0), (1, 1)], Some(&[2, 2])),
                wanted,
                "{shape:?} {sign}"
            );
        }
    }
}

/// Weight 1 times 2^60: a value that R takes and L does not, for the row whose score is an integer.
#[test]
fn weighted_values_beyond_the_quantizer_are_a_fault_of_their_row() {
    let Some(device) = device() else { return };
    for shape in [shape(4, 2, 64), shape(2, 1, 128), shape(2, 1, 256)] {
        let mut world = World::new(&device, shape, 1.0);
        world.start(0, &[4]);
        world.start(1, &[6]);
        world.push_noise(0, 3, 1.0);
        let d = shape.head_dim as usize;
        let mut x = noise(shape.qkv_width() as usize, 77, 1.0);
        let value = (shape.heads + shape.kv_heads) as usize * d;
        x[value + d - 1] = 1.1e18;
        world.push(&[(1, x.clone()), (1, x)]);
        // A query of zeros scores 0; p is 1 for every key.
        world.sequences[1].queries[0][0].fill(0.0);
        let scale = numerics::attention_scale(d);
        let reference = numerics::attend(&world.sequences[1].queries[0][0], &world.sequences[1].caches[0], 1, scale);
        assert_eq!(reference.unwrap_err(), crate::FaultKind::Quantizer);
        let found = beside(&mut world, &[(0, 2), (1, 0), (1, 1)], None);
        assert_eq!(found[0], word(abi::STAGE_ATTENTION, abi::FAULT_QUANTIZER), "{shape:?}");
        let found = beside(&mut world, &[(0, 1), (0, 2), (1, 0), (1, 1)], Some(&[2, 2]));
        assert_eq!(found[0], word(abi::STAGE_ATTENTION, abi::FAULT_QUANTIZER), "{shape:?}");
    }
}

#[test]
fn shapes_that_the_kernels_do_not_take_are_refused() {
    for (heads, kv_heads, head_dim) in
        [(2, 2, 8), (2, 2, 272), (2, 2, 0), (3, 2, 64), (0, 0, 64), (65, 1, 64), (33, 1, 256), (2, 0, 64)]
    {
        assert!(shape(heads, kv_heads, head_dim).check().is_err(), "{heads} {kv_heads} {head_dim}");
    }
    assert!(shape(64, 1, 128).check().is_ok() && shape(32, 1, 256).check().is_ok());
    let Some(device) = device() else { return };
    let s = shape(2, 1, 64);
    let mut world = World::new(&device, s, 1.0);
    world.start(0, &[0]);
    world.push_noise(0, 2, 1.0);
    let attend = AttendChunks::new(&device, &s).unwrap();
    let items = ChunkItems::new(&device, 1).unwrap();
    let mut few = Partials::new(&device, &s, 1, 1).unwrap();
    // SAFETY: refused before the launch.
    let run =
        unsafe { attend.run(&items, &world.step, 2, &world.pages, LAYER, &world.queries, &mut few, &mut world.fault) };
    assert!(run.is_err(), "two rows in the partials of one");
    let mut enough = Partials::new(&device, &s, 2, 1).unwrap();
    // SAFETY: refused before the launch.
    let run =
        unsafe { attend.run(&items, &world.step, 2, &world.pages, 2, &world.queries, &mut enough, &mut world.fault) };
    assert!(run.is_err(), "layer 2 of 2");
}
