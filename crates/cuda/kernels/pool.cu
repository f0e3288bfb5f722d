// Max and average pools, N x C x H x W, one thread for each output element; twin: crates/kernels/src/pool.rs.
#include "common.cuh"

// Padding never wins, a NaN always does.
extern "C" __global__ void max_pool_f32(const float *x, float *y, const Window w) {
    const unsigned at = ELEMENT();
    if (at >= w.planes * w.out_height * w.out_width) return;
    const Span s = span(at, w);
    const float *plane = x + s.plane * w.height * w.width;
    float best = -INFINITY;
    for (unsigned row = s.y0; row < s.y1; row++)
        for (unsigned column = s.x0; column < s.x1; column++) {
            const float value = plane[row * w.width + column];
            if (value > best || value != value) best = value;
        }
    y[at] = best;
}

// Mean over the part of the window that lies inside.
extern "C" __global__ void avg_pool_f32(const float *x, float *y, const Window w) {
    const unsigned at = ELEMENT();
    if (at >= w.planes * w.out_height * w.out_width) return;
    const Span s = span(at, w);
    const float *plane = x + s.plane * w.height * w.width;
    float sum = 0.0f;
    unsigned count = 0;
    for (unsigned row = s.y0; row < s.y1; row++)
        for (unsigned column = s.x0; column < s.x1; column++) {
            sum += plane[row * w.width + column];
            count++;
        }
    y[at] = sum / (float)(count ? count : 1);
}
