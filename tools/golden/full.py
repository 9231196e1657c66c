#!/usr/bin/env python3
"""A Whisper of a published size with hashed weights, run and saved by transformers.

usage: full.py SIZE FOLDER      SIZE: tiny, base, small, medium, large-v3, turbo, distil-large-v3, or with .en
FOLDER/f32, f16, bf16        the model as save_pretrained writes it, in several files where it is large
FOLDER/expected.safetensors  encoder f32 [T,C], tokens i32 [20], logits f32 [20,V] of the f32 model
The input is the test tensor "mel", gain 1, as [M][2T]; see whisper2.py for the weights.
"""

import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

import hashed
import whisper2

SIZES = {  # width, encoder layers, decoder layers, mels, vocabulary
    "tiny": (384, 4, 4, 80, 51865),
    "base": (512, 6, 6, 80, 51865),
    "small": (768, 12, 12, 80, 51865),
    "medium": (1024, 24, 24, 80, 51865),
    "large-v3": (1280, 32, 32, 128, 51866),
    "turbo": (1280, 32, 4, 128, 51866),
    "distil-large-v3": (1280, 32, 2, 128, 51866),
}


@torch.no_grad()
def run(net):
    mel = torch.from_numpy(hashed.tensor("mel", [1, whisper2.MELS, 2 * whisper2.T], 1.0))
    encoded = net.model.encoder(mel)
    tokens = [(7919 * i + 13) % 50257 for i in range(20)]
    cache, logits = None, []
    for s, token in enumerate(tokens):
        y = net(encoder_outputs=encoded, decoder_input_ids=torch.tensor([[token]]), past_key_values=cache,
                use_cache=True, decoder_position_ids=torch.tensor([[s]]))
        cache = y.past_key_values
        logits.append(y.logits[0, 0])
    return {"encoder": encoded.last_hidden_state[0].numpy(), "logits": torch.stack(logits).numpy(),
            "tokens": np.array(tokens, np.int32)}


def main():
    size, folder = sys.argv[1:3]
    english = size.endswith(".en")
    width, layers, decoder_layers, mels, vocab = SIZES[size.removesuffix(".en")]
    whisper2.C, whisper2.HEADS, whisper2.FFN = width, width // 64, 4 * width
    whisper2.LAYERS, whisper2.DECODER_LAYERS, whisper2.MELS = layers, decoder_layers, mels
    whisper2.T, whisper2.POSITIONS, whisper2.VOCAB = 1500, 448, vocab - english
    net = whisper2.model()
    out = run(net)
    os.makedirs(folder)
    save_file(out, os.path.join(folder, "expected.safetensors"))
    for name, dtype in ("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16):
        net.to(dtype).save_pretrained(os.path.join(folder, name), max_shard_size="50MB" if name == "f32" else "5GB")
        if name == "f16":
            net = whisper2.model()  # rounded once, not twice
    print(size, sum(p.numel() for p in net.parameters()), "parameters; logits spread",
          float(out["logits"].max() - out["logits"].min()))


main()
