#include "product.h"

#include <string.h>

namespace standin {
// word[i] holds register i of all lanes side by side, so row g of A is words 4g..4g+3 of registers 0 and 2 (columns
// 0-15 and 16-31), row g+8 those of registers 1 and 3, and column n of B words 4n..4n+3 of registers 4 and 5.
void product_m16n8k32(const uint32_t (&word)[8][32], int32_t (&result)[4][32]) {
    int16_t a[16][32], b[8][32];
    int8_t bytes[16];
    for (int half = 0; half < 2; half++) {
        for (int row = 0; row < 16; row++) {
            memcpy(bytes, &word[2 * half + (row >= 8)][4 * (row & 7)], 16);
            for (int i = 0; i < 16; i++) a[row][16 * half + i] = bytes[i];
        }
        for (int column = 0; column < 8; column++) {
            memcpy(bytes, &word[4 + half][4 * column], 16);
            for (int i = 0; i < 16; i++) b[column][16 * half + i] = bytes[i];
        }
    }
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            int32_t sum = 0;  // at most 32 * 2^14
            for (int k = 0; k < 32; k++) sum += a[row][k] * b[column][k];
            result[2 * (row >= 8) + (column & 1)][4 * (row & 7) + column / 2] = sum;
        }
}
}  // namespace standin
