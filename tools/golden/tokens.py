"""tests/golden/tokens.bin and the three tokenizers beside it: hostile lines of many scripts, and what
the `tokenizers` package makes of them.

    python3 tools/golden/tokens.py [LINES] [MORE.json ..]

Needs tokenizers (0.23.3 was used) and sentencepiece (for the map of characters). With other
tokenizer.json files it prints nothing into the tree but checks: build/tokens.bin then holds them.

A file is: u32 tokenizers, u32 lines; a line is u32 bytes, the bytes, and for each tokenizer u32 ids
and u64 FNV-1a over the ids as little-endian i32.
"""

import base64
import io
import json
import random
import re
import struct
import sys
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SCRIPTS = {
    "latin": (0x61, 0x7A), "latin1": (0xC0, 0xFF), "latinx": (0x100, 0x24F), "greek": (0x391, 0x3C9),
    "cyrillic": (0x410, 0x44F), "armenian": (0x531, 0x586), "hebrew": (0x5D0, 0x5EA),
    "arabic": (0x620, 0x64A), "devanagari": (0x904, 0x94D), "bengali": (0x985, 0x9CD),
    "tamil": (0xB85, 0xBCD), "telugu": (0xC05, 0xC4D), "thai": (0xE01, 0xE4E), "lao": (0xE81, 0xECD),
    "tibetan": (0xF40, 0xFB0), "georgian": (0x10A0, 0x10FF), "hangul": (0xAC00, 0xD7A3),
    "jamo": (0x1100, 0x11FF), "hiragana": (0x3041, 0x3096), "katakana": (0x30A1, 0x30FA),
    "han": (0x4E00, 0x9FFF), "hanx": (0x20000, 0x2A6DF), "vietnamese": (0x1EA0, 0x1EF9),
    "ethiopic": (0x1200, 0x135A), "cherokee": (0x13A0, 0x13F5), "deseret": (0x10400, 0x1044F),
    "emoji": (0x1F300, 0x1FAFF), "wide": (0xFF01, 0xFF9F), "signs": (0x2000, 0x2BFF),
    "marks": (0x300, 0x36F), "compat": (0xF900, 0xFB4F), "forms": (0xFB50, 0xFDFF),
}
SPACES = [" ", " ", " ", " ", "  ", "\t", "\u00a0", "\u2003", "\u3000", "\r", "\u2028", "\x0b", "\x85"]
BITS = ["[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<s>", "</s>", "<unk>", "<mask>", " <mask> ", "<pad>",
        "\x00", "\ufffd", "\u200b", "\u200d", "\ufeff", "\xad", "\u0130", "\u1e9e", "ß", "ﬁ", "Å", "Å",
        "é", "i̇", "\u2581", "▁▁", "##ing", "##", "don't", "we'll've", "'s", "x" * 120, "🧑‍🚀", "🇩🇪",
        "️", "क्षि", "각", "각", "ﷺ", "½", "①", "H₂O", "Ⅷ", "…", "--", "((", "$9.99", "a_b-c/d", "①②",
        "\r\n", "1234567", "3.14e-5", "http://a.b/c?d=e", "ÀÉÎÕÜ", "σς", "ΑΣ", "ǅ", "\U0001D54F", "\u0345"]


def words_of_tree():
    text = "".join(Path(p).read_text() for p in ("README.md", "STYLE.md", "docs/design.md"))
    return re.findall(r"\S+", text)


def word(rng, plain):
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(plain)
    if kind < 0.6:
        return rng.choice(BITS)
    lo, hi = SCRIPTS[rng.choice(list(SCRIPTS))]
    out = "".join(chr(rng.randint(lo, hi)) for _ in range(rng.randint(1, 7)))
    if rng.random() < 0.2:
        out = "".join(c + chr(rng.randint(0x300, 0x36F)) for c in out)
    form = rng.choice([None, None, "NFD", "NFC", "NFKC"])
    return unicodedata.normalize(form, out) if form else out


