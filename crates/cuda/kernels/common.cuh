// What the kernels share. Sums are f32, of f16 numbers as well; the compiler is told not to contract a * b + c by itself
// (--fmad=false), so that coordinates round as on the CPU.
#pragma once

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

// Told of every element that is written; tests count them.
#ifndef WROTE
#define WROTE(address)
#endif

__device__ inline float wide(float x) { return x; }
__device__ inline float wide(__half x) { return __half2float(x); }
__device__ inline void put(float *to, float value) { WROTE(to); *to = value; }
__device__ inline void put(__half *to, float value) { WROTE(to); *to = __float2half_rn(value); }
__device__ inline void put(unsigned *to, unsigned value) { WROTE(to); *to = value; }

// As in src/launch.rs; every field is a u32.
struct Window {
    unsigned planes, channels, height, width, out_height, out_width, kernel_height, kernel_width, down, right, top, left, act;
};

// The output element of this thread; the last block has threads that have none.
#define ELEMENT() (blockIdx.x * blockDim.x + threadIdx.x)

// 0 none, 1 ReLU, 2 SiLU, 3 GELU with the error function.
__device__ inline float activation(float x, unsigned act) {
    switch (act) {
        case 1: return x < 0.0f ? 0.0f : x;
        case 2: return x / (1.0f + expf(-x));
        case 3: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
        default: return x;
    }
}

// Rows and columns of the input under the window of one output element.
struct Span {
    unsigned plane, y0, y1, x0, x1, first_y, first_x;
};

__device__ inline Span span(unsigned element, const Window &w) {
    const unsigned column = element % w.out_width, row = element / w.out_width % w.out_height;
    Span s;
    s.plane = element / w.out_width / w.out_height;
    // In the padded input.
    s.first_y = row * w.down, s.first_x = column * w.right;
    const unsigned end_y = s.first_y + w.kernel_height, end_x = s.first_x + w.kernel_width;
    s.y0 = s.first_y > w.top ? s.first_y - w.top : 0, s.x0 = s.first_x > w.left ? s.first_x - w.left : 0;
    s.y1 = end_y > w.top ? end_y - w.top : 0, s.x1 = end_x > w.left ? end_x - w.left : 0;
    s.y1 = s.y1 < w.height ? s.y1 : w.height, s.x1 = s.x1 < w.width ? s.x1 : w.width;
    return s;
}
