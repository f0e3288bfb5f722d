// Runs a kernel on the CPU as a GPU would: every thread of every block, blocks one after the other, threads of a block that
// meet at barriers side by side. From standard input: name, grid, parameters and arrays; to standard output: the result.
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <thread>
#include <vector>

struct Dim {
    unsigned x;
};
static thread_local Dim threadIdx;
static Dim blockIdx, blockDim;
static pthread_barrier_t barrier;
#define __global__
#define __device__
#define __shared__ static
#define __syncthreads() pthread_barrier_wait(&barrier)
static unsigned atomicAdd(unsigned *at, unsigned more) { return __atomic_fetch_add(at, more, __ATOMIC_RELAXED); }

#include "bias_act.cu"
#include "deformable.cu"
#include "depthwise.cu"
#include "pool.cu"
#include "top_k.cu"

static unsigned word() {
    unsigned value;
    if (fread(&value, 4, 1, stdin) != 1) exit(3);
    return value;
}

// Exactly as large as what it holds, so that a sanitiser sees what is out of bounds.
template <typename T> static T *array(size_t &count) {
    count = word();
    T *values = (T *)malloc(count * 4 + (count == 0));
    if (fread(values, 4, count, stdin) != count) exit(3);
    return values;
}

template <typename P> static P params() {
    P p;
    if (word() * 4 != sizeof p || fread(&p, sizeof p, 1, stdin) != 1) exit(4);
    return p;
}

template <typename F> static void launch(unsigned blocks, bool together, F kernel) {
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
        if (!together) {
            for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++) kernel();
            continue;
        }
        std::vector<std::thread> threads;
        pthread_barrier_init(&barrier, 0, blockDim.x);
        for (unsigned i = 0; i < blockDim.x; i++) threads.emplace_back([=] { threadIdx.x = i, kernel(); });
        for (auto &thread : threads) thread.join();
        pthread_barrier_destroy(&barrier);
    }
}

int main() {
    char name[32] = {};
    if (fread(name, 1, 32, stdin) != 32) return 3;
    const std::string kernel = name;
    const unsigned blocks = word(), outputs = (blockDim.x = word(), word());
    // Not a number: what no thread writes is seen.
    float *y = (float *)malloc(outputs * 4 + (outputs == 0));
    memset(y, 0xff, outputs * 4);
    size_t n;
    if (kernel == "bias_act_f32") {
        const auto p = params<BiasAct>();
        float *x = array<float>(n), *bias = array<float>(n);
        launch(blocks, false, [=] { bias_act_f32(x, bias, y, p); });
    } else if (kernel == "top_k_f32") {
        const auto p = params<TopK>();
        float *x = array<float>(n);
        launch(blocks, true, [=] { top_k_f32(x, (unsigned *)y, p); });
    } else if (kernel == "depthwise_f32") {
        const auto w = params<Window>();
        float *x = array<float>(n), *weight = array<float>(n), *bias = array<float>(n);
        launch(blocks, false, [=] { depthwise_f32(x, weight, bias, y, w); });
    } else if (kernel == "max_pool_f32" || kernel == "avg_pool_f32") {
        const auto w = params<Window>();
        float *x = array<float>(n);
        const bool max = kernel == "max_pool_f32";
        launch(blocks, false, [=] { max ? max_pool_f32(x, y, w) : avg_pool_f32(x, y, w); });
    } else if (kernel.rfind("sample_", 0) == 0) {
        const auto p = params<Deformable>();
        float *value = array<float>(n), *read = array<float>(n), *weights = array<float>(n);
        launch(blocks, false, [=] {
            if (kernel == "sample_bilinear_f32") sample_bilinear_f32(value, read, weights, y, p);
            else if (kernel == "sample_discrete_f32") sample_discrete_f32(value, read, weights, y, p);
            else sample_pixels_f32(value, (const unsigned *)read, weights, y, p);
        });
    } else {
        return 5;
    }
    return fwrite(y, 4, outputs, stdout) == outputs ? 0 : 3;
}
