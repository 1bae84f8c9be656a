// The product of a warp's fragments; its layouts are in mma.h.
#pragma once
#include <stdint.h>

namespace standin {
void product_m16n8k32(const uint32_t (&word)[8][32], int32_t (&result)[4][32]);
}
