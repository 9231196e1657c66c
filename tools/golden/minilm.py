"""tests/golden/minilm_200.npy: what sentence-transformers makes of tests/golden/minilm_200.txt, f16.

    python3 tools/golden/minilm.py FOLDER     # of all-MiniLM-L6-v2
    python3 tools/golden/minilm.py FOLDER LODE WORK     # make golden-full: checks LODE on 1,000 lines

Needs sentence-transformers (6.2.0 was used). The lines are public domain film dialogue and this
tree's own documents.
"""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

# least cosine, agreement of the ten nearest: what is promised
BARS = {"float32": (0.9999, 0.999), "int8": (0.98, 0.94)}


def golden_lines():
    return Path("tests/golden/minilm_200.txt").read_text().split("\n")[:-1]


def thousand():
    """The 200 lines, then paragraphs and lines of this tree's documents, all different."""
    texts = [p.read_text() for p in sorted([*Path("docs").glob("*.md"), *Path(".").glob("*.md")])]
    more = {" ".join(p.split()) for t in texts for p in t.split("\n\n")} | {x.strip() for t in texts for x in t.split("\n")}
    more = sorted(x for x in more - set(golden_lines()) if len(x) > 30)
    random.Random(1).shuffle(more)
    lines = golden_lines() + more[:800]
    assert len(lines) == 1000, len(lines)
    return lines


def nearest(x):
    likeness = x @ x.T
    np.fill_diagonal(likeness, -2)
    return [set(r) for r in np.argpartition(-likeness, 10)[:, :10]]


def check(model, lode, work):
    lines = thousand()
    want = model.encode(lines, normalize_embeddings=True).astype(np.float64)
    Path(work, "lines.txt").write_text("".join(x + "\n" for x in lines))
    near = nearest(want)
    for kind, bar in BARS.items():
        out = f"{work}/{kind}.npy"
        subprocess.run([lode, "embed", f"{work}/lines.txt", "-o", out, "--compute-type", kind, "--device", "cpu"], check=True)
        got = np.load(out).astype(np.float64)
        cosine = np.sum(got * want, 1) / np.linalg.norm(got, axis=1)
        same = np.mean([len(a & b) / 10 for a, b in zip(nearest(got), near)])
        print(f"all-MiniLM-L6-v2, {kind}, {len(lines)} lines: cosine to sentence-transformers: median "
              f"{np.median(cosine):.6f}, least {cosine.min():.6f}; of the ten nearest the same {100 * same:.2f} %")
        assert cosine.min() >= bar[0] and same >= bar[1], f"{kind}: least cosine and agreement must be {bar}"


def main():
    model = SentenceTransformer(sys.argv[1], device="cpu")
    if len(sys.argv) > 2:
        check(model, *sys.argv[2:])
        return
    vectors = model.encode(golden_lines(), normalize_embeddings=True, batch_size=1)
    np.save("tests/golden/minilm_200.npy", vectors.astype(np.float16))


main()
