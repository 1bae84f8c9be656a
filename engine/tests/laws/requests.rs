//! Laws of refusal: what cannot be done is an error that names the field, before any work.

use grail_engine::checkpoint::Dtype;
use grail_engine::cpu::isa::Isa;
use grail_engine::cpu::pool::Pool;
use grail_engine::cpu::weights::Weights;
use grail_engine::types::{Completion, GenerateRequest, Group, Sampling, ScoreGroup, ScoreRequest, Seed, unobserved};
use grail_engine::{Engine, EngineOptions, Error};

use crate::common::{Model, options, projection, small};

/// The field that a refusal names.
fn field<T>(result: Result<T, Error>) -> String {
    match result.err() {
        Some(Error::Request { field, problem }) => {
            assert!(problem.contains("expected"), "{field}: {problem}");
            field
        }
        other => panic!("expected a refused request, found {other:?}"),
    }
}

fn groups_of(prompt: Vec<u32>) -> [Group; 2] {
    let seeds = vec![Seed([1; 32])];
    [Group { prompt: vec![1, 2], seeds: seeds.clone() }, Group { prompt, seeds }]
}

#[test]
fn a_bad_generate_request_is_refused_by_field_and_nothing_is_begun() {
    let model = small();
    let mut engine = model.engine(options());
    let mut refused = |prompt: Vec<u32>, change: &dyn Fn(&mut GenerateRequest<'_>)| {
        let groups = groups_of(prompt);
        let mut request = GenerateRequest {
            groups: &groups,
            sampling: Sampling::default(),
            max_new_tokens: 4,
            eos_ids: &[],
            projection: &[],
            keep_hidden: false,
            logprobs: true,
        };
        change(&mut request);
        let mut observer = |_: grail_engine::types::Event<'_>| panic!("work was begun");
        let field = field(engine.generate(&request, &mut observer));
        assert_eq!(engine.cache_in_use(), (0, 0));
        field
    };
    let fine = |_: &mut GenerateRequest<'_>| {};
    assert_eq!(refused(vec![], &fine), "groups[1].prompt");
    assert_eq!(refused(vec![3, 75], &fine), "groups[1].prompt[1]");
    assert_eq!(refused(vec![u32::MAX], &fine), "groups[1].prompt[0]");
    assert_eq!(refused(vec![1; 509], &fine), "groups[1].prompt");
    assert_eq!(refused(vec![1], &|r| r.max_new_tokens = 0), "max_new_tokens");
    assert_eq!(refused(vec![1], &|r| r.max_new_tokens = usize::MAX), "groups[0].prompt");
    assert_eq!(refused(vec![1], &|r| r.eos_ids = &[74, 75]), "eos_ids[1]");
    assert_eq!(refused(vec![1], &|r| r.projection = &[1; 95]), "projection");
    assert_eq!(refused(vec![1], &|r| r.projection = &[1; 97]), "projection");
}

#[test]
fn bad_sampling_parameters_are_refused_by_name() {
    let mut engine = small().engine(options());
    let groups = groups_of(vec![1]);
    let claims = [ScoreGroup { prompt: vec![1], completions: Vec::new() }];
    let default = Sampling::default();
    let mut count = 0;
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1] {
        let mut cases = vec![
            ("temperature", Sampling { temperature: bad, ..default }),
            ("top_p", Sampling { top_p: bad, ..default }),
            ("repetition_penalty", Sampling { repetition_penalty: bad, ..default }),
        ];
        cases.push(("top_p", Sampling { top_p: 1.0 + f64::EPSILON, ..default }));
        cases.extend([0.0, 1e-60, 1e60].map(|p| ("repetition_penalty", Sampling { repetition_penalty: p, ..default })));
        for (name, sampling) in cases {
            let request = GenerateRequest {
                groups: &groups,
                sampling,
                max_new_tokens: 1,
                eos_ids: &[],
                projection: &[],
                keep_hidden: false,
                logprobs: true,
            };
            assert_eq!(field(engine.generate(&request, &mut unobserved)), name);
            let request = ScoreRequest { groups: &claims, sampling, projection: &[] };
            assert_eq!(field(engine.score(&request, &mut unobserved)), name);
            count += 1;
        }
    }
    assert_eq!(count, 28);
}

