// Indices of the k largest of each row, largest first, equal ones in the order of their indices, NaN above any number; one
// block for each row. Twin: crates/kernels/src/top_k.rs.
//
// A score and its index make one 64-bit number whose order is the wanted one, so no two are equal. Eight passes over the
// row, a histogram of one byte in each, find the k-th largest; those not below it are then sorted in shared memory.
#include "common.cuh"

struct TopK {
    unsigned columns, k, sorted;
};

// As MOST in src/launch.rs.
#define MOST 1024

__device__ inline unsigned long long order(float score, unsigned index) {
    unsigned bits;
    score += 0.0f;  // -0 is 0
    memcpy(&bits, &score, 4);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    if (score != score) bits = 0xffffffffu;
    return (unsigned long long)bits << 32 | (unsigned)~index;
}

extern "C" __global__ void top_k_f32(const float *scores, unsigned *best, const TopK p) {
    __shared__ unsigned histogram[256];
    __shared__ unsigned long long kept[MOST];
    __shared__ unsigned long long prefix;
    __shared__ unsigned missing, count;
    const unsigned me = threadIdx.x, threads = blockDim.x;
    const float *row = scores + (size_t)blockIdx.x * p.columns;
    if (me == 0) prefix = 0, missing = p.k, count = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (unsigned i = me; i < 256; i += threads) histogram[i] = 0;
        __syncthreads();
        for (unsigned i = me; i < p.columns; i += threads) {
            const unsigned long long number = order(row[i], i);
            if (shift == 56 || number >> (shift + 8) == prefix) atomicAdd(&histogram[number >> shift & 255], 1u);
        }
        __syncthreads();
        if (me == 0) {
            unsigned byte = 255;
            for (; byte > 0 && histogram[byte] < missing; byte--) missing -= histogram[byte];
            prefix = prefix << 8 | byte;
        }
        __syncthreads();
    }
    for (unsigned i = me; i < p.columns; i += threads) {
        const unsigned long long number = order(row[i], i);
        if (number >= prefix) kept[atomicAdd(&count, 1u)] = number;
    }
    for (unsigned i = p.k + me; i < p.sorted; i += threads) kept[i] = 0;
    __syncthreads();
    // Bitonic sort, largest first; `sorted` is a power of two.
    for (unsigned size = 2; size <= p.sorted; size *= 2)
        for (unsigned apart = size / 2; apart > 0; apart /= 2) {
            for (unsigned i = me; i < p.sorted; i += threads) {
                const unsigned other = i ^ apart;
                if (other > i) {
                    const unsigned long long a = kept[i], b = kept[other];
                    if ((i & size) == 0 ? a < b : a > b) kept[i] = b, kept[other] = a;
                }
            }
            __syncthreads();
        }
    for (unsigned i = me; i < p.k; i += threads) put(best + (size_t)blockIdx.x * p.k + i, ~(unsigned)kept[i]);
}
