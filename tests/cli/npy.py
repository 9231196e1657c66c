"""npy.py A.npy B.npy: median and least cosine of their rows, and how many of the ten nearest rows of
each row they agree on, as three numbers. Only the standard library."""

import ast
import struct
import sys


def read(path):
    data = open(path, "rb").read()
    size = struct.unpack("<H", data[8:10])[0]
    head = ast.literal_eval(data[10:10 + size].decode())
    kind = {"<f4": "f", "<f2": "e"}[head["descr"]]
    rows, columns = head["shape"]
    flat = struct.unpack(f"<{rows * columns}{kind}", data[10 + size:])
    return [flat[i * columns:(i + 1) * columns] for i in range(rows)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def nearest(rows):
    out = []
    for i, a in enumerate(rows):
        order = sorted((-dot(a, b), j) for j, b in enumerate(rows) if j != i)
        out.append({j for _, j in order[:10]})
    return out


def main():
    a, b = read(sys.argv[1]), read(sys.argv[2])
    assert len(a) == len(b) and len(a[0]) == len(b[0])
    cosines = sorted(dot(x, y) / (dot(x, x) * dot(y, y)) ** 0.5 for x, y in zip(a, b))
    same = sum(len(x & y) for x, y in zip(nearest(a), nearest(b))) / (10 * len(a))
    print(f"{cosines[len(cosines) // 2]:.6f} {cosines[0]:.6f} {same:.4f}")


main()
