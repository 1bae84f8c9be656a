/* What kernels and the engine agree on: constants, layouts, fault words and one parameter struct per kernel. Plain C:
 * nvcc, g++, NVRTC and bindgen read it, and each checks the sizes. Pointers are device pointers; counts are uint32_t. */
#ifndef GRAIL_ABI_H
#define GRAIL_ABI_H

#ifndef __CUDACC_RTC__
#include <stddef.h>
#include <stdint.h>
#else /* NVRTC comes without the C library's headers */
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#endif

/* ---- Shapes ------------------------------------------------------------------------------------------------------ */

#define BLOCK 128       /* elements of the contraction axis that share an exponent (NUMERICS 2) */
#define TILE_FEATURES 16 /* output features of a packed weight tile: the rows of m16n8k32 */
#define TILE_TOKENS 8   /* rows of a quantized-rows tile: the columns of m16n8k32 */
#define KSTEPS 4        /* k32 steps in a block */

/* Packed weights, L, of [N][K]: integers [ceil(N/16)][ceil(K/128)][kstep 4][plane 2: lo, hi][lane 32][16 bytes a0 a1 a2 a3],
 * exponents i8 [ceil(N/16)][ceil(K/128)][16]. */
#define WEIGHT_TILE_BYTES 4096
#define WEIGHT_KSTEP_BYTES 1024
#define WEIGHT_PLANE_BYTES 512

/* Quantized rows, R, of [T][K]: integers [ceil(T/8)][ceil(K/128)][kstep 4][lane 32][16 bytes: lo b0, lo b1, hi b0, hi b1],
 * exponents i8 [ceil(T/8)][ceil(K/128)][8]. */
#define ROWS_TILE_BYTES 2048
#define ROWS_KSTEP_BYTES 512

/* ---- Quantizers (NUMERICS 3) ------------------------------------------------------------------------------------- */

#define RIGHT_BITS 14
#define RIGHT_MAX 16383
#define LEFT_SUM 131080 /* bound on the sum of |q| of an L block */
#define LEFT_MAX 32639  /* bound on |q| of an L block: the high slice fits s8 */

/* ---- Faults ------------------------------------------------------------------------------------------------------
 * fault[row] is NO_FAULT or the least (layer << 16) | (stage << 8) | kind of what the row met: the first in the order of
 * the pass. Kinds are FaultKind of the engine, in its order. */

#define NO_FAULT 0xffffffffu

#define STAGE_INPUT_NORM 0u
#define STAGE_QK_NORM 1u
#define STAGE_KEY_VALUE 2u
#define STAGE_QUERY 3u
#define STAGE_ATTENTION 4u
#define STAGE_ATTENTION_OUTPUT 5u
#define STAGE_POST_NORM 6u
#define STAGE_ACTIVATION 7u
#define STAGE_FINAL_NORM 8u
#define STAGE_SKETCH 9u
#define STAGE_HEAD 10u
#define STAGE_LOGITS 11u

#define FAULT_QUANTIZER 0u
#define FAULT_SUM_OF_SQUARES 1u
#define FAULT_ATTENTION 2u
#define FAULT_LOGITS 3u
#define FAULT_SKETCH 4u

/* ---- Element types of a checkpoint ------------------------------------------------------------------------------- */

#define ELEMENT_F32 0u
#define ELEMENT_F16 1u
#define ELEMENT_BF16 2u

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

/* quantize_weights.cu */
struct quantize_weights_params {
    const void *w;    /* [rows][k] of `element`, as in the checkpoint */
    const void *up;   /* null; or the up projection, [rows][k], where w is the gate: rows of both alternate by eights */
    uint8_t *q;       /* packed integers of the whole matrix */
    int8_t *g;        /* packed exponents of the whole matrix */
    uint32_t *fault;  /* one word: NO_FAULT, or the least source row that holds a value no quantizer takes */
    uint32_t rows;    /* rows of w */
    uint32_t k;       /* elements of a row */
    uint32_t first;   /* packed row of row 0; with up a multiple of 16 */
    uint32_t element; /* ELEMENT_* */
};

/* norm_quantize.cu */
struct norm_quantize_params {
    const float *x;      /* [rows][ld] */
    const float *weight; /* [n] */
    uint8_t *q;          /* quantized rows */
    int8_t *g;
    float *normed;       /* [rows][n] for probes, or null */
    uint32_t *fault;     /* [rows] */
    const uint32_t *row_count; /* null; or one word: the rows there are, of `rows` at most */
    uint32_t rows;
    uint32_t n;
    uint32_t ld;    /* multiple of 4, at least n */
    uint32_t layer; /* of the fault word */
    uint32_t stage; /* STAGE_* of the fault word */
    float eps;
};

