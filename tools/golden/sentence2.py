"""tests/golden/sentence2.json: two-layer encoders with hashed weights, as transformers computes them.

    python3 tools/golden/sentence2.py

Needs torch and transformers. The weights are those of net_sentence.c hashed_tensor: by BERT's names,
whatever the family calls them.
"""

import json

import numpy as np
import torch
import transformers as tf

from hashed import tensor

SIZES = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
             vocab_size=97, hidden_act="gelu")
LENGTHS = [1, 2, 7, 38, 19]
FAMILIES = {
    "bert": (tf.BertModel, tf.BertConfig, dict(max_position_embeddings=40, layer_norm_eps=1e-12)),
    "mpnet": (tf.MPNetModel, tf.MPNetConfig, dict(max_position_embeddings=142, layer_norm_eps=1e-5)),
    "xlm-roberta": (tf.XLMRobertaModel, tf.XLMRobertaConfig,
                    dict(max_position_embeddings=42, layer_norm_eps=1e-5, type_vocab_size=1,
                         pad_token_id=1)),
}
MPNET = {"attention.attn.q": "attention.self.query", "attention.attn.k": "attention.self.key",
         "attention.attn.v": "attention.self.value", "attention.attn.o": "attention.output.dense",
         "attention.LayerNorm": "attention.output.LayerNorm"}


def weight(name, shape):
    for theirs, ours in MPNET.items():
        name = name.replace(theirs, ours)
    norm = name.endswith("LayerNorm.weight")
    gain = 0.1 if norm else 0.05 if name.endswith(".bias") else \
        0.5 if "embeddings" in name or "relative" in name else 1.5 / np.sqrt(shape[-1])
    return torch.tensor(tensor(name, shape, gain) + np.float32(1 if norm else 0))


def main():
    out = {}
    for family, (model_of, config_of, more) in FAMILIES.items():
        model = model_of(config_of(**SIZES, **more), add_pooling_layer=False).eval()
        state = model.state_dict()
        for name in state:
            if "position_ids" not in name and "token_type_ids" not in name:
                state[name] = weight(name, tuple(state[name].shape))
        model.load_state_dict(state)
        lengths = LENGTHS + ([130] if family == "mpnet" else [])
        texts = [[3 + (7 * i * i + 13 * n + i) % 90 for i in range(n)] for n in lengths]
        mean, first = [], []
        with torch.no_grad():
            for ids in texts:
                h = model(torch.tensor([ids])).last_hidden_state[0]
                mean.append([round(float(x), 8) for x in torch.nn.functional.normalize(h.mean(0), dim=0)])
                first.append([round(float(x), 8) for x in h[0]])
        out[family] = {"tokens": texts, "mean": mean, "first": first}
    with open("tests/golden/sentence2.json", "w") as f:
        json.dump(out, f, separators=(",", ":"))


main()
