// Max and average pools, N x C x H x W, one thread for each output element; twin: crates/kernels/src/pool.rs.
#include "common.cuh"

// Padding never wins, a NaN always does.
template <typename T> __device__ inline void max_pool(const T *x, T *y, const Window &w) {
    const unsigned at = ELEMENT();
    if (at >= w.planes * w.out_height * w.out_width) return;
    const Span s = span(at, w);
    const T *plane = x + s.plane * w.height * w.width;
    float best = -INFINITY;
    for (unsigned row = s.y0; row < s.y1; row++)
        for (unsigned column = s.x0; column < s.x1; column++) {
            const float value = wide(plane[row * w.width + column]);
            if (value > best || value != value) best = value;
        }
    put(y + at, best);
}

// Mean over the part of the window that lies inside.
template <typename T> __device__ inline void avg_pool(const T *x, T *y, const Window &w) {
    const unsigned at = ELEMENT();
    if (at >= w.planes * w.out_height * w.out_width) return;
    const Span s = span(at, w);
    const T *plane = x + s.plane * w.height * w.width;
    float sum = 0.0f;
    unsigned count = 0;
    for (unsigned row = s.y0; row < s.y1; row++)
        for (unsigned column = s.x0; column < s.x1; column++) {
            sum += wide(plane[row * w.width + column]);
            count++;
        }
    put(y + at, sum / (float)(count ? count : 1));
}

extern "C" __global__ void max_pool_f32(const float *x, float *y, const Window w) { max_pool(x, y, w); }

extern "C" __global__ void max_pool_f16(const __half *x, __half *y, const Window w) { max_pool(x, y, w); }

extern "C" __global__ void avg_pool_f32(const float *x, float *y, const Window w) { avg_pool(x, y, w); }

extern "C" __global__ void avg_pool_f16(const __half *x, __half *y, const Window w) { avg_pool(x, y, w); }