#[test]
fn a_bad_score_or_trace_request_is_refused_by_field() {
    let mut engine = small().engine(options());
    let mut refused = |prompt: Vec<u32>, tokens: Vec<u32>, projection: &[i32]| {
        let fine = Completion { tokens: vec![1], seed: Seed([1; 32]) };
        let completions = vec![fine.clone(), Completion { tokens, ..fine }];
        let groups = [ScoreGroup { prompt, completions }];
        let request = ScoreRequest { groups: &groups, sampling: Sampling::default(), projection };
        field(engine.score(&request, &mut unobserved))
    };
    assert_eq!(refused(vec![], vec![1], &[]), "groups[0].prompt");
    assert_eq!(refused(vec![75], vec![1], &[]), "groups[0].prompt[0]");
    assert_eq!(refused(vec![1], vec![], &[]), "groups[0].completions[1].tokens");
    assert_eq!(refused(vec![1], vec![1, 1, 75], &[]), "groups[0].completions[1].tokens[2]");
    assert_eq!(refused(vec![1; 500], vec![1; 13], &[]), "groups[0].completions[1].tokens");
    assert_eq!(refused(vec![1], vec![1], &[1]), "projection");

    let mut show = |_: grail_engine::TraceRow<'_>| panic!("work was begun");
    assert_eq!(field(engine.trace(&[], &[], None, &mut show)), "tokens");
    assert_eq!(field(engine.trace(&[1, 75], &[], None, &mut show)), "tokens[1]");
    assert_eq!(field(engine.trace(&[1; 513], &[], None, &mut show)), "tokens");
    assert_eq!(field(engine.trace(&[1], &[1, 2], None, &mut show)), "projection");
}

/// The controls: what stands just inside each limit is served.
#[test]
fn requests_at_the_limits_are_served() {
    let model = small();
    let mut engine = model.engine(options());
    let r = projection(model.shape.hidden);
    let groups = groups_of(vec![74; 508]);
    let sampling = Sampling { temperature: 1e-300, top_p: 0.0, repetition_penalty: 1e-30, ..Sampling::default() };
    for sampling in [sampling, Sampling { temperature: 1e300, top_p: 1.0, top_k: u32::MAX, repetition_penalty: 1e30 }] {
        let request = GenerateRequest {
            groups: &groups,
            sampling,
            max_new_tokens: 4,
            eos_ids: &[74],
            projection: &r,
            keep_hidden: false,
            logprobs: true,
        };
        // Such parameters may overflow the scores, which is the rollout's fault and not the call's.
        assert_eq!(engine.generate(&request, &mut unobserved).unwrap().len(), 2);
        assert_eq!(engine.cache_in_use(), (0, 0));
    }
    let mut shown = 0;
    engine.trace(&[74; 512], &r, None, &mut |_| shown += 1).unwrap();
    assert_eq!(shown, 512);
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let model = small();
    let load = |change: &dyn Fn(&mut EngineOptions)| {
        let mut options = options();
        change(&mut options);
        Engine::load(model.checkpoint(), options)
    };
    assert_eq!(field(load(&|o| o.max_batch = 0)), "max_batch");
    assert_eq!(field(load(&|o| o.step_rows = 0)), "step_rows");
    assert_eq!(field(load(&|o| o.threads = Some(0))), "threads");
    assert_eq!(field(load(&|o| o.threads = Some(usize::MAX))), "threads");
    let error = load(&|o| o.cpu = Some("mmx".into())).err().unwrap();
    assert!(matches!(&error, Error::Unsupported { .. }) && error.to_string().contains("mmx"), "{error}");
    for huge in [usize::MAX, usize::MAX / 8] {
        let error = load(&|o| (o.max_batch, o.step_rows) = (huge, huge)).err().unwrap();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
    }
}

#[test]
fn a_budget_that_is_too_small_is_named_in_bytes() {
    let model = small();
    for budget in [0, 1000, 50_000] {
        let options = EngineOptions { memory_bytes: Some(budget), ..options() };
        match Engine::load(model.checkpoint(), options.clone()).err() {
            Some(Error::Memory { budget_bytes, needed_bytes, .. }) => {
                assert_eq!(budget_bytes, budget);
                assert!(needed_bytes > budget);
                let enough = EngineOptions { memory_bytes: Some(needed_bytes), ..options.clone() };
                assert_eq!(model.engine(enough).cache_positions(), 128, "what is said to be needed is enough");
                let less = EngineOptions { memory_bytes: Some(needed_bytes - 1), ..options.clone() };
                assert!(Engine::load(model.checkpoint(), less).is_err(), "and no less");
            }
            other => panic!("{budget} bytes: {other:?}"),
        }
    }
}

