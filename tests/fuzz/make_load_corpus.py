#!/usr/bin/env python3
"""Writes tests/fuzz/corpus/ct2, safetensors and onnx. Run from the root of the tree."""
import json
import struct

SIZE = {0: 4, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2}


def name(text):
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(version, text, kind, shape, data):
    head = name(text) + struct.pack("<B", len(shape)) + b"".join(struct.pack("<I", d) for d in shape)
    if version >= 4:
        return head + struct.pack("<BI", kind, len(data)) + data
    return head + struct.pack("<BI", SIZE[kind], len(data) // SIZE[kind]) + data


def ct2(version, variables, aliases):
    out = struct.pack("<I", version) + name("WhisperSpec") + struct.pack("<II", 3, len(variables))
    out += b"".join(variable(version, *v) for v in variables)
    if version >= 3:
        out += struct.pack("<I", len(aliases)) + b"".join(name(a) + name(b) for a, b in aliases)
    return out


def floats(*x):
    return struct.pack(f"<{len(x)}f", *x)


old = [("a/bias", 0, [3], floats(1, 2, 3)), ("a/weight", 1, [2, 3], bytes(range(6))),
       ("a/weight_scale", 0, [2], floats(4, 0.5)), ("heads", 2, [], b"\6\0")]
new = old + [("b/weight", 4, [2, 2], bytes(8)), ("c/weight", 5, [1, 2, 1, 2], bytes(8)), ("n", 3, [2], bytes(8))]
chain = [("p/weight", "a/weight"), ("q/weight", "p/weight"), ("p/weight_scale", "a/weight_scale")]
for file, data in {
    "v2": ct2(2, old, []),
    "v3": ct2(3, old, chain[:1]),
    "v6": ct2(6, new, chain),
    "circle": ct2(6, new, [("x", "y"), ("y", "x")]),
    "twice": ct2(6, old + old[:1], []),
    "scale_zero": ct2(6, old[:2] + [("a/weight_scale", 0, [2], floats(4, 0))], []),
    "many": ct2(6, [(f"t{i:03}", 1, [], b"\1") for i in range(300)], [(f"u{i:03}", f"t{i:03}") for i in range(300)]),
}.items():
    with open("tests/fuzz/corpus/ct2/" + file, "wb") as f:
        f.write(data)


def safetensors(tensors, metadata=None, extra=b""):
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for text, kind, shape, body in tensors:
        header[text] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data + extra


plain = [("m", "F32", [2, 2], floats(1, 2, 3, 4)), ("h", "F16", [3], bytes(6)), ("ids", "I64", [1, 2], bytes(16)),
         ("q", "I8", [2, 2], b"\1\2\3\4"), ("q_scale", "F32", [2], floats(4, 0.5)), ("s", "BF16", [], bytes(2))]
carried = [("lode.vocabulary", "U8", [4], b"a\nb\n"), ("lode.tokenizer", "U8", [2], b"{}")]
for file, data in {
    "plain": safetensors(plain),
    "converted": safetensors(plain + carried, {"lode.config": "{\"a\":1}", "lode.aliases": "x\tm\ny\tx\nz\tq\n"}),
    "metadata_only": safetensors([], {"format": "pt"}),
    "rest": safetensors(plain, None, b"more"),
    "f64": safetensors([("d", "F64", [1], bytes(8))]),
    "deep": struct.pack("<Q", 64) + b"{\"a\":" + b"[" * 59,
    "lines": safetensors(plain[:1], {"lode.aliases": "\n" * 200}),
}.items():
    with open("tests/fuzz/corpus/safetensors/" + file, "wb") as f:
        f.write(data)


def varint(v):
    return bytes([v & 127 | 128]) + varint(v >> 7) if v > 127 else bytes([v])


def field(number, value):
    """An integer, or the bytes of a text or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(text, kind, shape, number, body):
    dims = b"".join(field(1, d) for d in shape)
    return dims + field(2, kind) + field(8, text.encode()) + field(number, body)


def onnx(*graph):
    return field(1, 8) + field(2, b"pytorch") + field(7, b"".join(graph)) + field(8, field(2, 18))


raw = field(5, tensor("raw", 1, [2, 2], 9, floats(1, 2, 3, 4)))
typed = [field(5, tensor("floats", 1, [3], 4, floats(1, 2, 3))), field(5, tensor("half", 10, [2], 5, varint(15360) * 2)),
         field(5, tensor("axes", 7, [1], 9, bytes(8))), field(5, tensor("none", 1, [0], 9, b""))]
value = field(1, b"value") + field(5, tensor("t", 6, [1], 5, varint(2**64 - 7)))
node = field(1, field(5, value) + field(2, b"constant") + field(4, b"Constant"))
for file, data in {
    "raw": onnx(raw),
    "typed": onnx(raw, *typed, node),
    "twice": onnx(raw, raw),
    "external": onnx(field(5, tensor("raw", 1, [4], 14, 1))),
    "huge": onnx(field(5, tensor("raw", 1, [2**40, 2**40], 9, bytes(8)))),
    "rank": onnx(field(5, tensor("raw", 1, [1] * 5, 9, bytes(4)))),
    "group": onnx(raw, b"\x2b\x2c"),
    "cut": onnx(raw, *typed)[:-60],
    "many": onnx(*[field(5, tensor(f"t{i}", 1, [1], 9, bytes(4))) for i in range(100)]),
}.items():
    with open("tests/fuzz/corpus/onnx/" + file, "wb") as f:
        f.write(data)
