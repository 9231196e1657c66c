#!/usr/bin/env python3
"""Subtitles of words as openai's program writes them -> cues.json.

usage: cues.py whisper/utils.py [OUT.json]      a checkout of openai/whisper; needs nothing else

A case: segments with words, options, and the srt and vtt files of WriteSRT and WriteVTT. None of the words holds
an arrow or a blank: lode differs there on purpose.
"""

import importlib.util
import io
import json
import os
import sys

spec = importlib.util.spec_from_file_location("utils", sys.argv[1])
utils = importlib.util.module_from_spec(spec)
spec.loader.exec_module(utils)

TEXTS = ["And so, my fellow Americans, ask not what your country can do for you.",
         "Ask.",
         "Übung macht den Meister, 你好 – and a-very-long-word-that-no-line-holds follows",
         "late, after a pause of seconds"]


def segments():
    out, t = [], 0.3
    for i, text in enumerate(TEXTS):
        words = []
        t += 4.2 if i == 3 else 0.0
        for k, w in enumerate(text.split()):
            length = 0.1 + 0.07 * (len(w) % 5)
            words.append(dict(word=" " + w, start=round(t, 2), end=round(t + length, 2), probability=0.5))
            t = round(t + length + (0.14 if k % 3 == 2 else 0), 2)
        out.append(dict(start=words[0]["start"], end=words[-1]["end"], text=" " + text, words=words))
    return out


OPTIONS = [{}, {"highlight_words": True}, {"max_line_width": 20}, {"max_line_width": 20, "max_line_count": 2},
           {"max_line_width": 32, "max_line_count": 1}, {"max_words_per_line": 4},
           {"max_line_width": 24, "max_line_count": 2, "highlight_words": True},
           {"max_line_width": 200, "max_line_count": 3}, {"max_words_per_line": 1}]


def write(kind, options):
    f = io.StringIO()
    kind("").write_result(dict(segments=segments()), f, dict(options))
    return f.getvalue()


out = {"made_by": "openai/whisper utils.py", "segments": segments(),
       "cases": [dict(options=o, srt=write(utils.WriteSRT, o), vtt=write(utils.WriteVTT, o)) for o in OPTIONS]}
path = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                         "../../tests/golden/cues.json")
with open(path, "w") as f:
    json.dump(out, f, ensure_ascii=False)
    f.write("\n")
print(path, os.path.getsize(path), "bytes")