def make_lines(count, seed=1):
    rng, plain, lines = random.Random(seed), words_of_tree(), ["", " ", "\u3000", "a" * 5000]
    lines += BITS + ["x" + b + "y" for b in BITS] + [" ".join(BITS)]
    while len(lines) < count:
        line = ""
        for _ in range(rng.randint(1, 14)):
            line += word(rng, plain) + (rng.choice(SPACES) if rng.random() < 0.9 else "")
        if rng.random() < 0.1:
            line = "".join(chr(c) for c in (rng.randint(1, 0x10FFFF) for _ in range(30))
                           if not 0xD800 <= c < 0xE000)
        lines.append(line)
    if count > 5000:
        lines[5000:5003] = ["a" * (1 << 20), "\u00e9\u0301" * (1 << 18), "\u4e2d[MASK]" * (1 << 16)]
    return lines[:count]


def wordpiece(lines):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=2500, limit_alphabet=1000, special_tokens=special))
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t


def bpe(lines):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=1500, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    data = json.loads(t.to_str())
    data["model"]["vocab"]["<mask>"] = n = len(data["model"]["vocab"])
    data["added_tokens"].append({"id": n, "content": "<mask>", "single_word": False, "lstrip": True,
                                 "rstrip": False, "normalized": False, "special": True})
    t = Tokenizer.from_str(json.dumps(data))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True,
                                                    add_prefix_space=False)
    return t


def charsmap(rules):
    """A map of characters as SentencePiece compiles it; rules: name, or a file of its own."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb
    out = io.BytesIO()
    text = iter(["a b c d e f g h " * 20, "hello world " * 10])
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=text, model_writer=out, vocab_size=24,
                                             hard_vocab_limit=False, minloglevel=2, **rules)
    m = pb.ModelProto()
    m.ParseFromString(out.getvalue())
    return base64.b64encode(m.normalizer_spec.precompiled_charsmap).decode()


def unigram(rules):
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    t = Tokenizer(models.Unigram())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    t.train_from_iterator(words_of_tree() + ["éàü ñ", "привет мир"], trainers.UnigramTrainer(
        vocab_size=1500, special_tokens=special, unk_token="<unk>"))
    data = json.loads(t.to_str())
    data["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap(rules)}
    t = Tokenizer.from_str(json.dumps(data))
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return t


def fnv(ids):
    h = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}i", *ids):
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def refuses(t, line):
    try:
        t.encode(line)
    except TypeError:
        return True
    return False


def write(path, lines, tokenizers):
    # a text with half of a surrogate pair is none, to the package as to lode (tests/t_tokens.c)
    for line in ("a \ud800 b", "\ude00", "\ude00\ud83d"):
        assert all(refuses(t, line) for t in tokenizers), ascii(line)
    with open(path, "wb") as f:
        f.write(struct.pack("<II", len(tokenizers), len(lines)))
        for line in lines:
            raw = line.encode()
            f.write(struct.pack("<I", len(raw)) + raw)
            for t in tokenizers:
                ids = t.encode(line).ids
                f.write(struct.pack("<IQ", len(ids), fnv(ids)))


def main():
    lines = make_lines(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)
    if len(sys.argv) > 2:
        loaded = [Tokenizer.from_file(p) for p in sys.argv[2:]]
        for t in loaded:
            t.no_truncation()
            t.no_padding()
        write("build/tokens.bin", lines, loaded)
        return
    # full width letters, a ligature, a fraction of two characters, a mark that vanishes
    rules = Path("build/rules.tsv")
    rules.parent.mkdir(exist_ok=True)
    pairs = [(0xFF01 + i, (0x21 + i,)) for i in range(94)] + [
        (0xFB01, (0x66, 0x69)), (0xBD, (0x31, 0x2044, 0x32)), (0x3000, (0x20,)), (0xA0, (0x20,)),
        (0xAD, ()), (0x2460, (0x31,)), (0x212B, (0xC5,)), (0xFDFA, (0x635, 0x644, 0x649))]
    text = "".join(f"{a:X}\t{' '.join(f'{x:X}' for x in b)}\n" for a, b in pairs)
    text += "61 301\tE1\n41 30A\tC5\n"
    rules.write_text(text)
    made = [wordpiece(lines), unigram({"normalization_rule_tsv": str(rules)}), bpe(lines)]
    for name, t in zip(("wordpiece", "unigram", "bpe"), made):
        path = f"tests/golden/tokens_{name}.json"
        Path(path).write_text(json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")))
    write("tests/golden/tokens.bin", lines, made)


main()
