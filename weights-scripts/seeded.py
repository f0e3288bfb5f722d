"""Seeded weights: every value of every tensor from its canonical name, its index and a seed.

No file of weights is needed to compare two implementations of a network: both compute the same
float32 values from the same formula. The Rust side has the same formula; `tests/fixtures/seeded.json`
holds values made here for it to be tested against.

Canonical names are those of the official PyTorch v2 state dict (`backbone.…`, `encoder.…`, `decoder.…`), also for
v1 models. All integer arithmetic is modulo 2**64:

    mix(z)               splitmix64's finaliser
    base(name, seed)     = mix(fnv1a64(name) + seed * GOLDEN)
    word(name, seed, i)  = mix(base + (i + 1) * GOLDEN)          i: row-major index in the tensor
    u                    = (word >> 40) / 2**24                  exact, in [0, 1)
    value                = lo + (hi - lo) * u                    in float64, rounded once to float32

`value_range` gives (lo, hi) by name and shape.
"""

import math

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB

# Values made at a time: bounds the memory of the uint64 and float64 intermediates.
CHUNK = 1 << 20

# Convolutions that feed a sum or that no activation follows: with the usual gain the values would grow from
# block to block until nothing small could be compared. HGNetv2's `conv1` (light layers) belongs to them too.
DAMPED = (".branch2", ".bottlenecks.", ".downsample.")

# State-dict entries that the formula does not make: counters and constants of the network.
NOT_SEEDED = ("num_batches_tracked", "anchors", "valid_mask", "num_points_scale")


def mix(z):
    """splitmix64's finaliser, on a Python int."""
    z &= MASK
    z ^= z >> 30
    z = z * MIX_1 & MASK
    z ^= z >> 27
    z = z * MIX_2 & MASK
    return z ^ (z >> 31)


def fnv1a64(name):
    """FNV-1a, 64 bits, over the UTF-8 bytes of `name`."""
    h = FNV_OFFSET
    for byte in name.encode("utf-8"):
        h = (h ^ byte) * FNV_PRIME & MASK
    return h


def base(name, seed):
    """The start of a tensor's stream."""
    return mix(fnv1a64(name) + seed * GOLDEN)


def word(name, seed, i):
    """The 64-bit word at index `i`, as a Python int."""
    return mix(base(name, seed) + (i + 1) * GOLDEN)


def words(name, seed, start, count):
    """The words at indices start .. start + count, as a uint64 array."""
    z = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z *= np.uint64(GOLDEN)
    z += np.uint64(base(name, seed))
    z ^= z >> np.uint64(30)
    z *= np.uint64(MIX_1)
    z ^= z >> np.uint64(27)
    z *= np.uint64(MIX_2)
    z ^= z >> np.uint64(31)
    return z


def value_range(name, shape):
    """(lo, hi) of a tensor's values. The first rule that matches wins."""
    if name == "image":
        return 0.0, 1.0
    if name.endswith("running_var"):
        return 0.5, 1.5
    if name.endswith("running_mean"):
        return -0.2, 0.2
    if len(shape) == 1 and name.endswith("weight"):
        return 0.5, 1.5
    if name.endswith("bias"):
        return (-2.0, 2.0) if "sampling_offsets" in name else (-0.1, 0.1)
    if len(shape) not in (2, 4):
        raise ValueError(f"{name}: no rule for a tensor of shape {list(shape)}; weights have 1, 2 or 4 dimensions")
    if any(part in name for part in DAMPED) or (name.startswith("backbone.stages.") and ".conv1." in name):
        gain = 0.8
    elif "score_head" in name:
        gain = 2.5
    elif len(shape) == 4:
        gain = 1.25
    else:
        gain = 1.0
    fan_in = math.prod(shape) // shape[0]
    a = gain * math.sqrt(3.0 / fan_in)
    return -a, a


def values(name, shape, seed):
    """The seeded tensor `name`: a float32 array of `shape`."""
    lo, hi = value_range(name, shape)
    count = math.prod(shape)
    out = np.empty(count, dtype=np.float32)
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        u = (words(name, seed, start, n) >> np.uint64(40)).astype(np.float64)
        u /= float(1 << 24)
        u *= hi - lo
        u += lo
        out[start : start + n] = u
    return out.reshape(shape)


def image(shape, seed):
    """The seeded input image [N, 3, H, W], values in [0, 1)."""
    return values("image", shape, seed)


def probes(name, numel, count=512):
    """The positions at which a fixture samples the tensor `name` of `numel` values (row-major, whole batch)."""
    return (words("probe." + name, 0, 0, count) % np.uint64(numel)).astype(np.int64)
