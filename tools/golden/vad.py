#!/usr/bin/env python3
"""What onnxruntime and faster-whisper make of voice activity -> vad.safetensors.

usage: vad.py samples/jfk.wav LONG.wav STEREO.wav [OUT.safetensors]      needs faster-whisper 1.2.1
(the file in the tree: numpy 2.4.6, onnxruntime 1.31.1; LONG is the first 120 s of the benchmarks' mix600,
STEREO is stereo_two_speakers.wav of faster-whisper's tests, mixed down; both 16 kHz)

  NAME           f32 [blocks]      probabilities; NAME: jfk, noisy (see noisy()), long, stereo, walk (made up)
  NAME.OPTIONS   i32 [1 + n][2]    samples and n, then the regions by get_speech_timestamps with OPTIONS below
  NAME.windows   i32 [n]           samples of each chunk that collect_chunks makes of NAME.batched
  NAME.times     f32 [n][3]        time in the speech alone, 1 if an end, time by SpeechTimestampsMap
  hashed         f32 [blocks]      a model of hashed weights, by the definition below, of hashed_audio()
  tail           f32 [3]           the true model of one sample of 0.5, of 512 and of 513 samples of jfk: the last block
"""

import json
import os
import struct
import sys
import wave

import faster_whisper.vad as fw
import numpy as np

import hashed

OPTIONS = {
    "sequential": {},
    "batched": {"max_speech_duration_s": 30.0, "min_silence_duration_ms": 160},
    "upstream": {"min_speech_duration_ms": 250, "min_silence_duration_ms": 100, "speech_pad_ms": 30},
    "short": {"max_speech_duration_s": 3.0, "speech_pad_ms": 100},
    "strict": {"threshold": 0.9, "neg_threshold": 0.6, "max_speech_duration_s": 5.0, "min_silence_duration_ms": 500,
               "speech_pad_ms": 0, "min_speech_duration_ms": 500},
}
SHAPES = {  # of silero-vad's safetensors, as the plan wants them
    "stft_conv.weight": [258, 256], "conv1.weight": [128, 129, 3], "conv1.bias": [128], "conv2.weight": [64, 128, 3],
    "conv2.bias": [64], "conv3.weight": [64, 64, 3], "conv3.bias": [64], "conv4.weight": [128, 64, 3],
    "conv4.bias": [128], "lstm_cell.weight_ih": [512, 128], "lstm_cell.weight_hh": [512, 128],
    "lstm_cell.bias_ih": [512], "lstm_cell.bias_hh": [512], "final_conv.weight": [1, 128], "final_conv.bias": [1],
}


def weight(name):
    """The test model's tensor, as hashed() in net_silero.c makes it."""
    shape = SHAPES[name]
    gain = 0.1 if len(shape) == 1 else 4 / np.sqrt(float(np.prod(shape[1:])))
    return hashed.tensor(name, shape, np.float32(gain)).astype(np.float64)


def conv(x, w, b, stride):
    """[C,T] by [N,C,3], padding 1, ReLU."""
    x = np.pad(x, ((0, 0), (1, 1)))
    return np.maximum(np.stack([np.tensordot(w, x[:, t : t + 3], ([1, 2], [0, 1])) + b
                                for t in range(0, x.shape[1] - 2, stride)], 1), 0)


