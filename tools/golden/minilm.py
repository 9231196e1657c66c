"""tests/golden/minilm_200.npy: what sentence-transformers makes of tests/golden/minilm_200.txt, f16.

    python3 tools/golden/minilm.py FOLDER     # of all-MiniLM-L6-v2

Needs sentence-transformers (6.2.0 was used). The lines are public domain film dialogue and this
tree's own documents.
"""

import sys

import numpy as np
from sentence_transformers import SentenceTransformer


def main():
    lines = open("tests/golden/minilm_200.txt").read().split("\n")[:-1]
    model = SentenceTransformer(sys.argv[1], device="cpu")
    vectors = model.encode(lines, normalize_embeddings=True, batch_size=1)
    np.save("tests/golden/minilm_200.npy", vectors.astype(np.float16))


main()
