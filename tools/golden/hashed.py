"""Numbers from a name and an index, the same in C (tensor_hash in src/core/tensor.c) and here."""

import numpy as np


def fnv1a64(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def tensor(name, shape, gain):
    """The test tensor of that name: f32 [shape], every element in [-gain, gain)."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is what is wanted
        h = np.uint64(fnv1a64(name)) + i * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(30)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(27)
        h *= np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
    raw = ((h >> np.uint64(40)).astype(np.int64) - (1 << 23)).astype(np.float32) / np.float32(1 << 23)
    return (raw * np.float32(gain)).reshape(shape)
