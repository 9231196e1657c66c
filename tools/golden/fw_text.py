#!/usr/bin/env python3
"""What faster-whisper makes of the jfk clip, with every score -> fw_tiny_en.json.

usage: fw_text.py MODEL_FOLDER samples/jfk.wav TEXTS.json [OUT.json]      needs faster-whisper 1.2.1
TEXTS.json: {clip: {"float32-b5-t0": text, ...}}, the texts made earlier on all clips (bench/text reads it too);
its row for jfk is copied. Each run here is at temperature 0: "runs" -> "float32-b1" ... "int8-b5" -> segments.
"""

import json
import os
import sys

import ctranslate2
import faster_whisper


def run(model, path, beam):
    segments, info = model.transcribe(path, language="en", beam_size=beam, temperature=0.0)
    return [
        {
            "start": round(s.start, 2),
            "end": round(s.end, 2),
            "text": s.text,
            "tokens": list(s.tokens),
            "avg_logprob": s.avg_logprob,
            "no_speech_prob": s.no_speech_prob,
            "compression_ratio": s.compression_ratio,
        }
        for s in segments
    ]


def main():
    folder, clip, texts = sys.argv[1:4]
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[4] if len(sys.argv) > 4 else os.path.join(here, "../../tests/golden/fw_tiny_en.json")
    out = {
        "made_by": f"faster-whisper {faster_whisper.__version__}, ctranslate2 {ctranslate2.__version__}",
        "texts": json.load(open(texts))["jfk.wav"],
        "runs": {},
    }
    for kind in ("float32", "int8"):
        model = faster_whisper.WhisperModel(folder, device="cpu", compute_type=kind, cpu_threads=2, local_files_only=True)
        for beam in (1, 5):
            name = f"{kind}-b{beam}"
            out["runs"][name] = run(model, clip, beam)
            got = "".join(s["text"] for s in out["runs"][name]).strip()
            assert got == out["texts"][name + "-t0"], (name, got, out["texts"][name + "-t0"])
    with open(path, "w") as f:
        json.dump(out, f, indent=1, ensure_ascii=False)
        f.write("\n")
    print(path, os.path.getsize(path), "bytes")


main()
