/* What kernels and the engine agree on: constants, layouts, fault words and one parameter struct per kernel. Plain C:
 * nvcc, g++, NVRTC and bindgen read it, and each checks the sizes. Pointers are device pointers; counts are uint32_t. */
#ifndef GRAIL_ABI_H
#define GRAIL_ABI_H

#ifndef __CUDACC_RTC__
#include <stddef.h>
#include <stdint.h>
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
    uint32_t rows;
    uint32_t k;
    uint32_t ld;    /* multiple of 4, at least k */
    uint32_t layer; /* of the fault word */
    uint32_t stage; /* STAGE_* of the fault word */
    uint32_t reserved;
};

#ifdef __cplusplus
static_assert(sizeof(struct quantize_weights_params) == 56, "layout of quantize_weights_params");
static_assert(sizeof(struct norm_quantize_params) == 72, "layout of norm_quantize_params");
static_assert(sizeof(struct quantize_rows_params) == 56, "layout of quantize_rows_params");
static_assert(WEIGHT_TILE_BYTES == 2 * TILE_FEATURES * BLOCK && ROWS_TILE_BYTES == 2 * TILE_TOKENS * BLOCK, "two bytes an element");
#endif

#endif
