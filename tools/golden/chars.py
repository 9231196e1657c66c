"""src/text/chars_data.h: what Hugging Face's tokenizers does to single characters, asked of it.

    python3 tools/golden/chars.py >src/text/chars_data.h

Needs tokenizers (0.23.3 was used). Its tables of categories are those of an old Unicode, its lower
case that of a new one; utf8proc knows a third. What a model was trained on counts, so the sets that
differ are taken from it: dropped controls, marks, punctuation, and the lower case utf8proc lacks.
"""

import tokenizers
import unicodedata
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer


def bert(**what):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return BertNormalizer(**(off | what)).normalize_str


def ranges(members):
    out = []
    for c in sorted(members):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(name, what, rows):
    print(f"\n/* {what} */\nstatic const uint32_t {name}[][{len(rows[0])}] = {{")
    line = "   "
    for row in rows:
        item = " {" + ", ".join(f"0x{c:x}" for c in row) + "},"
        if len(line) + len(item) > 98:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def main():
    clean, strip, lower = bert(clean_text=True), bert(strip_accents=True), bert(lowercase=True)
    words = BertPreTokenizer().pre_tokenize_str
    drop, mark, sign, low = [], [], [], []
    for c in range(0x80, 0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        ch = chr(c)
        if clean(ch) == "":
            drop.append(c)
        if unicodedata.normalize("NFD", ch) == ch and strip(ch) == "":
            mark.append(c)
        if [w for w, _ in words("a" + ch + "b")] == ["a", ch, "b"]:
            sign.append(c)
        if lower(ch) != ch.lower() and len(lower(ch)) == 1:
            low.append((c, ord(lower(ch)) - c))
    steps = []
    for c, by in low:
        if steps and steps[-1][1] == c - 1 and steps[-1][2] == by & 0xFFFFFFFF:
            steps[-1][1] = c
        else:
            steps.append([c, c, by & 0xFFFFFFFF])
    print("/* Made by tools/golden/chars.py with tokenizers " + tokenizers.__version__ + ". */")
    print("/* clang-format off */")
    table("DROPPED", "Controls that clean_text drops, first and last of each range; C0 apart.", ranges(drop))
    table("MARKS", "What strip_accents drops after decomposition.", ranges(mark))
    table("SIGNS", "Punctuation, each a word of its own; ASCII apart.", ranges(sign))
    table("LOWER", "Lower case newer than Unicode " + unicodedata.unidata_version + ": first, last, step.", steps)
    print("/* clang-format on */")


main()
