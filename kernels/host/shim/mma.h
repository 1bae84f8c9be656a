// mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32: D = A B + C without saturation, so sums wrap modulo 2^32.
// PTX manual, matrix fragments for mma.m16n8k32 with .s8 (group = lane / 4, t = lane % 4):
//   A, row of register i: group for a0 and a2, group + 8 for a1 and a3; column: 4 t + byte, + 16 for a2 and a3
//   B, row of register i: 4 t + byte, + 16 for b1; column: group
//   C, D: row group for c0 and c1, group + 8 for c2 and c3; column 2 t + (i & 1)
// The last lane to arrive multiplies for all (scheduler.cpp); lane and register numbers are those of the manual, and
// the interpreter of PTX has its own reading of it, so that a mistake here shows there.
#pragma once
#include "math.h"
#include "scheduler.h"

static inline void mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const int (&c)[4],
                          int line = __builtin_LINE()) {
    const uint32_t in[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const standin::Table& table = standin::collective(0xffffffffu, standin::Kind::mma, line, in, 6);
    const unsigned lane = standin::cur->lane;
    for (int i = 0; i < 4; i++) d[i] = (int)((uint32_t)c[i] + (uint32_t)table.result[i][lane]);
}
static inline void mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int line = __builtin_LINE()) {
    mma_s8(d, a, b, d, line);
}

// mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 with C = 0. PTX manual, fragments for .tf32 of m16n8k4:
//   A: row group for a0, group + 8 for a1; column t.  B: row t, column group.  D as above.
// A tf32 operand is the upper 19 bits of an f32. The device does not say in which order it adds the four products, so
// a kernel may use this only where every order gives the same bits; here it is ascending.
static inline void mma_tf32(float (&d)[4], float a0, float a1, float b, int line = __builtin_LINE()) {
    constexpr uint32_t TF32 = 0xffffe000u;
    const uint32_t in[3] = {__float_as_uint(a0) & TF32, __float_as_uint(a1) & TF32, __float_as_uint(b) & TF32};
    const standin::Table& table = standin::collective(0xffffffffu, standin::Kind::mma_tf32, line, in, 3);
    const unsigned group = standin::cur->lane / 4, t = standin::cur->lane % 4;
    for (unsigned i = 0; i < 4; i++) {
        d[i] = 0.0f;
        for (unsigned k = 0; k < 4; k++) {
            const float a = __uint_as_float(table.word[i / 2][4 * group + k]);
            d[i] += a * __uint_as_float(table.word[2][4 * (2 * t + i % 2) + k]);
        }
    }
}
