// Runs a kernel on the CPU as a GPU would: every thread of every block, blocks one after the other, threads of a block that
// meet at barriers side by side. From standard input: name, grid, parameters and arrays; to standard output: the result, if
// every element of it was written once.
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <mutex>
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

// Numbers of 16 bit; what the CPU lacks its compiler does.
typedef _Float16 __half;
static float __half2float(__half x) { return (float)x; }
static __half __float2half_rn(float x) { return (__half)x; }

// How often each address was written.
static std::map<void *, unsigned> writes;
static std::mutex writing;
static void wrote(void *address) {
    std::lock_guard<std::mutex> lock(writing);
    writes[address]++;
}
#define WROTE(address) wrote(address)

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
template <typename T> static T *array() {
    const size_t size = word(), count = word();
    if (size != sizeof(T)) exit(4);
    T *values = (T *)malloc(count * size + (count == 0));
    if (fread(values, size, count, stdin) != count) exit(3);
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

#define CALL(name, ...)                       \
    if constexpr (sizeof(T) == 2)             \
        name##_f16(__VA_ARGS__);              \
    else                                      \
        name##_f32(__VA_ARGS__)

// Runs the kernel of that name on maps of numbers T; false if there is none.
template <typename T> static bool run(const std::string &kernel, unsigned blocks, T *y) {
    if (kernel == "bias_act") {
        const auto p = params<BiasAct>();
        T *x = array<T>(), *bias = array<T>();
        launch(blocks, false, [=] { CALL(bias_act, x, bias, y, p); });
    } else if (kernel == "top_k" && sizeof(T) == 4) {
        const auto p = params<TopK>();
        float *x = array<float>();
        launch(blocks, true, [=] { top_k_f32(x, (unsigned *)y, p); });
    } else if (kernel == "depthwise") {
        const auto w = params<Window>();
        T *x = array<T>(), *weight = array<T>(), *bias = array<T>();
        launch(blocks, false, [=] { CALL(depthwise, x, weight, bias, y, w); });
    } else if (kernel == "max_pool") {
        const auto w = params<Window>();
        T *x = array<T>();
        launch(blocks, false, [=] { CALL(max_pool, x, y, w); });
    } else if (kernel == "avg_pool") {
        const auto w = params<Window>();
        T *x = array<T>();
        launch(blocks, false, [=] { CALL(avg_pool, x, y, w); });
    } else if (kernel.rfind("sample_", 0) == 0) {
        const auto p = params<Deformable>();
        T *value = array<T>();
        float *read = array<float>(), *weights = array<float>();
        launch(blocks, false, [=] {
            if (kernel == "sample_bilinear") { CALL(sample_bilinear, value, read, weights, y, p); }
            else if (kernel == "sample_discrete") { CALL(sample_discrete, value, read, weights, y, p); }
            else { CALL(sample_pixels, value, (const unsigned *)read, weights, y, p); }
        });
    } else {
        return false;
    }
    return true;
}

int main() {
    char name[32] = {};
    if (fread(name, 1, 32, stdin) != 32) return 3;
    const std::string function = name, kernel = function.substr(0, function.rfind('_'));
    const unsigned blocks = word(), outputs = (blockDim.x = word(), word());
    const bool half = function.substr(function.rfind('_') + 1) == "f16";
    const size_t size = half ? 2 : 4;
    char *y = (char *)malloc(outputs * size + (outputs == 0));
    if (!(half ? run(kernel, blocks, (__half *)y) : run(kernel, blocks, (float *)y))) return 5;
    for (unsigned i = 0; i < outputs; i++) {
        const auto found = writes.find(y + i * size);
        const unsigned times = found == writes.end() ? 0 : found->second;
        if (times == 1) continue;
        fprintf(stderr, "element %u of %u was written %u times\n", i, outputs, times);
        return 6;
    }
    return fwrite(y, size, outputs, stdout) == outputs ? 0 : 3;
}
