#!/usr/bin/env python3
"""Small Whispers of hashed weights, run by transformers in float32 -> tests/golden/NAME.safetensors.

usage: whisper2.py [whisper2|whisper_distil [OUT.safetensors]]
    whisper2        80 mels, two encoder and two decoder layers (the default)
    whisper_distil  128 mels and, as in distilled models, fewer decoder layers than encoder layers
needs torch, transformers, safetensors, numpy
(the files in the tree: torch 2.15.0 on the CPU, transformers 5.23.0; pip install in a virtual environment)

Nothing of the model is stored: the C test makes the same weights from the same names (those of
CTranslate2's model.bin) by the rules of weight(). What is stored:
  hash_check  f32 [4]            the first values of the test tensor "mel", gain 1
  tokens      i32 [S]            fed one at a time, token s at position s
  positions   i32 [S]
  layer_i     f32 [T,C]          encoder layer i's output, before the last layer norm; whisper2 alone
  encoder     f32 [T,C]          after it
  logits      f32 [S,V]          of every step
  cross       f32 [L,S,H,T]      whisper2 alone: cross-attention weights of every decoder layer and step
The input is the test tensor "mel", gain 1, as [M][2T].
"""

import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import WhisperConfig, WhisperForConditionalGeneration

import hashed

C, HEADS, LAYERS, T, POSITIONS, VOCAB, FFN = 128, 2, 2, 100, 64, 600, 512
FAMILIES = {"whisper2": (80, 2), "whisper_distil": (128, 1)}  # mels, decoder layers
NAME = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] in FAMILIES else "whisper2"
MELS, DECODER_LAYERS = FAMILIES[NAME]  # full.py sets all of these to other sizes
TOKENS = [599, 3, 42, 260, 42, 511]
NAMES = {  # ours within a layer -> transformers' (fused ones are split below)
    "self_attention/layer_norm": "self_attn_layer_norm",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}


def weight(name, shape):
    """The model's tensor of that name; the rules go by the last part of the name."""
    if name.endswith("/gamma"):
        return np.float32(1) + hashed.tensor(name, shape, 0.1)
    if name.endswith("/beta"):
        return hashed.tensor(name, shape, 0.05)
    if name.endswith("/bias"):
        bias = hashed.tensor(name, shape, 0.05)
        if name.endswith("/self_attention/linear_0/bias"):
            bias[C : 2 * C] = 0  # Whisper's keys have no bias
        elif "/attention/linear_1/bias" in name:
            bias[:C] = 0
        return bias
    if name.endswith("position_encodings/encodings"):
        return hashed.tensor(name, shape, 0.1)
    if name == "decoder/embeddings/weight":
        return hashed.tensor(name, shape, 0.5)
    return hashed.tensor(name, shape, np.float32(1.5 / np.sqrt(float(np.prod(shape[1:])))))


def norm_and_linear(out, theirs, ours, shape=None):
    if shape is None:
        out[theirs + ".weight"] = weight(ours + "/gamma", [C])
        out[theirs + ".bias"] = weight(ours + "/beta", [C])
    else:
        out[theirs + ".weight"] = weight(ours + "/weight", shape)
        out[theirs + ".bias"] = weight(ours + "/bias", shape[:1])


def fused(out, ours, theirs, parts):
    """A fused projection of ours, [len(parts) * C, C], into transformers' separate ones."""
    w = weight(ours + "/weight", [len(parts) * C, C])
    b = weight(ours + "/bias", [len(parts) * C])
    for i, part in enumerate(parts):
        out[f"{theirs}.{part}.weight"] = w[i * C : (i + 1) * C]
        if part != "k_proj":
            out[f"{theirs}.{part}.bias"] = b[i * C : (i + 1) * C]


def side_weights(side):
    out = {}
    for i in range(LAYERS if side == "encoder" else DECODER_LAYERS):
        ours, theirs = f"{side}/layer_{i}", f"model.{side}.layers.{i}"
        fused(out, ours + "/self_attention/linear_0", theirs + ".self_attn", ["q_proj", "k_proj", "v_proj"])
        norm_and_linear(out, theirs + ".self_attn.out_proj", ours + "/self_attention/linear_1", [C, C])
        if side == "decoder":
            cross = theirs + ".encoder_attn"
            fused(out, ours + "/attention/linear_0", cross, ["q_proj"])
            fused(out, ours + "/attention/linear_1", cross, ["k_proj", "v_proj"])
            norm_and_linear(out, cross + ".out_proj", ours + "/attention/linear_2", [C, C])
        for a, b in NAMES.items():
            if side == "encoder" and a.startswith("attention"):
                continue
            shape = {"ffn/linear_0": [FFN, C], "ffn/linear_1": [C, FFN]}.get(a)
            norm_and_linear(out, f"{theirs}.{b}", f"{ours}/{a}", shape)
    norm_and_linear(out, f"model.{side}.layer_norm", f"{side}/layer_norm")
    length = T if side == "encoder" else POSITIONS
    out[f"model.{side}.embed_positions.weight"] = weight(f"{side}/position_encodings/encodings", [length, C])
    return out


