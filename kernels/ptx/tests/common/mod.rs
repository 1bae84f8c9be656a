//! Small hand-written PTX: one instruction over many inputs, one thread each.
#![allow(dead_code)]

use grail_ptx::{Counters, Device, Finding, Module, Options, Ptr, Schedule, Shape};

/// Values at which integer and float instructions change their ways, and some in between.
pub const WORDS: [u32; 20] = [
    0,
    1,
    2,
    31,
    32,
    33,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0x1234_5678,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xdead_beef,
    0xffff_8000,
    0xffff_ff80,
    0xffff_fffe,
    0xffff_ffff,
];

pub const FLOATS: [f32; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1.5,
    2.5,
    -2.5,
    0.1,
    3.0,
    -7.25,
    8_388_607.5,
    16_777_217.0,
    1e-45,
    -1e-40,
    1.175_494_4e-38,
    3.4e38,
    -2_147_483_648.0,
    4_294_967_040.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// A deterministic stream of words.
pub struct Words(pub u64);

impl Words {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Every combination of `N` of the values, and 200 random ones.
pub fn combinations<const N: usize>(values: &[u64]) -> Vec<[u64; N]> {
    let mut all = Vec::new();
    for index in 0..values.len().pow(N as u32) {
        let mut rest = index;
        all.push(std::array::from_fn(|_| {
            let value = values[rest % values.len()];
            rest /= values.len();
            value
        }));
    }
    let mut words = Words(N as u64);
    all.extend((0..200).map(|_| std::array::from_fn(|_| words.next())));
    all
}

pub fn words() -> Vec<u64> {
    WORDS.iter().map(|w| u64::from(*w)).collect()
}

pub fn float_bits() -> Vec<u64> {
    FLOATS.iter().map(|f| u64::from(f.to_bits())).collect()
}

pub fn longs() -> Vec<u64> {
    let mut values = words();
    values.extend([1 << 32, 1 << 63, u64::MAX, i64::MAX as u64, 0xffff_ffff_0000_0000, 0x0123_4567_89ab_cdef]);
    values
}

/// Runs `body` once per input: registers `a`, `b`, `c` of the types in `ins` hold the inputs, `o` the output.
pub fn eval<const N: usize>(body: &str, out: &str, ins: [&str; N], inputs: &[[u64; N]]) -> Vec<u64> {
    try_eval(body, out, ins, inputs).unwrap_or_else(|finding| panic!("{finding}"))
}

pub fn try_eval<const N: usize>(
    body: &str,
    out: &str,
    ins: [&str; N],
    inputs: &[[u64; N]],
) -> Result<Vec<u64>, Box<Finding>> {
    let names = ["a", "b", "c", "d"];
    let mut text = header("k", 2);
    text += &format!(
        ".reg .{out} o;\n.reg .b64 at;\n.reg .b64 base;\n.reg .b32 t;\n.reg .b32 u;\n.reg .b32 n;\n.reg .pred past;\n"
    );
    text += "mov.u32 t, %tid.x;\nmov.u32 u, %ctaid.x;\nmov.u32 n, %ntid.x;\nmad.lo.s32 t, u, n, t;\n";
    text += &format!("setp.ge.u32 past, t, {};\n@past bra END;\n", inputs.len());
    text += "ld.param.u64 base, [k_param_0];\n";
    for (i, ty) in ins.iter().enumerate() {
        let register = if *ty == "pred" { "b32" } else { ty };
        text += &format!(".reg .{register} in{i};\nmad.wide.u32 at, t, {}, base;\n", 8 * N);
        text += &format!("ld.global.{register} in{i}, [at+{}];\n.reg .{ty} {};\n", 8 * i, names[i]);
        text += &match *ty {
            "pred" => format!("setp.ne.u32 {}, in{i}, 0;\n", names[i]),
            _ => format!("mov.b{} {}, in{i};\n", &ty[1..], names[i]),
        };
    }
    text += &format!("{body}\nld.param.u64 base, [k_param_1];\nmad.wide.u32 at, t, 8, base;\n");
    text += &match out {
        "pred" => "selp.b32 u, 1, 0, o;\nst.global.u32 [at], u;\n".to_string(),
        _ => format!("st.global.b{} [at], o;\n", &out[1..]),
    };
    text += "END:\nret;\n}\n";
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut device = Device::new();
    let bytes: Vec<u8> = inputs.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    let from = device.alloc_from("inputs", &bytes);
    let to = device.alloc_zeroed("outputs", 8 * inputs.len());
    let blocks = inputs.len().div_ceil(64) as u32;
    device.launch(&module, "k", Shape::new(blocks, 64), &params(&[from, to]), &Options::default())?;
    Ok(device.read(to, 8 * inputs.len()).chunks(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect())
}

/// The head of a module and of an entry `name` with so many 64-bit parameters.
pub fn header(name: &str, params: usize) -> String {
    let params: Vec<String> = (0..params).map(|i| format!(".param .u64 {name}_param_{i}")).collect();
    format!(".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry {name}(\n{}\n)\n{{\n", params.join(",\n"))
}

pub fn params(pointers: &[Ptr]) -> Vec<u8> {
    pointers.iter().flat_map(|p| p.0.to_le_bytes()).collect()
}

pub fn schedules() -> Vec<Options> {
    let mut all: Vec<Options> = [1, 7, 32, 100_000]
        .map(|quantum| Options { schedule: Schedule::RoundRobin { quantum }, ..Options::default() })
        .into();
    all.extend((0..4).map(|seed| Options { schedule: Schedule::Random { seed }, ..Options::default() }));
    all
}

/// Compares an instruction to a function on every input.
pub fn law<const N: usize>(body: &str, out: &str, ins: [&str; N], inputs: &[[u64; N]], f: impl Fn([u64; N]) -> u64) {
    let got = eval(body, out, ins, inputs);
    assert_eq!(got.len(), inputs.len());
    for (input, got) in inputs.iter().zip(got) {
        let want = f(*input);
        assert_eq!(got, want, "{body} of {input:#x?}: {got:#x}, expected {want:#x}");
    }
}

/// Runs a whole hand-written kernel of one parameter per buffer, with one block of `threads`.
pub fn run(
    body: &str,
    threads: u32,
    device: &mut Device,
    buffers: &[Ptr],
    options: &Options,
) -> Result<Counters, Box<Finding>> {
    let text = format!("{}{body}\nret;\n}}\n", header("k", buffers.len()));
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    device.launch(&module, "k", Shape::new(1, threads), &params(buffers), options)
}
