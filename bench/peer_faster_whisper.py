"""faster-whisper behind a pipe, run by bench/transcribe with the python that has it.

usage: peer_faster_whisper.py MODEL TYPE THREADS [FILE BEAM]
With FILE: transcribes it, prints the text and ends (a cold process). Without: loads the model, prints one
line of versions, then for every line "BEAM FILE" on stdin prints {"seconds", "text", "peak_kib"} as JSON.
"""

import json
import resource
import sys
import time

from faster_whisper import WhisperModel

folder, kind, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = WhisperModel(folder, device="cpu", compute_type=kind, cpu_threads=threads)


def text(path, beam):
    return "".join(s.text for s in model.transcribe(path, beam_size=beam, language="en")[0])


if len(sys.argv) > 4:
    print(text(sys.argv[4], int(sys.argv[5])))
    sys.exit()

import ctranslate2
import faster_whisper

print(f"faster-whisper {faster_whisper.__version__}, ctranslate2 {ctranslate2.__version__}", flush=True)
for line in sys.stdin:
    beam, path = line.rstrip("\n").split(" ", 1)
    start = time.perf_counter()
    out = text(path, int(beam))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "text": out, "peak_kib": peak}), flush=True)