/* quantize_rows.cu */
struct quantize_rows_params {
    const float *x; /* [rows][ld] */
    uint8_t *q;     /* quantized rows */
    int8_t *g;
    uint32_t *fault; /* [rows] */
    const uint32_t *row_count; /* null; or one word: the rows there are, of `rows` at most */
    uint32_t rows;
    uint32_t k;
    uint32_t ld;    /* multiple of 4, at least k */
    uint32_t layer; /* of the fault word */
    uint32_t stage; /* STAGE_* of the fault word */
    uint32_t reserved;
};

/* gemm.cu and gemv.cu: what becomes of a product's element, an f32 by NUMERICS 4. */
#define PRODUCT_STORE 0u    /* y = product */
#define PRODUCT_ADD 1u      /* y = y + product: the residual (NUMERICS 7) */
#define PRODUCT_SILU_MUL 2u /* y = silu(gate) * up; tiles hold gate in rows 0-7 and up in rows 8-15 */

/* Dynamic shared memory of a CTA. */
#define GEMM_SHARED_BYTES 100896
#define GEMM_NARROW_SHARED_BYTES 50192
#define GEMV_SHARED_BYTES 32768
#define GEMV_WIDE_SHARED_BYTES 65536

struct product_params {
    const uint8_t *w; /* packed weights */
    const int8_t *w_g;
    const uint8_t *x; /* quantized rows */
    const int8_t *x_g;
    float *y;                  /* [rows][ld] */
    const uint32_t *row_count; /* null; or one word: the rows there are, of `rows` at most */
    uint32_t features;         /* columns of y: packed rows, or half of them for PRODUCT_SILU_MUL */
    uint32_t blocks;           /* ceil(k / 128) */
    uint32_t rows;
    uint32_t ld;       /* at least `features` */
    uint32_t epilogue; /* PRODUCT_* */
    uint32_t reserved;
};

/* ---- Reading tokens off the logits: head.cu, read_logits.cu, choose.cu, sample_row.cu, append.cu, *_context.cu --- */

#define CHUNK 128      /* ids of a chunk of the vocabulary (NUMERICS 9) */
#define LIST 128       /* entries of a list of candidates; the greatest top_k that lists serve */
#define SLICES_MAX 152 /* lists of one row: what choose.cu holds in registers */
#define HEAD_WARPS 8   /* a warp per weight tile of a chunk */

#define NO_TOKEN 0xffffffffu

/* How the token is found. */
#define MODE_GREEDY 0u /* T = 0 */
#define MODE_ALL 1u    /* top_k = 0 and top_p = 1: the greatest score of every chunk */
#define MODE_LIST 2u   /* 1 <= top_k <= LIST: lists of candidates */
#define MODE_ROW 3u    /* anything else: the row of logits is stored and sample_row.cu reads it */

/* Sampling parameters of a launch, in device memory so that captured graphs can be used again. */
struct sampling {
    float raw_scale;       /* f32(log2(e)) */
    float scale;           /* f32(log2(e) / T); 0 for T = 0 */
    float penalty;         /* f32(p) */
    uint32_t mode;         /* MODE_* */
    uint32_t top_k;        /* 0: off */
    uint32_t logprobs;     /* whether log-probabilities are wanted */
    uint64_t top_p;        /* top_p = top_p * 2^-top_p_shift exactly */
    uint32_t top_p_shift;  /* at least 52 */
    uint32_t top_p_on;     /* top_p < 1 */
    uint32_t store_logits; /* also keep the raw logits of every row (MODE_ROW does anyway) */
    uint32_t reserved;
};

/* One question to a row of logits. Questions to one row follow each other and have its context. */
struct question {
    uint32_t row;           /* of the head; questions ascend by it */
    uint32_t slot;          /* whose context it has */
    uint32_t position;      /* index of the new token in its sequence */
    uint32_t claimed;       /* the token whose log-probabilities are wanted, or NO_TOKEN: of the one drawn */
    uint32_t seed[4];       /* words 0 to 3 */
    uint32_t next_row;      /* row of the next step that the new token is the input of */
    uint32_t last_position; /* a token here ends its sequence: max_new tokens */
    uint32_t state;         /* QUESTION_* */
    uint32_t reserved;
};

#define QUESTION_OFF 0u    /* nobody asks: append.cu passes it over */
#define QUESTION_LIVE 1u   /* its sequence goes on */
#define QUESTION_EOS 2u    /* its last token is in the pass that runs now */
#define QUESTION_LENGTH 3u /* the same, for max_new tokens */

