// A bias for each channel and an activation in one pass, N x C x (H W); what candle's convolution leaves out.
#include "common.cuh"

struct BiasAct {
    unsigned elements, channels, pixels, act;
};

extern "C" __global__ void bias_act_f32(const float *x, const float *bias, float *y, const BiasAct p) {
    const unsigned at = ELEMENT();
    if (at >= p.elements) return;
    y[at] = activation(x[at] + bias[at / p.pixels % p.channels], p.act);
}
