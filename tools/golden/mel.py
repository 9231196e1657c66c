#!/usr/bin/env python3
"""Mel filters and the log-mel of the jfk clip by two references -> mel.safetensors.

usage: mel.py samples/jfk.wav [OPENAI_MEL_FILTERS.npz] [OUT.safetensors]

needs numpy, safetensors, torch, transformers, and faster-whisper's feature_extractor.py (set FW_FOLDER
to the folder of the faster_whisper package, or have it importable: only that one file is loaded).
With openai's mel_filters.npz the filters are checked against it too, and stored from it. (The file in the
tree: that of openai/whisper v20250625, faster-whisper 1.2.1, transformers 5.23.0, torch 2.15.0.)

  filters80      f32 [80,201]      the matrix openai publishes
  filters128     f32 [16,201]      rows 0, 8, .. of the one for 128 bands
  filters128_sum f32 [128]         sum of every row of it (summed in f64)
Frames are stored mel major, [80, frames], as the references return them.
  fw_head  fw_mid  fw_tail         frames 0-39, 500-519 and the last 20 (1081-1100) of faster-whisper:
                                   160 samples of zeros behind the clip, normalised with their maximum
  fw_raw_head  fw_raw_tail         log10 of frames 0-39 and the last 20 before max(m - 8) and (x + 4) / 4
  fw_max   f32 [1]                 m: the largest log10 of the whole file
  hf_head  hf_mid  hf_tail         as above by transformers (torch.stft): zeros up to 30 s, 3000 frames
  hf_edge                          frames 1080-1119, where the clip ends and the zeros begin
  hf_max   f32 [1]
"""

import importlib.util
import os
import sys
import wave

import numpy as np
from safetensors.numpy import save_file
from transformers import WhisperFeatureExtractor


def faster_whisper_extractor(bands):
    folder = os.environ.get("FW_FOLDER")
    if folder:
        spec = importlib.util.spec_from_file_location("fw", os.path.join(folder, "feature_extractor.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        from faster_whisper import feature_extractor as module
    return module.FeatureExtractor(feature_size=bands)


def by_formula(bands):
    """The Slaney filter bank in double, from its definition alone, rounded to f32 at the end."""

    def hz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * np.exp((mel - 15) * np.log(6.4) / 27)

    top = 15 + 27 * np.log(8000 / 1000) / np.log(6.4)
    edges = [hz(top * i / (bands + 1)) for i in range(bands + 2)]
    out = np.zeros([bands, 201])
    for m in range(bands):
        low, peak, high = edges[m : m + 3]
        for k in range(201):
            f = 40.0 * k
            out[m, k] = max(0.0, min((f - low) / (peak - low), (high - f) / (high - peak))) * 2 / (high - low)
    return out.astype(np.float32)


def apart(a, b):
    return float(np.abs(a.astype(np.float64) - b).max())


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    npz = next((a for a in sys.argv[2:] if a.endswith(".npz")), None)
    path = next((a for a in sys.argv[2:] if a.endswith(".safetensors")),
                os.path.join(here, "../../tests/golden/mel.safetensors"))
    out, published = {}, np.load(npz) if npz else {}
    for bands in (80, 128):
        ours = by_formula(bands)
        fw = faster_whisper_extractor(bands).mel_filters
        hf = WhisperFeatureExtractor(feature_size=bands).mel_filters.T
        print(f"{bands} bands: formula against faster-whisper {apart(ours, fw):.2e}, transformers {apart(ours, hf):.2e},"
              f" smallest non-zero {ours[ours > 0].min():.2e}, largest {ours.max():.4f}")
        want = fw
        if npz:
            want = published[f"mel_{bands}"]
            print(f"  against openai {apart(ours, want):.2e}, identical: {np.array_equal(ours, want)}")
        assert apart(ours, want) < 1e-7 and apart(ours, fw) < 1e-7 and apart(ours, hf) < 1e-7
        assert want.dtype == np.float32 and want.shape == (bands, 201)
        if bands == 80:
            out["filters80"] = want
        else:
            out["filters128"] = want[::8]
            out["filters128_sum"] = want.astype(np.float64).sum(1).astype(np.float32)

    clip = wave.open(sys.argv[1])
    assert clip.getframerate() == 16000 and clip.getnchannels() == 1 and clip.getsampwidth() == 2
    pcm = np.frombuffer(clip.readframes(clip.getnframes()), np.int16).astype(np.float32) / 32768

    fe = faster_whisper_extractor(80)
    fw = fe(pcm, padding=160)
    window = np.hanning(401)[:-1].astype(np.float32)
    power = np.abs(fe.stft(np.pad(pcm, (0, 160)), 400, 160, window=window, return_complex=True)[:, :-1]) ** 2
    raw = np.log10(np.maximum(fe.mel_filters @ power, 1e-10))
    assert apart((np.maximum(raw, raw.max() - 8) + 4) / 4, fw) < 1e-5
    hf = WhisperFeatureExtractor(feature_size=80)(pcm, sampling_rate=16000, return_tensors="np").input_features[0]
    # Both put their largest value at (m + 4) / 4.
    print(f"faster-whisper {fw.shape}, maximum {raw.max():.6f}; transformers {hf.shape}, {hf.max() * 4 - 4:.6f}")
    print(f"difference inside the clip {apart(fw[:, :1098], hf[:, :1098]):.2e}, at its end {apart(fw[:, 1098:], hf[:, 1098:1101]):.3f}")
    assert apart(fw[:, :1098], hf[:, :1098]) < 1e-3
    for name, x in (("fw", fw), ("hf", hf)):
        out[name + "_head"], out[name + "_mid"], out[name + "_tail"] = x[:, :40], x[:, 500:520], x[:, -20:]
    out["hf_edge"] = hf[:, 1080:1120]
    out["fw_raw_head"], out["fw_raw_tail"] = raw[:, :40], raw[:, -20:]
    out["fw_max"] = np.array([raw.max()])
    out["hf_max"] = np.array([hf.max() * 4.0 - 4.0])
    out = {k: np.ascontiguousarray(v, np.float32) for k, v in sorted(out.items())}
    save_file(out, path)
    print(path, os.path.getsize(path), "bytes")
    assert os.path.getsize(path) <= 300 * 1024


main()
