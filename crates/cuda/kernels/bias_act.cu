// A bias for each channel and an activation in one pass, N x C x (H W); what candle's convolution leaves out.
#include "common.cuh"

struct BiasAct {
    unsigned elements, channels, pixels, act;
};

template <typename T> __device__ inline void bias_act(const T *x, const T *bias, T *y, const BiasAct &p) {
    const unsigned at = ELEMENT();
    if (at >= p.elements) return;
    put(y + at, activation(wide(x[at]) + wide(bias[at / p.pixels % p.channels]), p.act));
}

extern "C" __global__ void bias_act_f32(const float *x, const float *bias, float *y, const BiasAct p) {
    bias_act(x, bias, y, p);
}

extern "C" __global__ void bias_act_f16(const __half *x, const __half *bias, __half *y, const BiasAct p) {
    bias_act(x, bias, y, p);
}
