// Written by kernels/bindings/run from kernels/abi.h; not to be edited.

pub const BLOCK: u32 = 128;
pub const TILE_FEATURES: u32 = 16;
pub const TILE_TOKENS: u32 = 8;
pub const KSTEPS: u32 = 4;
pub const WEIGHT_TILE_BYTES: u32 = 4096;
pub const WEIGHT_KSTEP_BYTES: u32 = 1024;
pub const WEIGHT_PLANE_BYTES: u32 = 512;
pub const ROWS_TILE_BYTES: u32 = 2048;
pub const ROWS_KSTEP_BYTES: u32 = 512;
pub const RIGHT_BITS: u32 = 14;
pub const RIGHT_MAX: u32 = 16383;
pub const LEFT_SUM: u32 = 131080;
pub const LEFT_MAX: u32 = 32639;
pub const NO_FAULT: u32 = 4294967295;
pub const STAGE_INPUT_NORM: u32 = 0;
pub const STAGE_QK_NORM: u32 = 1;
pub const STAGE_KEY_VALUE: u32 = 2;
pub const STAGE_QUERY: u32 = 3;
pub const STAGE_ATTENTION: u32 = 4;
pub const STAGE_ATTENTION_OUTPUT: u32 = 5;
pub const STAGE_POST_NORM: u32 = 6;
pub const STAGE_ACTIVATION: u32 = 7;
pub const STAGE_FINAL_NORM: u32 = 8;
pub const STAGE_SKETCH: u32 = 9;
pub const STAGE_HEAD: u32 = 10;
pub const STAGE_LOGITS: u32 = 11;
pub const FAULT_QUANTIZER: u32 = 0;
pub const FAULT_SUM_OF_SQUARES: u32 = 1;
pub const FAULT_ATTENTION: u32 = 2;
pub const FAULT_LOGITS: u32 = 3;
pub const FAULT_SKETCH: u32 = 4;
pub const ELEMENT_F32: u32 = 0;
pub const ELEMENT_F16: u32 = 1;
pub const ELEMENT_BF16: u32 = 2;
pub const PRODUCT_STORE: u32 = 0;
pub const PRODUCT_ADD: u32 = 1;
pub const PRODUCT_SILU_MUL: u32 = 2;
pub const GEMM_SHARED_BYTES: u32 = 100896;
pub const GEMM_NARROW_SHARED_BYTES: u32 = 50192;
pub const GEMV_SHARED_BYTES: u32 = 32768;
pub const GEMV_WIDE_SHARED_BYTES: u32 = 65536;
pub const CHUNK: u32 = 128;
pub const LIST: u32 = 128;
pub const SLICES_MAX: u32 = 152;
pub const HEAD_WARPS: u32 = 8;
pub const NO_TOKEN: u32 = 4294967295;
pub const MODE_GREEDY: u32 = 0;
pub const MODE_ALL: u32 = 1;
pub const MODE_LIST: u32 = 2;
pub const MODE_ROW: u32 = 3;
pub const QUESTION_OFF: u32 = 0;
pub const QUESTION_LIVE: u32 = 1;
pub const QUESTION_EOS: u32 = 2;
pub const QUESTION_LENGTH: u32 = 3;
pub const PAGE: u32 = 128;
pub const FRAGMENT_BYTES: u32 = 512;
pub const MAX_HEAD_DIM: u32 = 256;
pub const PREFILL_COLUMNS: u32 = 64;
pub const MMA_PEAK_THREADS: u32 = 256;
pub const MMA_PEAK_CHAINS: u32 = 8;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct quantize_weights_params {
    pub w: *const ::core::ffi::c_void,
    pub up: *const ::core::ffi::c_void,
    pub q: *mut u8,
    pub g: *mut i8,
    pub fault: *mut u32,
    pub rows: u32,
    pub k: u32,
    pub first: u32,
    pub element: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of quantize_weights_params"][::core::mem::size_of::<quantize_weights_params>() - 56usize];
    ["Alignment of quantize_weights_params"][::core::mem::align_of::<quantize_weights_params>() - 8usize];
    ["Offset of field: quantize_weights_params::w"][::core::mem::offset_of!(quantize_weights_params, w) - 0usize];
    ["Offset of field: quantize_weights_params::up"][::core::mem::offset_of!(quantize_weights_params, up) - 8usize];
    ["Offset of field: quantize_weights_params::q"][::core::mem::offset_of!(quantize_weights_params, q) - 16usize];
    ["Offset of field: quantize_weights_params::g"][::core::mem::offset_of!(quantize_weights_params, g) - 24usize];
    ["Offset of field: quantize_weights_params::fault"]
        [::core::mem::offset_of!(quantize_weights_params, fault) - 32usize];
    ["Offset of field: quantize_weights_params::rows"]
        [::core::mem::offset_of!(quantize_weights_params, rows) - 40usize];
    ["Offset of field: quantize_weights_params::k"][::core::mem::offset_of!(quantize_weights_params, k) - 44usize];
    ["Offset of field: quantize_weights_params::first"]
        [::core::mem::offset_of!(quantize_weights_params, first) - 48usize];
    ["Offset of field: quantize_weights_params::element"]
        [::core::mem::offset_of!(quantize_weights_params, element) - 52usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct norm_quantize_params {
    pub x: *const f32,
    pub weight: *const f32,
    pub q: *mut u8,
    pub g: *mut i8,
    pub normed: *mut f32,
    pub fault: *mut u32,
    pub row_count: *const u32,
    pub rows: u32,
    pub n: u32,
    pub ld: u32,
    pub layer: u32,
    pub stage: u32,
    pub eps: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of norm_quantize_params"][::core::mem::size_of::<norm_quantize_params>() - 80usize];
    ["Alignment of norm_quantize_params"][::core::mem::align_of::<norm_quantize_params>() - 8usize];
    ["Offset of field: norm_quantize_params::x"][::core::mem::offset_of!(norm_quantize_params, x) - 0usize];
    ["Offset of field: norm_quantize_params::weight"][::core::mem::offset_of!(norm_quantize_params, weight) - 8usize];
    ["Offset of field: norm_quantize_params::q"][::core::mem::offset_of!(norm_quantize_params, q) - 16usize];
    ["Offset of field: norm_quantize_params::g"][::core::mem::offset_of!(norm_quantize_params, g) - 24usize];
    ["Offset of field: norm_quantize_params::normed"][::core::mem::offset_of!(norm_quantize_params, normed) - 32usize];
    ["Offset of field: norm_quantize_params::fault"][::core::mem::offset_of!(norm_quantize_params, fault) - 40usize];
    ["Offset of field: norm_quantize_params::row_count"]
        [::core::mem::offset_of!(norm_quantize_params, row_count) - 48usize];
    ["Offset of field: norm_quantize_params::rows"][::core::mem::offset_of!(norm_quantize_params, rows) - 56usize];
    ["Offset of field: norm_quantize_params::n"][::core::mem::offset_of!(norm_quantize_params, n) - 60usize];
    ["Offset of field: norm_quantize_params::ld"][::core::mem::offset_of!(norm_quantize_params, ld) - 64usize];
    ["Offset of field: norm_quantize_params::layer"][::core::mem::offset_of!(norm_quantize_params, layer) - 68usize];
    ["Offset of field: norm_quantize_params::stage"][::core::mem::offset_of!(norm_quantize_params, stage) - 72usize];
    ["Offset of field: norm_quantize_params::eps"][::core::mem::offset_of!(norm_quantize_params, eps) - 76usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct quantize_rows_params {
    pub x: *const f32,
    pub q: *mut u8,
    pub g: *mut i8,
    pub fault: *mut u32,
    pub row_count: *const u32,
    pub rows: u32,
    pub k: u32,
    pub ld: u32,
    pub layer: u32,
    pub stage: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of quantize_rows_params"][::core::mem::size_of::<quantize_rows_params>() - 64usize];
    ["Alignment of quantize_rows_params"][::core::mem::align_of::<quantize_rows_params>() - 8usize];
    ["Offset of field: quantize_rows_params::x"][::core::mem::offset_of!(quantize_rows_params, x) - 0usize];
    ["Offset of field: quantize_rows_params::q"][::core::mem::offset_of!(quantize_rows_params, q) - 8usize];
    ["Offset of field: quantize_rows_params::g"][::core::mem::offset_of!(quantize_rows_params, g) - 16usize];
    ["Offset of field: quantize_rows_params::fault"][::core::mem::offset_of!(quantize_rows_params, fault) - 24usize];
    ["Offset of field: quantize_rows_params::row_count"]
        [::core::mem::offset_of!(quantize_rows_params, row_count) - 32usize];
    ["Offset of field: quantize_rows_params::rows"][::core::mem::offset_of!(quantize_rows_params, rows) - 40usize];
    ["Offset of field: quantize_rows_params::k"][::core::mem::offset_of!(quantize_rows_params, k) - 44usize];
    ["Offset of field: quantize_rows_params::ld"][::core::mem::offset_of!(quantize_rows_params, ld) - 48usize];
    ["Offset of field: quantize_rows_params::layer"][::core::mem::offset_of!(quantize_rows_params, layer) - 52usize];
    ["Offset of field: quantize_rows_params::stage"][::core::mem::offset_of!(quantize_rows_params, stage) - 56usize];
    ["Offset of field: quantize_rows_params::reserved"]
        [::core::mem::offset_of!(quantize_rows_params, reserved) - 60usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct product_params {
    pub w: *const u8,
    pub w_g: *const i8,
    pub x: *const u8,
    pub x_g: *const i8,
    pub y: *mut f32,
    pub row_count: *const u32,
    pub features: u32,
    pub blocks: u32,
    pub rows: u32,
    pub ld: u32,
    pub epilogue: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of product_params"][::core::mem::size_of::<product_params>() - 72usize];
    ["Alignment of product_params"][::core::mem::align_of::<product_params>() - 8usize];
    ["Offset of field: product_params::w"][::core::mem::offset_of!(product_params, w) - 0usize];
    ["Offset of field: product_params::w_g"][::core::mem::offset_of!(product_params, w_g) - 8usize];
    ["Offset of field: product_params::x"][::core::mem::offset_of!(product_params, x) - 16usize];
    ["Offset of field: product_params::x_g"][::core::mem::offset_of!(product_params, x_g) - 24usize];
    ["Offset of field: product_params::y"][::core::mem::offset_of!(product_params, y) - 32usize];
    ["Offset of field: product_params::row_count"][::core::mem::offset_of!(product_params, row_count) - 40usize];
    ["Offset of field: product_params::features"][::core::mem::offset_of!(product_params, features) - 48usize];
    ["Offset of field: product_params::blocks"][::core::mem::offset_of!(product_params, blocks) - 52usize];
    ["Offset of field: product_params::rows"][::core::mem::offset_of!(product_params, rows) - 56usize];
    ["Offset of field: product_params::ld"][::core::mem::offset_of!(product_params, ld) - 60usize];
    ["Offset of field: product_params::epilogue"][::core::mem::offset_of!(product_params, epilogue) - 64usize];
    ["Offset of field: product_params::reserved"][::core::mem::offset_of!(product_params, reserved) - 68usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct sampling {
    pub raw_scale: f32,
    pub scale: f32,
    pub penalty: f32,
    pub mode: u32,
    pub top_k: u32,
    pub logprobs: u32,
    pub top_p: u64,
    pub top_p_shift: u32,
    pub top_p_on: u32,
    pub store_logits: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of sampling"][::core::mem::size_of::<sampling>() - 48usize];
    ["Alignment of sampling"][::core::mem::align_of::<sampling>() - 8usize];
    ["Offset of field: sampling::raw_scale"][::core::mem::offset_of!(sampling, raw_scale) - 0usize];
    ["Offset of field: sampling::scale"][::core::mem::offset_of!(sampling, scale) - 4usize];
    ["Offset of field: sampling::penalty"][::core::mem::offset_of!(sampling, penalty) - 8usize];
    ["Offset of field: sampling::mode"][::core::mem::offset_of!(sampling, mode) - 12usize];
    ["Offset of field: sampling::top_k"][::core::mem::offset_of!(sampling, top_k) - 16usize];
    ["Offset of field: sampling::logprobs"][::core::mem::offset_of!(sampling, logprobs) - 20usize];
    ["Offset of field: sampling::top_p"][::core::mem::offset_of!(sampling, top_p) - 24usize];
    ["Offset of field: sampling::top_p_shift"][::core::mem::offset_of!(sampling, top_p_shift) - 32usize];
    ["Offset of field: sampling::top_p_on"][::core::mem::offset_of!(sampling, top_p_on) - 36usize];
    ["Offset of field: sampling::store_logits"][::core::mem::offset_of!(sampling, store_logits) - 40usize];
    ["Offset of field: sampling::reserved"][::core::mem::offset_of!(sampling, reserved) - 44usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct question {
    pub row: u32,
    pub slot: u32,
    pub position: u32,
    pub claimed: u32,
    pub seed: [u32; 4usize],
    pub next_row: u32,
    pub last_position: u32,
    pub state: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of question"][::core::mem::size_of::<question>() - 48usize];
    ["Alignment of question"][::core::mem::align_of::<question>() - 4usize];
    ["Offset of field: question::row"][::core::mem::offset_of!(question, row) - 0usize];
    ["Offset of field: question::slot"][::core::mem::offset_of!(question, slot) - 4usize];
    ["Offset of field: question::position"][::core::mem::offset_of!(question, position) - 8usize];
    ["Offset of field: question::claimed"][::core::mem::offset_of!(question, claimed) - 12usize];
    ["Offset of field: question::seed"][::core::mem::offset_of!(question, seed) - 16usize];
    ["Offset of field: question::next_row"][::core::mem::offset_of!(question, next_row) - 32usize];
    ["Offset of field: question::last_position"][::core::mem::offset_of!(question, last_position) - 36usize];
    ["Offset of field: question::state"][::core::mem::offset_of!(question, state) - 40usize];
    ["Offset of field: question::reserved"][::core::mem::offset_of!(question, reserved) - 44usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct answer {
    pub token: u32,
    pub raw: f32,
    pub sampling: f32,
    pub fault: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of answer"][::core::mem::size_of::<answer>() - 16usize];
    ["Alignment of answer"][::core::mem::align_of::<answer>() - 4usize];
    ["Offset of field: answer::token"][::core::mem::offset_of!(answer, token) - 0usize];
    ["Offset of field: answer::raw"][::core::mem::offset_of!(answer, raw) - 4usize];
    ["Offset of field: answer::sampling"][::core::mem::offset_of!(answer, sampling) - 8usize];
    ["Offset of field: answer::fault"][::core::mem::offset_of!(answer, fault) - 12usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct reading {
    pub sampling: *const sampling,
    pub questions: *const question,
    pub first_question: *const u32,
    pub rows: *const u32,
    pub context: *const u32,
    pub raw_n: *mut f32,
    pub raw_l: *mut f32,
    pub n: *mut f32,
    pub l: *mut f32,
    pub best_key: *mut u64,
    pub best_raw: *mut f32,
    pub best_y: *mut f32,
    pub list_key: *mut u64,
    pub list_raw: *mut f32,
    pub list_floor: *mut u64,
    pub list_count: *mut u32,
    pub claimed_raw: *mut f32,
    pub claimed_y: *mut f32,
    pub logits: *mut f32,
    pub fault: *mut u32,
    pub vocabulary: u32,
    pub chunks: u32,
    pub slices: u32,
    pub max_rows: u32,
    pub context_stride: u32,
    pub logits_stride: u32,
    pub layer: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of reading"][::core::mem::size_of::<reading>() - 192usize];
    ["Alignment of reading"][::core::mem::align_of::<reading>() - 8usize];
    ["Offset of field: reading::sampling"][::core::mem::offset_of!(reading, sampling) - 0usize];
    ["Offset of field: reading::questions"][::core::mem::offset_of!(reading, questions) - 8usize];
    ["Offset of field: reading::first_question"][::core::mem::offset_of!(reading, first_question) - 16usize];
    ["Offset of field: reading::rows"][::core::mem::offset_of!(reading, rows) - 24usize];
    ["Offset of field: reading::context"][::core::mem::offset_of!(reading, context) - 32usize];
    ["Offset of field: reading::raw_n"][::core::mem::offset_of!(reading, raw_n) - 40usize];
    ["Offset of field: reading::raw_l"][::core::mem::offset_of!(reading, raw_l) - 48usize];
    ["Offset of field: reading::n"][::core::mem::offset_of!(reading, n) - 56usize];
    ["Offset of field: reading::l"][::core::mem::offset_of!(reading, l) - 64usize];
    ["Offset of field: reading::best_key"][::core::mem::offset_of!(reading, best_key) - 72usize];
    ["Offset of field: reading::best_raw"][::core::mem::offset_of!(reading, best_raw) - 80usize];
    ["Offset of field: reading::best_y"][::core::mem::offset_of!(reading, best_y) - 88usize];
    ["Offset of field: reading::list_key"][::core::mem::offset_of!(reading, list_key) - 96usize];
    ["Offset of field: reading::list_raw"][::core::mem::offset_of!(reading, list_raw) - 104usize];
    ["Offset of field: reading::list_floor"][::core::mem::offset_of!(reading, list_floor) - 112usize];
    ["Offset of field: reading::list_count"][::core::mem::offset_of!(reading, list_count) - 120usize];
    ["Offset of field: reading::claimed_raw"][::core::mem::offset_of!(reading, claimed_raw) - 128usize];
    ["Offset of field: reading::claimed_y"][::core::mem::offset_of!(reading, claimed_y) - 136usize];
    ["Offset of field: reading::logits"][::core::mem::offset_of!(reading, logits) - 144usize];
    ["Offset of field: reading::fault"][::core::mem::offset_of!(reading, fault) - 152usize];
    ["Offset of field: reading::vocabulary"][::core::mem::offset_of!(reading, vocabulary) - 160usize];
    ["Offset of field: reading::chunks"][::core::mem::offset_of!(reading, chunks) - 164usize];
    ["Offset of field: reading::slices"][::core::mem::offset_of!(reading, slices) - 168usize];
    ["Offset of field: reading::max_rows"][::core::mem::offset_of!(reading, max_rows) - 172usize];
    ["Offset of field: reading::context_stride"][::core::mem::offset_of!(reading, context_stride) - 176usize];
    ["Offset of field: reading::logits_stride"][::core::mem::offset_of!(reading, logits_stride) - 180usize];
    ["Offset of field: reading::layer"][::core::mem::offset_of!(reading, layer) - 184usize];
    ["Offset of field: reading::reserved"][::core::mem::offset_of!(reading, reserved) - 188usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct head_params {
    pub reading: reading,
    pub weight: *const u8,
    pub weight_g: *const i8,
    pub x: *const u8,
    pub x_g: *const i8,
    pub blocks: u32,
    pub groups: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of head_params"][::core::mem::size_of::<head_params>() - 232usize];
    ["Alignment of head_params"][::core::mem::align_of::<head_params>() - 8usize];
    ["Offset of field: head_params::reading"][::core::mem::offset_of!(head_params, reading) - 0usize];
    ["Offset of field: head_params::weight"][::core::mem::offset_of!(head_params, weight) - 192usize];
    ["Offset of field: head_params::weight_g"][::core::mem::offset_of!(head_params, weight_g) - 200usize];
    ["Offset of field: head_params::x"][::core::mem::offset_of!(head_params, x) - 208usize];
    ["Offset of field: head_params::x_g"][::core::mem::offset_of!(head_params, x_g) - 216usize];
    ["Offset of field: head_params::blocks"][::core::mem::offset_of!(head_params, blocks) - 224usize];
    ["Offset of field: head_params::groups"][::core::mem::offset_of!(head_params, groups) - 228usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct read_logits_params {
    pub reading: reading,
    pub x: *const f32,
    pub stride: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of read_logits_params"][::core::mem::size_of::<read_logits_params>() - 208usize];
    ["Alignment of read_logits_params"][::core::mem::align_of::<read_logits_params>() - 8usize];
    ["Offset of field: read_logits_params::reading"][::core::mem::offset_of!(read_logits_params, reading) - 0usize];
    ["Offset of field: read_logits_params::x"][::core::mem::offset_of!(read_logits_params, x) - 192usize];
    ["Offset of field: read_logits_params::stride"][::core::mem::offset_of!(read_logits_params, stride) - 200usize];
    ["Offset of field: read_logits_params::reserved"][::core::mem::offset_of!(read_logits_params, reserved) - 204usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct choose_params {
    pub reading: reading,
    pub answers: *mut answer,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of choose_params"][::core::mem::size_of::<choose_params>() - 200usize];
    ["Alignment of choose_params"][::core::mem::align_of::<choose_params>() - 8usize];
    ["Offset of field: choose_params::reading"][::core::mem::offset_of!(choose_params, reading) - 0usize];
    ["Offset of field: choose_params::answers"][::core::mem::offset_of!(choose_params, answers) - 192usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct record {
    pub token: u32,
    pub raw: f32,
    pub sampling: f32,
    pub sketch: u32,
    pub state: u32,
    pub fault: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of record"][::core::mem::size_of::<record>() - 24usize];
    ["Alignment of record"][::core::mem::align_of::<record>() - 4usize];
    ["Offset of field: record::token"][::core::mem::offset_of!(record, token) - 0usize];
    ["Offset of field: record::raw"][::core::mem::offset_of!(record, raw) - 4usize];
    ["Offset of field: record::sampling"][::core::mem::offset_of!(record, sampling) - 8usize];
    ["Offset of field: record::sketch"][::core::mem::offset_of!(record, sketch) - 12usize];
    ["Offset of field: record::state"][::core::mem::offset_of!(record, state) - 16usize];
    ["Offset of field: record::fault"][::core::mem::offset_of!(record, fault) - 20usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct append_params {
    pub questions: *mut question,
    pub answers: *const answer,
    pub count: *const u32,
    pub sketch: *const u32,
    pub eos: *const u32,
    pub token: *mut u32,
    pub position: *mut u32,
    pub context: *mut u32,
    pub ring: *mut record,
    pub step: *mut u32,
    pub eos_count: u32,
    pub context_stride: u32,
    pub ring_steps: u32,
    pub max_questions: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of append_params"][::core::mem::size_of::<append_params>() - 96usize];
    ["Alignment of append_params"][::core::mem::align_of::<append_params>() - 8usize];
    ["Offset of field: append_params::questions"][::core::mem::offset_of!(append_params, questions) - 0usize];
    ["Offset of field: append_params::answers"][::core::mem::offset_of!(append_params, answers) - 8usize];
    ["Offset of field: append_params::count"][::core::mem::offset_of!(append_params, count) - 16usize];
    ["Offset of field: append_params::sketch"][::core::mem::offset_of!(append_params, sketch) - 24usize];
    ["Offset of field: append_params::eos"][::core::mem::offset_of!(append_params, eos) - 32usize];
    ["Offset of field: append_params::token"][::core::mem::offset_of!(append_params, token) - 40usize];
    ["Offset of field: append_params::position"][::core::mem::offset_of!(append_params, position) - 48usize];
    ["Offset of field: append_params::context"][::core::mem::offset_of!(append_params, context) - 56usize];
    ["Offset of field: append_params::ring"][::core::mem::offset_of!(append_params, ring) - 64usize];
    ["Offset of field: append_params::step"][::core::mem::offset_of!(append_params, step) - 72usize];
    ["Offset of field: append_params::eos_count"][::core::mem::offset_of!(append_params, eos_count) - 80usize];
    ["Offset of field: append_params::context_stride"]
        [::core::mem::offset_of!(append_params, context_stride) - 84usize];
    ["Offset of field: append_params::ring_steps"][::core::mem::offset_of!(append_params, ring_steps) - 88usize];
    ["Offset of field: append_params::max_questions"][::core::mem::offset_of!(append_params, max_questions) - 92usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mark_context_params {
    pub tokens: *const u32,
    pub context: *mut u32,
    pub count: u32,
    pub start: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of mark_context_params"][::core::mem::size_of::<mark_context_params>() - 24usize];
    ["Alignment of mark_context_params"][::core::mem::align_of::<mark_context_params>() - 8usize];
    ["Offset of field: mark_context_params::tokens"][::core::mem::offset_of!(mark_context_params, tokens) - 0usize];
    ["Offset of field: mark_context_params::context"][::core::mem::offset_of!(mark_context_params, context) - 8usize];
    ["Offset of field: mark_context_params::count"][::core::mem::offset_of!(mark_context_params, count) - 16usize];
    ["Offset of field: mark_context_params::start"][::core::mem::offset_of!(mark_context_params, start) - 20usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct start_context_params {
    pub source: *const u32,
    pub context: *mut u32,
    pub stride: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of start_context_params"][::core::mem::size_of::<start_context_params>() - 24usize];
    ["Alignment of start_context_params"][::core::mem::align_of::<start_context_params>() - 8usize];
    ["Offset of field: start_context_params::source"][::core::mem::offset_of!(start_context_params, source) - 0usize];
    ["Offset of field: start_context_params::context"][::core::mem::offset_of!(start_context_params, context) - 8usize];
    ["Offset of field: start_context_params::stride"][::core::mem::offset_of!(start_context_params, stride) - 16usize];
    ["Offset of field: start_context_params::reserved"]
        [::core::mem::offset_of!(start_context_params, reserved) - 20usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cache_view {
    pub pool: *mut u8,
    pub page_bytes: u64,
    pub page_table: *const u32,
    pub sequence: *const u32,
    pub position: *const u32,
    pub max_pages: u32,
    pub head_bytes: u32,
    pub layer: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cache_view"][::core::mem::size_of::<cache_view>() - 64usize];
    ["Alignment of cache_view"][::core::mem::align_of::<cache_view>() - 8usize];
    ["Offset of field: cache_view::pool"][::core::mem::offset_of!(cache_view, pool) - 0usize];
    ["Offset of field: cache_view::page_bytes"][::core::mem::offset_of!(cache_view, page_bytes) - 8usize];
    ["Offset of field: cache_view::page_table"][::core::mem::offset_of!(cache_view, page_table) - 16usize];
    ["Offset of field: cache_view::sequence"][::core::mem::offset_of!(cache_view, sequence) - 24usize];
    ["Offset of field: cache_view::position"][::core::mem::offset_of!(cache_view, position) - 32usize];
    ["Offset of field: cache_view::max_pages"][::core::mem::offset_of!(cache_view, max_pages) - 40usize];
    ["Offset of field: cache_view::head_bytes"][::core::mem::offset_of!(cache_view, head_bytes) - 44usize];
    ["Offset of field: cache_view::layer"][::core::mem::offset_of!(cache_view, layer) - 48usize];
    ["Offset of field: cache_view::heads"][::core::mem::offset_of!(cache_view, heads) - 52usize];
    ["Offset of field: cache_view::kv_heads"][::core::mem::offset_of!(cache_view, kv_heads) - 56usize];
    ["Offset of field: cache_view::head_dim"][::core::mem::offset_of!(cache_view, head_dim) - 60usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct embed_params {
    pub embedding: *const ::core::ffi::c_void,
    pub token: *const u32,
    pub row_count: *const u32,
    pub x: *mut f32,
    pub rows: u32,
    pub hidden: u32,
    pub ld: u32,
    pub element: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of embed_params"][::core::mem::size_of::<embed_params>() - 48usize];
    ["Alignment of embed_params"][::core::mem::align_of::<embed_params>() - 8usize];
    ["Offset of field: embed_params::embedding"][::core::mem::offset_of!(embed_params, embedding) - 0usize];
    ["Offset of field: embed_params::token"][::core::mem::offset_of!(embed_params, token) - 8usize];
    ["Offset of field: embed_params::row_count"][::core::mem::offset_of!(embed_params, row_count) - 16usize];
    ["Offset of field: embed_params::x"][::core::mem::offset_of!(embed_params, x) - 24usize];
    ["Offset of field: embed_params::rows"][::core::mem::offset_of!(embed_params, rows) - 32usize];
    ["Offset of field: embed_params::hidden"][::core::mem::offset_of!(embed_params, hidden) - 36usize];
    ["Offset of field: embed_params::ld"][::core::mem::offset_of!(embed_params, ld) - 40usize];
    ["Offset of field: embed_params::element"][::core::mem::offset_of!(embed_params, element) - 44usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rotate_store_params {
    pub cache: cache_view,
    pub qkv: *const f32,
    pub q_norm: *const f32,
    pub k_norm: *const f32,
    pub cos: *const f32,
    pub sin: *const f32,
    pub q: *mut u8,
    pub q_g: *mut i8,
    pub rotated: *mut f32,
    pub fault: *mut u32,
    pub row_count: *const u32,
    pub rows: u32,
    pub ld: u32,
    pub eps: f32,
    pub scale: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rotate_store_params"][::core::mem::size_of::<rotate_store_params>() - 160usize];
    ["Alignment of rotate_store_params"][::core::mem::align_of::<rotate_store_params>() - 8usize];
    ["Offset of field: rotate_store_params::cache"][::core::mem::offset_of!(rotate_store_params, cache) - 0usize];
    ["Offset of field: rotate_store_params::qkv"][::core::mem::offset_of!(rotate_store_params, qkv) - 64usize];
    ["Offset of field: rotate_store_params::q_norm"][::core::mem::offset_of!(rotate_store_params, q_norm) - 72usize];
    ["Offset of field: rotate_store_params::k_norm"][::core::mem::offset_of!(rotate_store_params, k_norm) - 80usize];
    ["Offset of field: rotate_store_params::cos"][::core::mem::offset_of!(rotate_store_params, cos) - 88usize];
    ["Offset of field: rotate_store_params::sin"][::core::mem::offset_of!(rotate_store_params, sin) - 96usize];
    ["Offset of field: rotate_store_params::q"][::core::mem::offset_of!(rotate_store_params, q) - 104usize];
    ["Offset of field: rotate_store_params::q_g"][::core::mem::offset_of!(rotate_store_params, q_g) - 112usize];
    ["Offset of field: rotate_store_params::rotated"][::core::mem::offset_of!(rotate_store_params, rotated) - 120usize];
    ["Offset of field: rotate_store_params::fault"][::core::mem::offset_of!(rotate_store_params, fault) - 128usize];
    ["Offset of field: rotate_store_params::row_count"]
        [::core::mem::offset_of!(rotate_store_params, row_count) - 136usize];
    ["Offset of field: rotate_store_params::rows"][::core::mem::offset_of!(rotate_store_params, rows) - 144usize];
    ["Offset of field: rotate_store_params::ld"][::core::mem::offset_of!(rotate_store_params, ld) - 148usize];
    ["Offset of field: rotate_store_params::eps"][::core::mem::offset_of!(rotate_store_params, eps) - 152usize];
    ["Offset of field: rotate_store_params::scale"][::core::mem::offset_of!(rotate_store_params, scale) - 156usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct attend_item {
    pub page: u32,
    pub chunk: u32,
    pub first: u32,
    pub count: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of attend_item"][::core::mem::size_of::<attend_item>() - 16usize];
    ["Alignment of attend_item"][::core::mem::align_of::<attend_item>() - 4usize];
    ["Offset of field: attend_item::page"][::core::mem::offset_of!(attend_item, page) - 0usize];
    ["Offset of field: attend_item::chunk"][::core::mem::offset_of!(attend_item, chunk) - 4usize];
    ["Offset of field: attend_item::first"][::core::mem::offset_of!(attend_item, first) - 8usize];
    ["Offset of field: attend_item::count"][::core::mem::offset_of!(attend_item, count) - 12usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct attend_chunks_params {
    pub cache: cache_view,
    pub q: *const u8,
    pub q_g: *const i8,
    pub items: *const attend_item,
    pub item_count: *const u32,
    pub item_rows: *const u32,
    pub o: *mut f32,
    pub nl: *mut f32,
    pub fault: *mut u32,
    pub max_chunks: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of attend_chunks_params"][::core::mem::size_of::<attend_chunks_params>() - 136usize];
    ["Alignment of attend_chunks_params"][::core::mem::align_of::<attend_chunks_params>() - 8usize];
    ["Offset of field: attend_chunks_params::cache"][::core::mem::offset_of!(attend_chunks_params, cache) - 0usize];
    ["Offset of field: attend_chunks_params::q"][::core::mem::offset_of!(attend_chunks_params, q) - 64usize];
    ["Offset of field: attend_chunks_params::q_g"][::core::mem::offset_of!(attend_chunks_params, q_g) - 72usize];
    ["Offset of field: attend_chunks_params::items"][::core::mem::offset_of!(attend_chunks_params, items) - 80usize];
    ["Offset of field: attend_chunks_params::item_count"]
        [::core::mem::offset_of!(attend_chunks_params, item_count) - 88usize];
    ["Offset of field: attend_chunks_params::item_rows"]
        [::core::mem::offset_of!(attend_chunks_params, item_rows) - 96usize];
    ["Offset of field: attend_chunks_params::o"][::core::mem::offset_of!(attend_chunks_params, o) - 104usize];
    ["Offset of field: attend_chunks_params::nl"][::core::mem::offset_of!(attend_chunks_params, nl) - 112usize];
    ["Offset of field: attend_chunks_params::fault"][::core::mem::offset_of!(attend_chunks_params, fault) - 120usize];
    ["Offset of field: attend_chunks_params::max_chunks"]
        [::core::mem::offset_of!(attend_chunks_params, max_chunks) - 128usize];
    ["Offset of field: attend_chunks_params::reserved"]
        [::core::mem::offset_of!(attend_chunks_params, reserved) - 132usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct combine_chunks_params {
    pub o: *const f32,
    pub nl: *const f32,
    pub position: *const u32,
    pub row_count: *const u32,
    pub q: *mut u8,
    pub g: *mut i8,
    pub attention: *mut f32,
    pub fault: *mut u32,
    pub rows: u32,
    pub heads: u32,
    pub head_dim: u32,
    pub max_chunks: u32,
    pub layer: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of combine_chunks_params"][::core::mem::size_of::<combine_chunks_params>() - 88usize];
    ["Alignment of combine_chunks_params"][::core::mem::align_of::<combine_chunks_params>() - 8usize];
    ["Offset of field: combine_chunks_params::o"][::core::mem::offset_of!(combine_chunks_params, o) - 0usize];
    ["Offset of field: combine_chunks_params::nl"][::core::mem::offset_of!(combine_chunks_params, nl) - 8usize];
    ["Offset of field: combine_chunks_params::position"]
        [::core::mem::offset_of!(combine_chunks_params, position) - 16usize];
    ["Offset of field: combine_chunks_params::row_count"]
        [::core::mem::offset_of!(combine_chunks_params, row_count) - 24usize];
    ["Offset of field: combine_chunks_params::q"][::core::mem::offset_of!(combine_chunks_params, q) - 32usize];
    ["Offset of field: combine_chunks_params::g"][::core::mem::offset_of!(combine_chunks_params, g) - 40usize];
    ["Offset of field: combine_chunks_params::attention"]
        [::core::mem::offset_of!(combine_chunks_params, attention) - 48usize];
    ["Offset of field: combine_chunks_params::fault"][::core::mem::offset_of!(combine_chunks_params, fault) - 56usize];
    ["Offset of field: combine_chunks_params::rows"][::core::mem::offset_of!(combine_chunks_params, rows) - 64usize];
    ["Offset of field: combine_chunks_params::heads"][::core::mem::offset_of!(combine_chunks_params, heads) - 68usize];
    ["Offset of field: combine_chunks_params::head_dim"]
        [::core::mem::offset_of!(combine_chunks_params, head_dim) - 72usize];
    ["Offset of field: combine_chunks_params::max_chunks"]
        [::core::mem::offset_of!(combine_chunks_params, max_chunks) - 76usize];
    ["Offset of field: combine_chunks_params::layer"][::core::mem::offset_of!(combine_chunks_params, layer) - 80usize];
    ["Offset of field: combine_chunks_params::reserved"]
        [::core::mem::offset_of!(combine_chunks_params, reserved) - 84usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct attend_tile {
    pub first: u32,
    pub count: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of attend_tile"][::core::mem::size_of::<attend_tile>() - 8usize];
    ["Alignment of attend_tile"][::core::mem::align_of::<attend_tile>() - 4usize];
    ["Offset of field: attend_tile::first"][::core::mem::offset_of!(attend_tile, first) - 0usize];
    ["Offset of field: attend_tile::count"][::core::mem::offset_of!(attend_tile, count) - 4usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct attend_prefill_params {
    pub cache: cache_view,
    pub q: *const u8,
    pub q_g: *const i8,
    pub tiles: *const attend_tile,
    pub rows_q: *mut u8,
    pub rows_g: *mut i8,
    pub attention: *mut f32,
    pub fault: *mut u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of attend_prefill_params"][::core::mem::size_of::<attend_prefill_params>() - 120usize];
    ["Alignment of attend_prefill_params"][::core::mem::align_of::<attend_prefill_params>() - 8usize];
    ["Offset of field: attend_prefill_params::cache"][::core::mem::offset_of!(attend_prefill_params, cache) - 0usize];
    ["Offset of field: attend_prefill_params::q"][::core::mem::offset_of!(attend_prefill_params, q) - 64usize];
    ["Offset of field: attend_prefill_params::q_g"][::core::mem::offset_of!(attend_prefill_params, q_g) - 72usize];
    ["Offset of field: attend_prefill_params::tiles"][::core::mem::offset_of!(attend_prefill_params, tiles) - 80usize];
    ["Offset of field: attend_prefill_params::rows_q"]
        [::core::mem::offset_of!(attend_prefill_params, rows_q) - 88usize];
    ["Offset of field: attend_prefill_params::rows_g"]
        [::core::mem::offset_of!(attend_prefill_params, rows_g) - 96usize];
    ["Offset of field: attend_prefill_params::attention"]
        [::core::mem::offset_of!(attend_prefill_params, attention) - 104usize];
    ["Offset of field: attend_prefill_params::fault"][::core::mem::offset_of!(attend_prefill_params, fault) - 112usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct final_norm_params {
    pub x: *const f32,
    pub weight: *const f32,
    pub source: *const u32,
    pub row_count: *const u32,
    pub projection: *const i32,
    pub sketch: *mut u32,
    pub hidden: *mut f32,
    pub q: *mut u8,
    pub g: *mut i8,
    pub fault: *mut u32,
    pub rows: u32,
    pub n: u32,
    pub ld: u32,
    pub layer: u32,
    pub eps: f32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of final_norm_params"][::core::mem::size_of::<final_norm_params>() - 104usize];
    ["Alignment of final_norm_params"][::core::mem::align_of::<final_norm_params>() - 8usize];
    ["Offset of field: final_norm_params::x"][::core::mem::offset_of!(final_norm_params, x) - 0usize];
    ["Offset of field: final_norm_params::weight"][::core::mem::offset_of!(final_norm_params, weight) - 8usize];
    ["Offset of field: final_norm_params::source"][::core::mem::offset_of!(final_norm_params, source) - 16usize];
    ["Offset of field: final_norm_params::row_count"][::core::mem::offset_of!(final_norm_params, row_count) - 24usize];
    ["Offset of field: final_norm_params::projection"]
        [::core::mem::offset_of!(final_norm_params, projection) - 32usize];
    ["Offset of field: final_norm_params::sketch"][::core::mem::offset_of!(final_norm_params, sketch) - 40usize];
    ["Offset of field: final_norm_params::hidden"][::core::mem::offset_of!(final_norm_params, hidden) - 48usize];
    ["Offset of field: final_norm_params::q"][::core::mem::offset_of!(final_norm_params, q) - 56usize];
    ["Offset of field: final_norm_params::g"][::core::mem::offset_of!(final_norm_params, g) - 64usize];
    ["Offset of field: final_norm_params::fault"][::core::mem::offset_of!(final_norm_params, fault) - 72usize];
    ["Offset of field: final_norm_params::rows"][::core::mem::offset_of!(final_norm_params, rows) - 80usize];
    ["Offset of field: final_norm_params::n"][::core::mem::offset_of!(final_norm_params, n) - 84usize];
    ["Offset of field: final_norm_params::ld"][::core::mem::offset_of!(final_norm_params, ld) - 88usize];
    ["Offset of field: final_norm_params::layer"][::core::mem::offset_of!(final_norm_params, layer) - 92usize];
    ["Offset of field: final_norm_params::eps"][::core::mem::offset_of!(final_norm_params, eps) - 96usize];
    ["Offset of field: final_norm_params::reserved"][::core::mem::offset_of!(final_norm_params, reserved) - 100usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct mma_peak_params {
    pub a: *const u32,
    pub b: *const u32,
    pub out: *mut u32,
    pub loops: u32,
    pub reserved: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of mma_peak_params"][::core::mem::size_of::<mma_peak_params>() - 32usize];
    ["Alignment of mma_peak_params"][::core::mem::align_of::<mma_peak_params>() - 8usize];
    ["Offset of field: mma_peak_params::a"][::core::mem::offset_of!(mma_peak_params, a) - 0usize];
    ["Offset of field: mma_peak_params::b"][::core::mem::offset_of!(mma_peak_params, b) - 8usize];
    ["Offset of field: mma_peak_params::out"][::core::mem::offset_of!(mma_peak_params, out) - 16usize];
    ["Offset of field: mma_peak_params::loops"][::core::mem::offset_of!(mma_peak_params, loops) - 24usize];
    ["Offset of field: mma_peak_params::reserved"][::core::mem::offset_of!(mma_peak_params, reserved) - 28usize];
};
macro_rules! plain {
    ($($name:ident),*) => {$(
        // SAFETY: plain C data whose layout the assertions above hold.
        unsafe impl cudarc::driver::DeviceRepr for $name {}
        // SAFETY: numbers and addresses, of which zero bits make 0 and null.
        unsafe impl cudarc::driver::ValidAsZeroBits for $name {}
    )*};
}
plain!(
    quantize_weights_params,
    norm_quantize_params,
    quantize_rows_params,
    product_params,
    sampling,
    question,
    answer,
    reading,
    head_params,
    read_logits_params,
    choose_params,
    record,
    append_params,
    mark_context_params,
    start_context_params,
    cache_view,
    embed_params,
    rotate_store_params,
    attend_item,
    attend_chunks_params,
    combine_chunks_params,
    attend_tile,
    attend_prefill_params,
    final_norm_params,
    mma_peak_params
);
