#!/usr/bin/env python3
"""When tokens begin, by transformers' median filter and dynamic time warping -> align.json.

usage: align.py [OUT.json]      needs torch and transformers

The weights are hashed (hashed.py): head h of case c is tensor("align/c/h", [rows, frames], 1), made positive by
the exponential of `sharp` times it. Where a case says so a run of frames is the same for all tokens (deviation 0,
and so costs of 0: ties).
"""

import json
import os
import sys

import numpy as np
import torch
import transformers
from transformers.models.whisper.generation_whisper import _dynamic_time_warping, _median_filter

from hashed import tensor

CASES = [  # heads, rows, from, frames, sharp, first and last of the frames that are the same for all
    (1, 3, 1, 1, 1.0, 0, 0),
    (2, 5, 1, 3, 1.0, 0, 0),
    (1, 4, 1, 4, 2.0, 0, 0),
    (3, 9, 1, 40, 3.0, 0, 0),
    (2, 12, 3, 75, 3.0, 20, 50),
    (6, 40, 1, 300, 4.0, 100, 110),
    (1, 30, 3, 12, 2.0, 0, 0),  # more tokens than frames
    (2, 6, 1, 25, 1.0, 0, 25),  # nothing to go by
]


def times(number, case):
    heads, rows, start, frames, sharp, same_from, same_to = case
    w = np.stack([tensor(f"align/{number}/{h}", (rows, frames), 1.0) for h in range(heads)])
    w = np.exp(np.float32(sharp) * w).astype(np.float32)
    w = torch.from_numpy(w).double()
    w[:, :, same_from:same_to] = 0.0  # shares of 0 are the same whatever the sum is
    w = w / torch.clamp(w.sum(-1, keepdim=True), min=1e-30)
    std, mean = torch.std(w, dim=-2, keepdim=True, unbiased=False), torch.mean(w, dim=-2, keepdim=True)
    w = torch.where(std > 0, (w - mean) / std, torch.zeros_like(w))
    w = _median_filter(w, 7) if frames > 3 else w
    text, time = _dynamic_time_warping(-w.mean(dim=0)[start:-1].numpy())
    jumps = np.pad(np.diff(text), (1, 0), constant_values=1).astype(bool)
    return [int(t) for t in time[jumps]]


out = {
    "made_by": f"transformers {transformers.__version__}, torch {torch.__version__}",
    "cases": [dict(zip(("heads", "rows", "from", "frames", "sharp", "same_from", "same_to"), c), times=times(i, c))
              for i, c in enumerate(CASES)],
}
path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                        "../../tests/golden/align.json")
with open(path, "w") as f:
    json.dump(out, f)
    f.write("\n")
for c in out["cases"]:
    print(c)