struct answer {
    uint32_t token; /* the one an honest sampler emits */
    float raw;      /* log-probabilities of it or of the claimed one; 0 where they are not wanted */
    float sampling;
    uint32_t fault; /* NO_FAULT, or the row's fault word; the rest is then 0 */
};

/* What head.cu leaves for choose.cu and sample_row.cu. Chunks = ceil(vocabulary / 128). */
struct reading {
    const struct sampling *sampling;
    const struct question *questions;
    const uint32_t *first_question; /* [rows + 1]: row r has questions first_question[r] .. first_question[r + 1] */
    const uint32_t *rows;           /* one word: rows in use, at most max_rows */
    const uint32_t *context;        /* [slot][context_stride]: first position of each id in the sequence, or 0xffffffff */
    float *raw_n;                   /* [max_rows][chunks]: n_c and l_c of the raw logits at T = 1 */
    float *raw_l;
    float *n;                       /* [max_rows][chunks]: the same of the penalized logits at T */
    float *l;
    uint64_t *best_key;             /* [max_questions][chunks]: greatest key of a chunk; MODE_GREEDY: of a row, at its index */
    float *best_raw;                /* raw logit and y there */
    float *best_y;
    uint64_t *list_key;             /* [max_rows][slices][LIST] */
    float *list_raw;
    uint64_t *list_floor;           /* [max_rows][slices]: at least top_k keys of the list reach it, or 0 */
    uint32_t *list_count;           /* [max_rows][slices] */
    float *claimed_raw;             /* [max_questions]: raw logit and y of the claimed token */
    float *claimed_y;
    float *logits;                  /* [max_rows][logits_stride], raw; null where neither mode nor store_logits asks for them */
    uint32_t *fault;                /* [max_rows] */
    uint32_t vocabulary;
    uint32_t chunks;
    uint32_t slices;         /* lists of a row; chunk c belongs to slice c % slices */
    uint32_t max_rows;
    uint32_t context_stride; /* multiple of CHUNK, at least the vocabulary */
    uint32_t logits_stride;  /* multiple of CHUNK, at least the vocabulary */
    uint32_t layer;          /* of the fault word */
    uint32_t reserved;
};

/* head.cu */
struct head_params {
    struct reading reading;
    const uint8_t *weight; /* packed integers and exponents of [vocabulary][hidden] */
    const int8_t *weight_g;
    const uint8_t *x; /* quantized rows */
    const int8_t *x_g;
    uint32_t blocks; /* ceil(hidden / 128) */
    uint32_t groups; /* of rows that one CTA holds: ceil(max_rows / rows of the kernel) */
};

/* read_logits.cu */
struct read_logits_params {
    struct reading reading;
    const float *x; /* [max_rows][stride], raw */
    uint32_t stride; /* multiple of CHUNK, at least the vocabulary */
    uint32_t reserved;
};

/* choose.cu and sample_row.cu */
struct choose_params {
    struct reading reading;
    struct answer *answers; /* [max_questions] */
};

/* What the host is told of one question and one step. */
struct record {
    uint32_t token;  /* NO_TOKEN: none was drawn */
    float raw;
    float sampling;
    uint32_t sketch; /* of the position that passed through the model */
    uint32_t state;  /* QUESTION_*: OFF, there is nothing to tell; EOS or LENGTH with a token, it is the last; without one, all is told */
    uint32_t fault;  /* NO_FAULT, or the fault word that ended the sequence */
};

/* append.cu */
struct append_params {
    struct question *questions; /* [count] */
    const struct answer *answers;
    const uint32_t *count;    /* one word */
    const uint32_t *sketch;   /* [rows] or null */
    const uint32_t *eos;      /* [eos_count] */
    uint32_t *token;          /* [rows] of the next step */
    uint32_t *position;       /* [rows] of the next step */
    uint32_t *context;        /* as in reading */
    struct record *ring;      /* [ring_steps][max_questions] */
    uint32_t *step;           /* one word: steps whose records are complete */
    uint32_t eos_count;
    uint32_t context_stride;
    uint32_t ring_steps;
    uint32_t max_questions;
};

/* mark_context.cu */
struct mark_context_params {
    const uint32_t *tokens; /* [count] */
    uint32_t *context;      /* the slot's table */
    uint32_t count;
    uint32_t start; /* position of tokens[0] */
};

/* start_context.cu */
struct start_context_params {
    const uint32_t *source; /* another slot's table, or null: no id yet */
    uint32_t *context;      /* [stride] */
    uint32_t stride;        /* multiple of CHUNK */
    uint32_t reserved;
};