/// But for those that eleven bits do not hold: a weight alone in its block has fifteen.
#[test]
fn the_size_of_packed_weights_is_known_before_they_are_packed() {
    let pool = Pool::new(1);
    let shapes = [
        (true, 72, 75, Dtype::Bf16),
        (false, 1, 1, Dtype::Bf16),
        (false, 129, 257, Dtype::Bf16),
        (true, 72, 75, Dtype::F32),
    ];
    for ((tied, intermediate, vocab, dtype), isa) in
        shapes.into_iter().flat_map(|shape| Isa::available().into_iter().map(move |isa| (shape, isa)))
    {
        let shape = grail_engine::checkpoint::synthetic::Shape { tied, intermediate, vocab, dtype, ..small().shape };
        let engine = Model::random(1, &shape).engine(EngineOptions { cpu: Some(isa.to_string()), ..options() });
        let weights = Weights::load(engine.checkpoint(), isa, &pool).unwrap();
        let apart = 8 * weights.kept_apart() as u64;
        assert_eq!(apart > 0, intermediate % 128 == 1 && isa != Isa::PORTABLE, "{isa} {shape:?}");
        let embedding = engine.checkpoint().embedding().bytes().len() as u64;
        let expected = Weights::bytes_for(engine.checkpoint(), isa).unwrap() + embedding + apart;
        assert_eq!(engine.weight_bytes(), expected, "{isa} {shape:?}");
    }
}

#[test]
fn a_sequence_beyond_the_budget_is_refused_in_bytes_before_any_work() {
    let model = small();
    let mut engine = model.engine_of_pages(2, options());
    let groups = groups_of(vec![1; 256]);
    let request = GenerateRequest {
        groups: &groups,
        sampling: Sampling::default(),
        max_new_tokens: 1,
        eos_ids: &[],
        projection: &[],
        keep_hidden: false,
        logprobs: true,
    };
    let mut observer = |_: grail_engine::types::Event<'_>| panic!("work was begun");
    let error = engine.generate(&request, &mut observer).err().unwrap();
    let Error::Memory { budget_bytes, needed_bytes, purpose } = error else { panic!("{error}") };
    let page = grail_engine::cpu::cache::PageLayout::new(engine.config()).page_bytes() as u64;
    assert_eq!(needed_bytes - budget_bytes, page, "{purpose}");
    assert!(purpose.contains("256") && purpose.contains("257"), "{purpose}");

    let completions = vec![Completion { tokens: vec![1], seed: Seed([0; 32]) }];
    let claims = [ScoreGroup { prompt: vec![1; 256], completions }];
    let request = ScoreRequest { groups: &claims, sampling: Sampling::default(), projection: &[] };
    assert!(matches!(engine.score(&request, &mut unobserved), Err(Error::Memory { .. })));
    assert!(matches!(engine.trace(&[1; 257], &[], None, &mut |_| {}), Err(Error::Memory { .. })));
    let mut shown = 0;
    engine.trace(&[1; 256], &[], None, &mut |_| shown += 1).unwrap();
    assert_eq!(shown, 256, "what fits is served");
}

#[test]
fn a_weight_that_is_not_finite_is_refused_by_its_tensor() {
    let mut refused = 0;
    for (dtype, tied) in [(Dtype::Bf16, false), (Dtype::F16, false), (Dtype::F32, false), (Dtype::F32, true)] {
        let shape = grail_engine::checkpoint::synthetic::Shape { dtype, tied, ..small().shape };
        let model = Model::random(1, &shape);
        let names: Vec<String> = model.checkpoint().tensors().map(|t| t.name().to_owned()).collect();
        let mut values = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        values.extend((dtype != Dtype::F16).then_some(2f32.powi(60)));
        for (name, &value) in names.iter().flat_map(|n| values.iter().map(move |v| (n, v))) {
            let mut broken = model.clone();
            // The last element: ends of rows and of files are where a check stops early.
            let last = model.checkpoint().tensor(name).map(|t| (t.rows() - 1, t.columns() - 1)).unwrap();
            broken.edit(name, |row, column, x| if (row, column) == last { value } else { x });
            match Engine::load(broken.checkpoint(), options()).err() {
                Some(Error::Tensor { tensor, problem }) => {
                    assert_eq!(tensor, *name);
                    assert!(problem.contains(&format!("row {}, column {}", last.0, last.1)), "{problem}");
                    refused += 1;
                }
                other => panic!("{name} with {value}: {other:?}"),
            }
        }
        let mut control = model.clone();
        let below = if dtype == Dtype::F16 { 65504.0 } else { 2f32.powi(59) };
        control.edit(&names[0], |row, column, x| if row + column == 0 { below } else { x });
        assert!(Engine::load(control.checkpoint(), options()).is_ok(), "the greatest weights are served");
    }
    assert!(refused > 300, "{refused} weights");
}