def network(blocks, w):
    """Silero VAD by its definition, in double."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    h, c, out = np.zeros(128), np.zeros(128), []
    for x in blocks.astype(np.float64):
        x = np.pad(x, (0, 64), "reflect")
        y = w["stft_conv.weight"] @ np.stack([x[t : t + 256] for t in range(0, 512, 128)], 1)
        y = np.sqrt(y[:129] ** 2 + y[129:] ** 2)
        for i, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
            y = conv(y, w[f"conv{i}.weight"], w[f"conv{i}.bias"], stride)
        g = w["lstm_cell.weight_ih"] @ y[:, 0] + w["lstm_cell.bias_ih"] + w["lstm_cell.weight_hh"] @ h
        i, f, m, o = np.split(g + w["lstm_cell.bias_hh"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(m)
        h = sigmoid(o) * np.tanh(c)
        out.append(sigmoid(w["final_conv.weight"] @ np.maximum(h, 0) + w["final_conv.bias"])[0])
    return np.array(out, np.float32)


def blocks_of(audio):
    """As faster-whisper cuts an audio, its slips included."""
    blocks = np.pad(audio, (0, 512 - len(audio) % 512)).reshape(-1, 512).copy()
    blocks[-1, -64:] = 0
    return np.concatenate([np.concatenate([np.zeros((1, 64), np.float32), blocks[:-1, -64:]]), blocks], 1)


def true_weights():
    """Those of the file, by their names there."""
    def varint(b, i):
        v = s = 0
        while True:
            v |= (b[i] & 127) << s
            s, i = s + 7, i + 1
            if b[i - 1] < 128:
                return v, i

    def fields(b):
        i = 0
        while i < len(b):
            key, i = varint(b, i)
            if key & 7 == 2:
                n, i = varint(b, i)
                value, i = b[i : i + n], i + n
            else:
                value, i = varint(b, i)  # this file has nothing else
            yield key >> 3, value

    with open(os.path.join(fw.get_assets_path(), "silero_vad_v6.onnx"), "rb") as f:
        graph = next(v for k, v in fields(f.read()) if k == 7)
    found = []
    for t in (v for k, v in fields(graph) if k == 5):
        t = list(fields(t))
        if (2, 1) in t:
            found.append(np.frombuffer(dict(t)[9], "<f4").reshape([v for k, v in t if k == 1]).astype(np.float64))
    names = [n for n in SHAPES if not n.startswith(("lstm", "final"))]
    order = names + ["final_conv.weight", "final_conv.bias", "lstm_cell.weight_ih", "lstm_cell.weight_hh", "both"]
    w = {n: x for n, x in zip(order, found)}
    turn = lambda x: np.concatenate([x[:128], x[256:512], x[128:256]])
    both = w.pop("both")[0]
    w["lstm_cell.bias_ih"], w["lstm_cell.bias_hh"] = turn(both[:512]), turn(both[512:])
    for n in ("lstm_cell.weight_ih", "lstm_cell.weight_hh"):
        w[n] = turn(w[n][0])
    return {n: w[n].reshape(SHAPES[n]) for n in SHAPES}


def read(path):
    with wave.open(path) as f:
        assert f.getframerate() == 16000 and f.getsampwidth() == 2 and f.getnchannels() == 1, path
        return np.frombuffer(f.readframes(f.getnframes()), "<i2").astype(np.float32) / np.float32(32768)


def noisy(audio):
    """jfk in noise that is nearly as loud."""
    return audio * np.float32(0.25) + hashed.tensor("vad noise", [len(audio)], 0.0625)


def hashed_audio():
    """Noise that changes its loudness every 1000 samples. Not a whole number of blocks; the last one has samples
    that faster-whisper drops."""
    n = 200 * 512 + 500
    loud = np.float32(1) + hashed.tensor("vad loudness", [n // 1000 + 1], 1.0)
    return hashed.tensor("vad audio", [n], 0.5) * loud[np.arange(n) // 1000]


def probabilities(audio):
    return fw.get_vad_model()(np.pad(audio, (0, 512 - len(audio) % 512)))


def times(regions):
    """Times around every boundary of the speech alone, and between."""
    out, at = [], 0
    there = fw.SpeechTimestampsMap(regions, 16000)
    for r in regions:
        for t in (at / 16000, at / 16000 + 0.005, (at + (r["end"] - r["start"]) / 3) / 16000):
            out += [(t, end, there.get_original_time(t, is_end=bool(end))) for end in (0, 1)]
        at += r["end"] - r["start"]
    return out + [(at / 16000 + 1, 0, there.get_original_time(at / 16000 + 1))]


def regions(out, name, audio, p):
    whole = fw.get_vad_model
    fw.get_vad_model = lambda: lambda padded: p
    for kind, options in OPTIONS.items():
        found = fw.get_speech_timestamps(audio, fw.VadOptions(**options))
        rows = [(len(audio), len(found))] + [(r["start"], r["end"]) for r in found]
        out[f"{name}.{kind}"] = np.array(rows, np.int32)
        print(name, kind, len(found), rows[1:4])
        if kind == "batched" and found:
            chunks, _ = fw.collect_chunks(audio, found, max_duration=30)
            out[f"{name}.windows"] = np.array([len(c) for c in chunks], np.int32)
            # in f32 a time must still fall where it fell: those in the file are what C reads
            picked = [(np.float32(t), e) for t, e, _ in times(found)]
            there = fw.SpeechTimestampsMap(found, 16000)
            out[f"{name}.times"] = np.array(
                [(t, e, there.get_original_time(float(t), is_end=bool(e))) for t, e in picked], np.float32)
    fw.get_vad_model = whole


def save(out, path):
    header, data = {}, b""
    for name in sorted(out):
        body = out[name].astype(out[name].dtype.newbyteorder("<")).tobytes()
        kind = {"float32": "F32", "int32": "I32"}[out[name].dtype.name]
        header[name] = {"dtype": kind, "shape": list(out[name].shape), "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    print(path, os.path.getsize(path), "bytes")
    assert os.path.getsize(path) <= 150 * 1024


def main():
    jfk, long, stereo = (read(p) for p in sys.argv[1:4])
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[4] if len(sys.argv) > 4 else os.path.join(here, "../../tests/golden/vad.safetensors")
    out = {}
    for name, audio in (("jfk", jfk), ("noisy", noisy(jfk)), ("long", long), ("stereo", stereo)):
        out[name] = probabilities(audio).reshape(-1).astype(np.float32)
        regions(out, name, audio, out[name])
    r = np.random.default_rng(6)  # speech and silence of all lengths, with short doubts
    level = np.repeat(r.choice([0.02, 0.3, 0.45, 0.7, 0.95], 700), r.integers(1, 40, 700))[:6000]
    out["walk"] = np.clip(level + r.normal(0, 0.12, len(level)), 0, 1).astype(np.float32)
    regions(out, "walk", np.zeros(512 * (len(level) - 1) + 77, np.float32), out["walk"])
    out["tail"] = np.array([probabilities(x)[-1] for x in (np.full(1, 0.5, np.float32), jfk[8000:8512], jfk[8000:8513])],
                           np.float32).reshape(-1)
    mine = network(blocks_of(noisy(jfk)), true_weights())
    print("the definition against onnxruntime:", abs(mine - out["noisy"]).max())
    assert abs(mine - out["noisy"]).max() < 1e-4 and out["noisy"].max() > 0.5 > 0.3 > out["noisy"].min()
    out["hashed"] = network(blocks_of(hashed_audio()), {n: weight(n) for n in SHAPES})
    print("hashed", out["hashed"].min(), out["hashed"].max(), out["hashed"].std())
    assert out["hashed"].std() > 0.01  # a model that always says the same would let wrong code pass
    save(out, path)


main()