#ifdef __cplusplus
static_assert(sizeof(struct quantize_weights_params) == 56, "layout of quantize_weights_params");
static_assert(sizeof(struct norm_quantize_params) == 80, "layout of norm_quantize_params");
static_assert(sizeof(struct quantize_rows_params) == 64, "layout of quantize_rows_params");
static_assert(sizeof(struct product_params) == 72, "layout of product_params");
static_assert(sizeof(struct sampling) == 48 && sizeof(struct question) == 48, "layout of questions");
static_assert(sizeof(struct answer) == 16 && sizeof(struct record) == 24, "layout of answers");
static_assert(sizeof(struct reading) == 192, "layout of reading");
static_assert(sizeof(struct head_params) == 232, "layout of head_params");
static_assert(sizeof(struct read_logits_params) == 208, "layout of read_logits_params");
static_assert(sizeof(struct choose_params) == 200, "layout of choose_params");
static_assert(sizeof(struct append_params) == 96, "layout of append_params");
static_assert(sizeof(struct mark_context_params) == 24, "layout of mark_context_params");
static_assert(sizeof(struct start_context_params) == 24, "layout of start_context_params");
static_assert(WEIGHT_TILE_BYTES == 2 * TILE_FEATURES * BLOCK && ROWS_TILE_BYTES == 2 * TILE_TOKENS * BLOCK, "two bytes an element");
#endif

/* ---- Attention, embedding, final norm ----------------------------------------------------------------------------
 *
 * Page: PAGE positions of all layers. Inside, [layer][kv_head] of head_bytes: key integers, value integers, key exponents,
 * value exponents. With D = head_dim padded to 32 channels and blocks of BLOCK channels, the last maybe shorter:
 *   keys   (operand A, rows = positions) [block][position tile 8][kstep of the block][plane 2: lo, hi][lane 32][16 bytes a0 a1 a2 a3]
 *   values (operand A, rows = channels)  [channel tile D / 16][kstep 4 of 32 positions][plane 2][lane 32][16 bytes a0 a1 a2 a3]
 *   exponents i8, keys [blocks][PAGE] and values [blocks][PAGE].
 * Query columns (operand B): [row][head][kstep D / 32][t 4][16 bytes: lo b0, lo b1, hi b0, hi b1], exponents i8 [row][head][blocks].
 * Query head h reads kv head h / (heads / kv_heads). */

#define PAGE 128
#define FRAGMENT_BYTES 512 /* operand A of one mma: 32 lanes of 16 bytes */
#define MAX_HEAD_DIM 256   /* head_dim is a multiple of 16 up to it */
#define PREFILL_COLUMNS 64 /* (row, query head) pairs of a tile and kv head, at most */

/* Keys and values of one layer, and whose they are. */
struct cache_view {
    uint8_t *pool;              /* [pages][page_bytes] */
    uint64_t page_bytes;
    const uint32_t *page_table; /* [slots][max_pages] */
    const uint32_t *sequence;   /* [rows] slot */
    const uint32_t *position;   /* [rows] */
    uint32_t max_pages;
    uint32_t head_bytes;
    uint32_t layer;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t head_dim;
};

/* embed.cu */
struct embed_params {
    const void *embedding;     /* [vocab][hidden] of `element` */
    const uint32_t *token;     /* [rows], below vocab */
    const uint32_t *row_count; /* null; or one word: the rows there are, of `rows` at most */
    float *x;                  /* [rows][ld] */
    uint32_t rows;
    uint32_t hidden;
    uint32_t ld;      /* multiple of 4, at least hidden */
    uint32_t element; /* ELEMENT_* */
};

/* rotate_store.cu */
struct rotate_store_params {
    struct cache_view cache;
    const float *qkv;          /* [rows][ld]: queries, keys, values, before norm */
    const float *q_norm;       /* [head_dim] */
    const float *k_norm;       /* [head_dim] */
    const float *cos;          /* [positions][head_dim / 2] */
    const float *sin;          /* [positions][head_dim / 2] */
    uint8_t *q;                /* query columns */
    int8_t *q_g;
    float *rotated;            /* null; or [rows][ld] for probes: queries and keys after norm and RoPE, values */
    uint32_t *fault;           /* [rows] */
    const uint32_t *row_count; /* as embed */
    uint32_t rows;
    uint32_t ld; /* multiple of 4, at least (heads + 2 kv_heads) head_dim */
    float eps;
    float scale; /* f32(log2(e) / sqrt(head_dim)) */
};

