#!/usr/bin/env python3
"""The words faster-whisper finds in the jfk clip, float32 -> fw_words.json.

usage: fw_words.py MODEL_FOLDER samples/jfk.wav [OUT.json]      needs faster-whisper 1.2.1
"""

import json
import os
import sys

import ctranslate2
import faster_whisper

folder, clip = sys.argv[1:3]
path = sys.argv[3] if len(sys.argv) > 3 else os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                         "../../tests/golden/fw_words.json")
model = faster_whisper.WhisperModel(folder, device="cpu", compute_type="float32", cpu_threads=2, local_files_only=True)
segments, _ = model.transcribe(clip, language="en", temperature=0.0, word_timestamps=True)
out = {
    "made_by": f"faster-whisper {faster_whisper.__version__}, ctranslate2 {ctranslate2.__version__}",
    "segments": [{"start": float(s.start), "end": float(s.end), "words": [
        {"word": w.word, "start": float(w.start), "end": float(w.end), "probability": round(float(w.probability), 5)}
        for w in s.words]} for s in segments],
}
with open(path, "w") as f:
    json.dump(out, f)
    f.write("\n")
