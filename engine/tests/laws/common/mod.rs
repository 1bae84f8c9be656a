//! What the law tests share: models of any shape with edits, the scalar reference made of the same checkpoint,
//! and comparisons that say where two results part.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::ops::Range;

use grail_engine::checkpoint::synthetic::{self, Shape};
use grail_engine::checkpoint::{Checkpoint, Dtype};
use grail_engine::cpu::cache::PageLayout;
use grail_engine::cpu::isa::Isa;
use grail_engine::types::{Event, GenerateRequest, Group, Observer, Sampling, Seed, unobserved};
use grail_engine::{Engine, EngineOptions, Error, Generated};
use half::{bf16, f16};

/// A checkpoint that can still be changed.
#[derive(Clone)]
pub struct Model {
    pub shape: Shape,
    bytes: Vec<u8>,
}

impl Model {
    pub fn random(seed: u64, shape: &Shape) -> Self {
        let mut model = Self { shape: shape.clone(), bytes: synthetic::safetensors_bytes(seed, shape).unwrap() };
        // An std of 0.02 on a narrow model leaves attention and logits flat; laws want weights that matter.
        let names: Vec<String> = model.checkpoint().tensors().map(|t| t.name().to_owned()).collect();
        for name in names.iter().filter(|n| n.contains("proj") || n.contains("lm_head") || n.contains("embed")) {
            model.edit(name, |_, _, x| 4.0 * x);
        }
        model
    }

    /// Multiplies some channels of the residual stream by 1000, as trained models have them.
    pub fn with_outliers(mut self, channels: &[usize]) -> Self {
        let hidden = self.shape.hidden;
        let hit = |c: usize| channels.iter().any(|&o| o % hidden == c);
        self.edit("model.embed_tokens.weight", |_, c, x| if hit(c) { 1000.0 * x } else { x });
        for layer in 0..self.shape.layers {
            let name = format!("model.layers.{layer}.mlp.down_proj.weight");
            self.edit(&name, |row, _, x| if hit(row) { 1000.0 * x } else { x });
        }
        self
    }

    fn range(&self, tensor: &str) -> (Range<usize>, usize) {
        let length = u64::from_le_bytes(self.bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&self.bytes[8..8 + length]).unwrap();
        let info = &header[tensor];
        let offset = |i: usize| 8 + length + info["data_offsets"][i].as_u64().expect("a known tensor") as usize;
        let columns = info["shape"].as_array().unwrap().last().unwrap().as_u64().unwrap() as usize;
        (offset(0)..offset(1), columns)
    }

    /// Replaces each element by `f(row, column, element)`, rounded to the model's type; how many changed.
    pub fn edit(&mut self, tensor: &str, f: impl Fn(usize, usize, f32) -> f32) -> usize {
        let ((range, columns), size) = (self.range(tensor), self.shape.dtype.size_bytes());
        let (dtype, mut changed) = (self.shape.dtype, 0);
        for (i, b) in self.bytes[range].chunks_exact_mut(size).enumerate() {
            let old = b.to_vec();
            match dtype {
                Dtype::Bf16 => {
                    let x = bf16::from_le_bytes([b[0], b[1]]).to_f32();
                    b.copy_from_slice(&bf16::from_f32(f(i / columns, i % columns, x)).to_le_bytes());
                }
                Dtype::F16 => {
                    let x = f16::from_le_bytes([b[0], b[1]]).to_f32();
                    b.copy_from_slice(&f16::from_f32(f(i / columns, i % columns, x)).to_le_bytes());
                }
                Dtype::F32 => {
                    let x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                    b.copy_from_slice(&f(i / columns, i % columns, x).to_le_bytes());
                }
            }
            changed += usize::from(old != b);
        }
        changed
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let tokenizer = synthetic::tokenizer_json(self.shape.vocab);
        Checkpoint::from_bytes(&self.shape.config_json(), tokenizer, vec![self.bytes.clone()]).unwrap()
    }

    pub fn engine(&self, options: EngineOptions) -> Engine {
        Engine::load(self.checkpoint(), options).unwrap()
    }

