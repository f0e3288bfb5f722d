// Multi-scale deformable sampling, values B x L x heads x channels, points B x Q x heads x points x 2 (x, y), weights
// B x Q x heads x points, result B x Q x heads x channels; one thread for each element of the result, so neighbouring
// threads read neighbouring channels. Locations and weights are f32 also where values are f16. Twin: crates/kernels/src/deformable.rs.
#include "common.cuh"

// As in src/launch.rs.
struct Deformable {
    unsigned elements, queries, heads, channels, tokens, points, levels;
    struct { unsigned height, width, points; } level[8];
};

// Goes through the points of this thread's head: `add(level, its size, distance of its pixels, point, sum)`.
template <typename T, typename Add>
__device__ inline void mix(const T *value, T *y, const Deformable &p, Add add) {
    const unsigned at = ELEMENT();
    if (at >= p.elements) return;
    const unsigned channel = at % p.channels, row = at / p.channels, head = row % p.heads;
    const unsigned image = row / p.heads / p.queries, step = p.heads * p.channels;
    const T *first = value + image * p.tokens * step + head * p.channels + channel;
    unsigned point = row * p.points;
    float sum = 0.0f;
    for (unsigned l = 0; l < p.levels; l++) {
        const unsigned height = p.level[l].height, width = p.level[l].width;
        for (unsigned n = 0; n < p.level[l].points; n++, point++) add(first, height, width, step, point, sum);
        first += height * width * step;
    }
    put(y + at, sum);
}

// Zeros outside, as grid_sample with align_corners=False.
template <typename T>
__device__ inline void bilinear(const T *value, const float *locations, const float *weights, T *y, const Deformable &p) {
    mix(value, y, p, [=](const T *first, unsigned height, unsigned width, unsigned step, unsigned point, float &sum) {
        const float px = locations[2 * point] * (float)width - 0.5f;
        const float py = locations[2 * point + 1] * (float)height - 0.5f;
        const float left = floorf(px), top = floorf(py), fx = px - left, fy = py - top;
        for (unsigned corner = 0; corner < 4; corner++) {
            const float x = left + (float)(corner & 1), y = top + (float)(corner >> 1);
            const float tap = (corner & 1 ? fx : 1.0f - fx) * (corner >> 1 ? fy : 1.0f - fy);
            if (x >= 0.0f && y >= 0.0f && x < (float)width && y < (float)height)
                sum += tap * weights[point] * wide(first[((unsigned)y * width + (unsigned)x) * step]);
            else if (tap != tap)
                sum = tap;
        }
    });
}

// The pixel a location is nearest to, 0 .. largest.
__device__ inline unsigned nearest(float location, unsigned size, unsigned largest) {
    const float at = location * (float)size + 0.5f;
    if (!(at > 0.0f)) return 0;
    return at < (float)largest ? (unsigned)at : largest;
}

// Both coordinates are clamped to 0 .. height - 1, as the official code does, and x to the width as well.
template <typename T>
__device__ inline void discrete(const T *value, const float *locations, const float *weights, T *y, const Deformable &p) {
    mix(value, y, p, [=](const T *first, unsigned height, unsigned width, unsigned step, unsigned point, float &sum) {
        const unsigned x = nearest(locations[2 * point], width, (height < width ? height : width) - 1);
        const unsigned y = nearest(locations[2 * point + 1], height, height - 1);
        sum += weights[point] * wide(first[(y * width + x) * step]);
    });
}

// At pixels that were decided elsewhere.
template <typename T>
__device__ inline void pixels(const T *value, const unsigned *pixels, const float *weights, T *y, const Deformable &p) {
    mix(value, y, p, [=](const T *first, unsigned height, unsigned width, unsigned step, unsigned point, float &sum) {
        const unsigned x = pixels[2 * point] < width ? pixels[2 * point] : width - 1;
        const unsigned y = pixels[2 * point + 1] < height ? pixels[2 * point + 1] : height - 1;
        sum += weights[point] * wide(first[(y * width + x) * step]);
    });
}

extern "C" __global__ void sample_bilinear_f32(const float *value, const float *locations, const float *weights, float *y,
                                               const Deformable p) {
    bilinear(value, locations, weights, y, p);
}

extern "C" __global__ void sample_bilinear_f16(const __half *value, const float *locations, const float *weights, __half *y,
                                               const Deformable p) {
    bilinear(value, locations, weights, y, p);
}

extern "C" __global__ void sample_discrete_f32(const float *value, const float *locations, const float *weights, float *y,
                                               const Deformable p) {
    discrete(value, locations, weights, y, p);
}

extern "C" __global__ void sample_discrete_f16(const __half *value, const float *locations, const float *weights, __half *y,
                                               const Deformable p) {
    discrete(value, locations, weights, y, p);
}

extern "C" __global__ void sample_pixels_f32(const float *value, const unsigned *chosen, const float *weights, float *y,
                                             const Deformable p) {
    pixels(value, chosen, weights, y, p);
}

extern "C" __global__ void sample_pixels_f16(const __half *value, const unsigned *chosen, const float *weights, __half *y,
                                             const Deformable p) {
    pixels(value, chosen, weights, y, p);
}
