#!/usr/bin/env python3
"""What faster-whisper makes of tokens whose times and probabilities are given -> words.json.

usage: words.py [OUT.json]      needs faster-whisper 1.2.1 (no model)

Its own Tokenizer.split_to_word_tokens, WhisperModel.find_alignment, add_word_timestamps and get_end run on a
vocabulary of our own ("vocabulary", in GPT-2's spelling, then <|endoftext|>) and on times from a generator of
random numbers with a fixed seed. A case: text tokens of each span with its start and end, times [n + 1] in steps
of 0.02 s, probabilities, and what came out.
"""

import json
import os
import random
import sys
import types

import faster_whisper
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import WhisperModel
from faster_whisper.utils import get_end

PIECES = [" And", " so", ",", " my", " fell", "ow", " Amer", "icans", ".", " ask", " not", "?", " \"", "you", "\"",
          " (", "sic", ")", " -", "-", " can", "'t", " ", "...", "!", " $", "5", "\u4f60", "\u597d", "\u3002",
          " \u00bf", "Que", " country", ";", "\uff0c", " a", " \u201c", "\u201d"]
BYTES = [p.encode() for p in PIECES] + [b"\xe0", b"\xa4", b"\xb9", b" \xf0\x9f", b"\x98\x80", b"\xff"]


def gpt2_alphabet():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, n = {}, 0
    for b in range(256):
        table[b] = chr(b) if b in keep else chr(256 + n)
        n += b not in keep
    return table


class Bare(Tokenizer):
    """Without a file: decoding is joining bytes, as the tokenizers library does it."""

    def __init__(self, language):
        self.language_code = language
        self.tokenizer = types.SimpleNamespace(
            decode=lambda ids: b"".join(BYTES[i] for i in ids if i < len(BYTES)).decode(errors="replace"))

    eot = property(lambda self: len(BYTES))
    sot_sequence = property(lambda self: [len(BYTES) + 1])
    timestamp_begin = property(lambda self: len(BYTES) + 10)


def id_of(piece):
    return BYTES.index(piece if isinstance(piece, bytes) else piece.encode())


def run(spans, times, probabilities, language, offset, before):
    tokenizer = Bare(language)
    text = [t for s in spans for t in s["tokens"]]
    pairs = []
    for i, t in enumerate(times):  # a path that reaches token i at its time
        last = times[i + 1] if i + 1 < len(times) else t
        pairs += [(i, f) for f in range(t, max(last, t) + (last == t))] or [(i, t)]
    result = types.SimpleNamespace(text_token_probs=probabilities, alignments=pairs)
    model = types.SimpleNamespace(
        model=types.SimpleNamespace(align=lambda *a, **k: [result]), tokens_per_second=50, frames_per_second=100)
    model.find_alignment = types.MethodType(WhisperModel.find_alignment, model)
    segments = [dict(seek=offset, start=offset / 100 + s["start"], end=offset / 100 + s["end"], tokens=s["tokens"])
                for s in spans]
    WhisperModel.add_word_timestamps(model, [segments], tokenizer, None, 3000, "\"'“¿([{-",
                                     "\"'.。,，!！?？:：”)]}、", last_speech_timestamp=before)
    assert all(len(s["tokens"]) == n["tokens"].__len__() for s, n in zip(segments, spans)) and text is not None
    return dict(spans=[dict(start=round(s["start"], 6), end=round(s["end"], 6), words=[
        dict(word=w["word"], start=round(float(w["start"]), 6), end=round(float(w["end"]), 6),
             probability=round(float(w["probability"]), 6)) for w in s["words"]]) for s in segments],
        last=round(float(get_end(segments)), 6))


def case(rng, texts, language="en", offset=0, before=0.0, spread=25, pause=0):
    spans, times, t = [], [0], 0
    for text in texts:
        tokens, first = [id_of(p) for p in text], t
        for _ in tokens:
            t += rng.choice([0, 1, 5, rng.randrange(spread), rng.randrange(spread) + (pause if rng.random() < .2 else 0)])
            times.append(t)
        spans.append(dict(tokens=tokens, start=max(0, first * .02 + rng.choice([0, .3, -.2, 1.0])),
                          end=t * .02 + rng.choice([0, .3, -.2, -1.0])))
        spans[-1]["start"], spans[-1]["end"] = round(spans[-1]["start"], 2), round(spans[-1]["end"], 2)
    times = times[: sum(len(s["tokens"]) for s in spans) + 1]
    probabilities = [round(rng.random(), 4) for _ in range(len(times) - 1)]
    out = dict(language=language, offset=offset, before=before, times=times, probabilities=probabilities, given=spans)
    return dict(out, want=run([dict(s) for s in spans], times, probabilities, language, offset, before))


TEXTS = [
    ([" And", " so", ",", " my", " fell", "ow", " Amer", "icans", "."], [" ask", " not", "?", "!"]),
    ([" \"", "you", "\"", " (", "sic", ")", " can", "'t", "..."],),
    ([" ", " so", " -", "-", " my", " $", "5", ";", " a"], [" \u201c", "you", "\u201d", "."]),
    ([" \u00bf", "Que", "?", " \"", " (", "sic", ")", "\"", ","], [" country", "."]),
    ([b"\xe0", b"\xa4", b"\xb9", " so", b" \xf0\x9f", b"\x98\x80", "."],),
    ([" a", b"\xff", " so", "."], [",", " my", "."]),
    ([" And"],),
    (["."],),
    ([" so", ".", " my", ".", " a", "?"], [" And", " so"], [" can"]),
]


def main():
    rng, cases = random.Random(6), []
    for n in range(4):
        for text in TEXTS:
            cases.append(case(rng, text, offset=[0, 1234, 0, 56789][n], before=[0.0, 9.5, 0.0, 560.0][n],
                              pause=[0, 100, 200, 50][n]))
    cases.append(case(rng, (["\u4f60", "\u597d", "\u3002"], ["\u597d", "\uff0c", "\u4f60"]), "zh"))
    cases.append(case(rng, (["\u4f60", "\u597d", b"\xe0", b"\xa4", b"\xb9", "\u3002"],), "zh", 100))
    table = gpt2_alphabet()
    out = dict(made_by=f"faster-whisper {faster_whisper.__version__}",
               vocabulary=["".join(table[b] for b in t) for t in BYTES] + ["<|endoftext|>"], cases=cases)
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../tests/golden/words.json")
    with open(path, "w") as f:
        json.dump(out, f)
        f.write("\n")
    print(path, os.path.getsize(path), "bytes,", len(cases), "cases")


main()
