// Convolution of each channel with its own kernel, N x C x H x W, weights C x kh x kw, then bias and activation; one thread
// for each output element. Twin: crates/kernels/src/depthwise.rs.
#include "common.cuh"

template <typename T>
__device__ inline void depthwise(const T *x, const T *weight, const T *bias, T *y, const Window &w) {
    const unsigned at = ELEMENT();
    if (at >= w.planes * w.out_height * w.out_width) return;
    const Span s = span(at, w);
    const unsigned channel = s.plane % w.channels;
    const T *plane = x + s.plane * w.height * w.width, *taps = weight + channel * w.kernel_height * w.kernel_width;
    float sum = wide(bias[channel]);
    for (unsigned row = s.y0; row < s.y1; row++)
        for (unsigned column = s.x0; column < s.x1; column++) {
            const unsigned tap = (row + w.top - s.first_y) * w.kernel_width + column + w.left - s.first_x;
            sum = fmaf(wide(plane[row * w.width + column]), wide(taps[tap]), sum);
        }
    put(y + at, activation(sum, w.act));
}

extern "C" __global__ void depthwise_f32(const float *x, const float *weight, const float *bias, float *y, const Window w) {
    depthwise(x, weight, bias, y, w);
}

extern "C" __global__ void depthwise_f16(const __half *x, const __half *weight, const __half *bias, __half *y,
                                         const Window w) {
    depthwise(x, weight, bias, y, w);
}