def model():
    config = WhisperConfig(
        d_model=C, encoder_layers=LAYERS, decoder_layers=DECODER_LAYERS, encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS, encoder_ffn_dim=FFN, decoder_ffn_dim=FFN, num_mel_bins=MELS,
        max_source_positions=T, max_target_positions=POSITIONS, vocab_size=VOCAB, dropout=0.0,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        attn_implementation="eager",
    )
    state = {**side_weights("encoder"), **side_weights("decoder")}
    norm_and_linear(state, "model.encoder.conv1", "encoder/conv1", [C, MELS, 3])
    norm_and_linear(state, "model.encoder.conv2", "encoder/conv2", [C, C, 3])
    state["model.decoder.embed_tokens.weight"] = weight("decoder/embeddings/weight", [VOCAB, C])
    net = WhisperForConditionalGeneration(config).float().eval()
    tensors = {k: torch.from_numpy(np.array(v)) for k, v in state.items()}
    left = net.load_state_dict(tensors, strict=False)
    assert not left.unexpected_keys and left.missing_keys == ["proj_out.weight"], left
    net.tie_weights()
    assert net.proj_out.weight.data_ptr() == net.model.decoder.embed_tokens.weight.data_ptr()
    return net


@torch.no_grad()
def run(net):
    mel = torch.from_numpy(hashed.tensor("mel", [1, MELS, 2 * T], 1.0))
    encoded = net.model.encoder(mel, output_hidden_states=True, output_attentions=True)
    out = {"encoder": encoded.last_hidden_state[0]}
    layers = []
    hooks = [x.register_forward_hook(lambda m, a, y: layers.append(y[0] if isinstance(y, tuple) else y))
             for x in net.model.encoder.layers]
    net.model.encoder(mel)
    for hook in hooks:
        hook.remove()
    for i, x in enumerate(layers):
        out[f"layer_{i}"] = x.reshape(T, C)
    cache, logits, cross = None, [], []
    for s, token in enumerate(TOKENS):
        y = net(encoder_outputs=encoded, decoder_input_ids=torch.tensor([[token]]), past_key_values=cache,
                use_cache=True, output_attentions=True,
                decoder_position_ids=torch.tensor([[s]]))
        cache = y.past_key_values
        logits.append(y.logits[0, 0])
        cross.append(torch.stack([x[0, :, 0] for x in y.cross_attentions]))  # [L,H,T]
    out["logits"] = torch.stack(logits)
    out["cross"] = torch.stack(cross, 1)
    whole = net(encoder_outputs=encoded, decoder_input_ids=torch.tensor([TOKENS])).logits[0]
    print("step by step against all at once:", float((whole - out["logits"]).abs().max()))
    assert (whole - out["logits"]).abs().max() < 1e-4
    return {k: np.ascontiguousarray(v.numpy()) for k, v in out.items()}, encoded.attentions


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, f"../../tests/golden/{NAME}.safetensors")
    torch.manual_seed(0)
    out, attentions = run(model())
    out["hash_check"] = hashed.tensor("mel", [4], 1.0)
    out["tokens"] = np.array(TOKENS, np.int32)
    out["positions"] = np.arange(len(TOKENS), dtype=np.int32)
    spread = out["logits"].max(1) - out["logits"].min(1)
    sharp = [float(x.max()) for x in attentions] + [float(out["cross"].max())]
    print("hash_check", out["hash_check"])
    print("logits spread", spread, "best", out["logits"].argmax(1), "largest attention weights", sharp)
    print("encoder", float(out["encoder"].std()), [float(out[f"layer_{i}"].std()) for i in range(LAYERS)])
    # A degenerate model would let wrong code pass.
    assert spread.min() > 1 and max(sharp) < 0.9 and out["cross"].max() > 0.02
    if NAME != "whisper2":
        out = {k: v for k, v in out.items() if k in ("hash_check", "tokens", "encoder", "logits")}
    for k, v in out.items():
        print(f"{k:12} {v.dtype} {list(v.shape)}")
    save_file(dict(sorted(out.items())), path)
    print(path, os.path.getsize(path), "bytes")
    assert os.path.getsize(path) <= 300 * 1024


if __name__ == "__main__":
    main()