    /// An engine with room for exactly so many pages.
    pub fn engine_of_pages(&self, pages: u64, options: EngineOptions) -> Engine {
        let page_bytes = PageLayout::new(self.checkpoint().config()).page_bytes() as u64;
        let none = Engine::load(self.checkpoint(), EngineOptions { memory_bytes: Some(0), ..options.clone() });
        let Some(Error::Memory { needed_bytes, .. }) = none.err() else { panic!("no memory is refused") };
        let memory_bytes = Some(needed_bytes + (pages - 1) * page_bytes);
        let engine = self.engine(EngineOptions { memory_bytes, ..options });
        assert_eq!(engine.cache_positions() as u64, 128 * pages, "the budget buys what it should");
        engine
    }
}

/// A small model for laws about scheduling: one page boundary is a page of work away, a token costs microseconds.
pub fn small() -> Model {
    let shape = Shape {
        hidden: 96,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        intermediate: 72,
        vocab: 75,
        tied: true,
        dtype: Dtype::Bf16,
        max_positions: 512,
        rope_theta: 1e4,
    };
    Model::random(7, &shape)
}

pub fn isas() -> Vec<String> {
    Isa::available().into_iter().map(|isa| isa.to_string()).collect()
}

/// Every instruction set with 1, 2 and 5 threads.
pub fn machines() -> Vec<EngineOptions> {
    let of = |cpu: &String| {
        let one = |threads| EngineOptions { threads: Some(threads), cpu: Some(cpu.clone()), ..options() };
        [1, 2, 5].map(one)
    };
    isas().iter().flat_map(of).collect()
}

/// One thread and a gigabyte, so that tests running beside each other stay out of each other's way.
pub fn options() -> EngineOptions {
    EngineOptions { threads: Some(1), memory_bytes: Some(1 << 30), ..EngineOptions::default() }
}

/// A repeatable stream of numbers (SplitMix64).
pub fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

pub fn tokens(seed: u64, length: usize, vocab: usize) -> Vec<u32> {
    let mut next = random(seed);
    (0..length).map(|_| (next() % vocab as u64) as u32).collect()
}

/// r of NUMERICS 10 over the whole range of i32.
pub fn projection(hidden: usize) -> Vec<i32> {
    let mut next = random(99);
    (0..hidden).map(|_| next() as i32).collect()
}

pub fn seed(number: u64) -> Seed {
    let mut next = random(number ^ 0x5eed);
    let mut bytes = [0; 32];
    bytes.chunks_exact_mut(8).for_each(|b| b.copy_from_slice(&next().to_le_bytes()));
    Seed(bytes)
}

/// Groups of `sizes[i]` rollouts on prompts of `lengths[i]` tokens.
pub fn groups(vocab: usize, lengths: &[usize], sizes: &[usize]) -> Vec<Group> {
    let group = |(i, (&length, &size)): (usize, (&usize, &usize))| Group {
        prompt: tokens(500 + i as u64, length, vocab),
        seeds: (0..size).map(|j| seed((1000 * i + j) as u64)).collect(),
    };
    lengths.iter().zip(sizes).enumerate().map(group).collect()
}

pub fn request<'a>(groups: &'a [Group], max_new_tokens: usize, projection: &'a [i32]) -> GenerateRequest<'a> {
    // Flat enough that seeds matter, with every step of the sampler switched on.
    let sampling = Sampling { temperature: 1.3, top_k: 30, ..Sampling::default() };
    GenerateRequest { groups, sampling, max_new_tokens, eos_ids: &[], projection, keep_hidden: true, logprobs: true }
}

/// Generates without watching, and finds every page given back.
pub fn generate(engine: &mut Engine, request: &GenerateRequest<'_>) -> Generated {
    let out = engine.generate(request, &mut unobserved).unwrap();
    assert_eq!(engine.cache_in_use(), (0, 0), "pages in use and promised after a call");
    out
}

/// An observer that ends a call which makes no progress, instead of a test that hangs.
pub fn bounded<'a>(most_steps: usize, mut observer: impl FnMut(Event<'_>) + 'a) -> Box<Observer<'a>> {
    let mut steps = 0;
    Box::new(move |event| {
        observer(event);
        steps += usize::from(matches!(event, Event::Step(_)));
        assert!(steps <= most_steps, "no end after {most_steps} steps");
        ControlFlow::Continue(())
    })
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

pub fn digest(x: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bits(x).hash(&mut hasher);
    hasher.finish()
}
