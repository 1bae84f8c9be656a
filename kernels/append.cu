// The step's answers become the next step's inputs, and what the host wants to know goes to a ring that it drains in its own time.
//
// Per question: the token is the next input of its row, its position one further, and it counts as context from there on. A sequence
// ends with an id of `eos` or at last_position, and its last token still passes through the model once: the record of that pass, which has
// no token, ends the telling. What only the logits of that pass would meet is nobody's fault. A fault in any other answer ends a
// sequence at once; then its row runs on with what it has, until the host takes it out.
// Slots of questions that are not off differ. Launch: one CTA of 256 threads.
#include "abi.h"
#include "gpu.cuh"

namespace {

__device__ __forceinline__ uint32_t state_after(const append_params &p, const question &asked, uint32_t token) {
    for (uint32_t i = 0; i < p.eos_count; i++)
        if (p.eos[i] == token) return QUESTION_EOS;
    return asked.position == asked.last_position ? QUESTION_LENGTH : QUESTION_LIVE;
}

__device__ __forceinline__ void extend(const append_params &p, question &asked, uint32_t token) {
    uint32_t *first = p.context + (size_t)asked.slot * p.context_stride + token;
    if (*first > asked.position) *first = asked.position;
    p.token[asked.next_row] = token;
    p.position[asked.next_row] = asked.position;
    asked.state = state_after(p, asked, token);
    asked.position++;
}

__device__ __forceinline__ record take(const append_params &p, question &asked, const answer &given) {
    record told = {NO_TOKEN, 0.0f, 0.0f, p.sketch != nullptr ? p.sketch[asked.row] : 0u, asked.state, NO_FAULT};
    if (asked.state == QUESTION_OFF) return told;
    if (asked.state != QUESTION_LIVE) {
        asked.state = QUESTION_OFF;
        if (given.fault != NO_FAULT && ((given.fault >> 8) & 0xffu) < STAGE_HEAD) told.fault = given.fault;
        return told;
    }
    if (given.fault != NO_FAULT) {
        asked.state = QUESTION_OFF;
        told.fault = given.fault;
        return told;
    }
    extend(p, asked, given.token);
    told.token = given.token;
    told.raw = given.raw;
    told.sampling = given.sampling;
    told.state = asked.state;
    return told;
}

} // namespace

extern "C" __global__ void __launch_bounds__(256) append(const __grid_constant__ append_params p) {
    const uint32_t step = *p.step, count = *p.count;
    record *records = p.ring + (size_t)(step % p.ring_steps) * p.max_questions;
    for (uint32_t q = threadIdx.x; q < count; q += blockDim.x) records[q] = take(p, p.questions[q], p.answers[q]);
    __threadfence_system(); // the records are there for the host when it sees the step
    __syncthreads();
    if (threadIdx.x == 0u) *p.step = step + 1u;
}
KERNEL(append)