/* A page at one chunk of positions, and the rows that see at least its first key. */
struct attend_item {
    uint32_t page;
    uint32_t chunk;
    uint32_t first; /* of item_rows */
    uint32_t count;
};

/* attend_chunks.cu */
struct attend_chunks_params {
    struct cache_view cache; /* page_table and sequence are not read */
    const uint8_t *q;        /* query columns */
    const int8_t *q_g;
    const struct attend_item *items;
    const uint32_t *item_count; /* one word */
    const uint32_t *item_rows;  /* rows of all items */
    float *o;                   /* [rows][heads][max_chunks][head_dim] */
    float *nl;                  /* [rows][heads][max_chunks][2]: n and l */
    uint32_t *fault;            /* [rows] */
    uint32_t max_chunks;
    uint32_t reserved;
};

/* combine_chunks.cu */
struct combine_chunks_params {
    const float *o;            /* [rows][heads][max_chunks][head_dim] */
    const float *nl;           /* [rows][heads][max_chunks][2] */
    const uint32_t *position;  /* [rows] */
    const uint32_t *row_count; /* as embed */
    uint8_t *q;                /* quantized rows of heads * head_dim columns */
    int8_t *g;
    float *attention;          /* null; or [rows][heads * head_dim] for probes */
    uint32_t *fault;           /* [rows] */
    uint32_t rows;
    uint32_t heads;
    uint32_t head_dim;
    uint32_t max_chunks;
    uint32_t layer;
    uint32_t reserved;
};

/* Neighbouring rows of one sequence at ascending positions, at most PREFILL_COLUMNS / (heads / kv_heads). */
struct attend_tile {
    uint32_t first;
    uint32_t count;
};

/* attend_prefill.cu */
struct attend_prefill_params {
    struct cache_view cache;
    const uint8_t *q; /* query columns */
    const int8_t *q_g;
    const struct attend_tile *tiles; /* as many as the grid's x */
    uint8_t *rows_q;                 /* null unless head_dim is 128 or 256; or quantized rows of heads * head_dim columns */
    int8_t *rows_g;
    float *attention;                /* null; or [rows][heads * head_dim] */
    uint32_t *fault;                 /* [rows] */
};

/* final_norm.cu */
struct final_norm_params {
    const float *x;            /* [..][ld] */
    const float *weight;       /* [n] */
    const uint32_t *source;    /* null: row i is row i of x; or [rows], which row of x and of `fault` */
    const uint32_t *row_count; /* as embed */
    const int32_t *projection; /* null: no sketch; or [n] */
    uint32_t *sketch;          /* [rows], in [0, 2^31 - 1) */
    float *hidden;             /* null; or [rows][n] */
    uint8_t *q;                /* null; or quantized rows for the head */
    int8_t *g;
    uint32_t *fault;
    uint32_t rows;
    uint32_t n;
    uint32_t ld;    /* multiple of 4, at least n */
    uint32_t layer; /* of the fault word: the number of layers */
    float eps;
    uint32_t reserved;
};

/* mma_peak.cu: a limit to hold kernels against, not a part of any pass. */
#define MMA_PEAK_THREADS 256
#define MMA_PEAK_CHAINS 8 /* products of a warp that do not wait for each other */

struct mma_peak_params {
    const uint32_t *a; /* [lane 32][4]: operand A of m16n8k32 */
    const uint32_t *b; /* [lane 32][2]: operand B */
    uint32_t *out;     /* [CTA][thread][4]: operand D, the sum over the chains, modulo 2^32 */
    uint32_t loops;    /* products of a chain */
    uint32_t reserved;
};

#ifdef __cplusplus
static_assert(sizeof(struct mma_peak_params) == 32, "layout of mma_peak_params");
static_assert(sizeof(struct cache_view) == 64, "layout of cache_view");
static_assert(sizeof(struct embed_params) == 48, "layout of embed_params");
static_assert(sizeof(struct rotate_store_params) == 160, "layout of rotate_store_params");
static_assert(sizeof(struct attend_item) == 16, "layout of attend_item");
static_assert(sizeof(struct attend_chunks_params) == 136, "layout of attend_chunks_params");
static_assert(sizeof(struct combine_chunks_params) == 88, "layout of combine_chunks_params");
static_assert(sizeof(struct attend_tile) == 8, "layout of attend_tile");
static_assert(sizeof(struct attend_prefill_params) == 120, "layout of attend_prefill_params");
static_assert(sizeof(struct final_norm_params) == 104, "layout of final_norm_params");
#endif

#endif
