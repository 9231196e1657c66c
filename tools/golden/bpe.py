#!/usr/bin/env python3
"""Writes tests/golden/bpe_tiny_en.txt: what Hugging Face tokenizers makes of hostile text.

    python3 tools/golden/bpe.py MODEL_FOLDER [CASES] > tests/golden/bpe_tiny_en.txt

MODEL_FOLDER holds the tokenizer.json and vocabulary.txt of tiny.en. Made with tokenizers 0.23.3.
A line is a case, its fields separated by spaces:
    e TEXT ID ...    TEXT (UTF-8 in hex, "-" if empty) is encoded to these ids
    d TEXT ID ...    these ids are decoded to TEXT, broken characters being U+FFFD
Added tokens are taken out of the tokenizer first: in text, "<|endoftext|>" is what a user wrote.
"""
import json
import random
import sys

from tokenizers import Tokenizer

SCRIPTS = [  # twenty, by ranges whose characters are old (Unicode versions differ on new ones)
    (0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F), (0x391, 0x3A1), (0x3B1, 0x3C9), (0x410, 0x44F),
    (0x561, 0x586), (0x5D0, 0x5EA), (0x627, 0x64A), (0x915, 0x939), (0x995, 0x9A8), (0xB85, 0xB8A),
    (0xE01, 0xE30), (0x10D0, 0x10F0), (0x1200, 0x1206), (0x1780, 0x17A2), (0x3041, 0x3096),
    (0x30A1, 0x30FA), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0x10400, 0x1044F), (0x20000, 0x2A6D6),
]
DIGITS = [0x30, 0x39, 0xB2, 0xBD, 0x661, 0x967, 0x2160, 0x2460, 0x3007, 0xFF11, 0x1D7CE]
SPACES = [9, 10, 11, 12, 13, 32, 32, 32, 0x85, 0xA0, 0x1680, 0x2000, 0x2003, 0x200A, 0x2028, 0x2029,
          0x202F, 0x205F, 0x3000]
NEARLY_SPACES = [0x1C, 0x1F, 0x180E, 0x200B, 0x200D, 0x2060, 0xFEFF]
MARKS = [0x300, 0x301, 0x308, 0x327, 0x64B, 0x93E, 0x94D, 0xE31, 0x20DD, 0xFE0F]
SIGNS = [ord(c) for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡«»€₹※→∀■♪「」『』、。…‘’“”"]
PIECES = [
    "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "’s", "''", "'", "don't", "we'll've",
    "<|endoftext|>", "<|startoftranscript|>", "<|0.00|>", "<|en|>", "Ġ", "Ċ", "Ã", "\r\n", "\n\n",
    "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇮🇳", "❤️", "e\u0301", "\u0000", "\u0007", "\u001b[31m", "\u007f", "\ufffd",
    "\ufffe", "\U0010ffff", "http://a.b/c?d=e", "1,234.56", "3½", "x²", "naïve", "Straße", "ﬁ", "İ",
    "the", " the", "  the", "\tthe", "\u00a0the", "I", " I've", "OK", "♪♪♪", "--", " -", "...",
]


def line(r):
    """A text of a few characters from everywhere."""
    def run(ranges):
        low, high = r.choice(ranges)
        return "".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 9)))

    makers = [
        lambda: run(SCRIPTS), lambda: run(SCRIPTS), lambda: r.choice(PIECES),
        lambda: chr(r.choice(SPACES)) * r.choice([1, 1, 1, 2, 5]), lambda: " ",
        lambda: chr(r.choice(DIGITS)) * r.randint(1, 4), lambda: str(r.randint(0, 10**6)),
        lambda: chr(r.choice(SIGNS)) * r.choice([1, 1, 2, 7]), lambda: chr(r.choice(MARKS)),
        lambda: chr(r.choice(NEARLY_SPACES)), lambda: chr(r.randint(0, 0x7F)),
        lambda: chr(r.randint(0x1F300, 0x1F5FF)),
    ]
    return "".join(r.choice(makers)() for _ in range(r.randint(1, 9)))


FIXED = PIECES + [chr(c) for c in range(128)] + [
    "", " ", "  ", "\n ", " \n", "a ", "a  ", " a", "  a", " \ta", "\t a", "a \n b", "a\r\nb\r\n",
    "And so, my fellow Americans: ask not what your country can do for you.",
    "a" * 300, "ab" * 150, " " * 300, " " * 300 + "x", "é" * 100, "漢" * 100, "\u0301" * 100,
    "0" * 100, "=" * 100, "\n" * 100, "👩‍👩‍👧‍👦" * 20,
]


def hexed(text):
    return text.encode("utf-8").hex() or "-"


def main():
    folder, cases = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 700
    with open(folder + "/tokenizer.json", encoding="utf-8") as f:
        spec = json.load(f)
    spec["added_tokens"], spec["post_processor"] = [], None
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    r = random.Random(3)
    for text in FIXED + [line(r) for _ in range(cases)]:
        print("e", hexed(text), *tokenizer.encode(text, add_special_tokens=False).ids)
    for _ in range(cases // 4):  # most ids are whole words: draw many from the 256 bytes
        ids = [r.choice([r.randint(0, 255), r.randint(94, 255), r.randint(0, 50255)])
               for _ in range(r.randint(1, 12))]
        print("d", hexed(tokenizer.decode(ids)), *ids)


main()
