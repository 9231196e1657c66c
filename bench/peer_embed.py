"""The peers of bench/embed, in a process of their own: reads a request a line, answers with a line of JSON.

    PYTHON bench/peer_embed.py FOLDER            models and files made for the peers are kept in FOLDER

A request is {"do": NAME, ..}: a function below, with what it reads of r. E is torch (sentence-transformers), ort or ort-int8: onnxruntime, its graph fused by the optimizer of
onnxruntime.transformers and, of int8, quantised by quantize_dynamic. Tokenizing is counted."""

import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np

HOME = sys.argv[1]
HELD = {}


def make_mpnet(folder, minilm):
    """The shape of all-mpnet-base-v2 with random weights, and the vocabulary of MiniLM."""
    import shutil
    import torch
    from transformers import MPNetConfig, MPNetModel
    torch.manual_seed(1)
    MPNetModel(MPNetConfig(vocab_size=30527, max_position_embeddings=514, layer_norm_eps=1e-5),
               add_pooling_layer=False).save_pretrained(folder)
    for name in ("tokenizer.json", "vocab.txt", "modules.json", "tokenizer_config.json"):
        if os.path.exists(os.path.join(minilm, name)):
            shutil.copy(os.path.join(minilm, name), folder)
    os.makedirs(os.path.join(folder, "1_Pooling"), exist_ok=True)
    with open(os.path.join(folder, "1_Pooling", "config.json"), "w") as f:
        json.dump({"word_embedding_dimension": 768, "pooling_mode_mean_tokens": True}, f)
    with open(os.path.join(folder, "sentence_bert_config.json"), "w") as f:
        json.dump({"max_seq_length": 384, "do_lower_case": False}, f)


def onnx_path(folder, kind):
    return os.path.join(HOME, os.path.basename(folder) + ("-int8" if kind == "ort-int8" else "") + ".onnx")


def make(r):
    folder = r["model"]
    if os.path.basename(folder) == "mpnet" and not os.path.exists(os.path.join(folder, "model.safetensors")):
        make_mpnet(folder, r["minilm"])
    plain, fused, int8 = onnx_path(folder, "plain") + ".plain", onnx_path(folder, "ort"), onnx_path(folder, "ort-int8")
    if os.path.exists(int8):
        return {}
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    from transformers import AutoModel
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask"] + ([] if "mpnet" in folder else ["token_type_ids"])

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *x):
            return self.model(**dict(zip(names, x))).last_hidden_state

    x = torch.ones(2, 9, dtype=torch.int64)
    with torch.no_grad():
        torch.onnx.export(Net(), tuple([x] * len(names)), plain, input_names=names, output_names=["h"], opset_version=17,
                          dynamic_axes={n: {0: "b", 1: "t"} for n in names + ["h"]}, dynamo=False)
    c = model.config
    o = optimizer.optimize_model(plain, model_type="bert", num_heads=c.num_attention_heads, hidden_size=c.hidden_size)
    o.save_model_to_file(fused)
    quantize_dynamic(fused, int8, weight_type=QuantType.QInt8,
                     extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    os.remove(plain)
    return {"fused": {k: v for k, v in o.get_fused_operator_statistics().items() if v}}


def tokenizer(folder):
    from tokenizers import Tokenizer
    if folder not in HELD:
        with open(os.path.join(folder, "sentence_bert_config.json")) as f:
            most = json.load(f)["max_seq_length"]
        t = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        t.enable_padding()
        t.enable_truncation(most)
        HELD[folder] = t
    return HELD[folder]


def encoder(r):
    key = (r["engine"], r["model"], r["threads"])
    if key in HELD:
        return HELD[key]
    if r["engine"] == "torch":
        import torch
        from sentence_transformers import SentenceTransformer
        torch.set_num_threads(r["threads"])
        m = HELD.get(("torch", r["model"])) or SentenceTransformer(r["model"], device="cpu")
        HELD[("torch", r["model"])] = m
        return lambda texts, b: m.encode(texts, batch_size=b, show_progress_bar=False, normalize_embeddings=True)
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads = r["threads"], 1
    s = ort.InferenceSession(onnx_path(r["model"], r["engine"]), o, providers=["CPUExecutionProvider"])
    names, tok = [i.name for i in s.get_inputs()], tokenizer(r["model"])

    def encode(texts, b):
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        out = np.empty((len(texts), int(s.get_outputs()[0].shape[-1])), np.float32)
        for i in range(0, len(texts), b):
            at = order[i:i + b]
            e = tok.encode_batch([texts[j] for j in at])
            ids, mask = (np.array([getattr(x, k) for x in e], np.int64) for k in ("ids", "attention_mask"))
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            h = s.run(None, {k: feed[k] for k in names})[0]
            v = (h * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
            out[at] = v / np.linalg.norm(v, axis=1, keepdims=True)
        return out

    HELD[key] = encode
    return encode


def rate(r):
    with open(r["file"]) as f:
        texts = f.read().split("\n")[:-1][:r.get("texts")]
    encode = encoder(r)
    if r.get("warm"):
        encode(texts[:r["batch"]], r["batch"])
    start = time.perf_counter()
    v = encode(texts, r["batch"])
    seconds = time.perf_counter() - start
    if "save" in r:
        np.save(r["save"], v)
    return {"rate": len(texts) / seconds, "seconds": seconds}


def documents():
    import glob
    for p in sorted(glob.glob("/usr/share/common-licenses/*")) + sorted(glob.glob("/usr/share/doc/*/README")):
        try:
            with open(p, encoding="utf8") as f:
                yield f.read()
        except (UnicodeDecodeError, OSError):
            pass


def texts(r):
    """Texts of r.tokens, cut at the ends of words, or with 0 1,000 paragraphs in no order, to a file, one a line."""
    import random
    if r["tokens"] == 0:
        out = [" ".join(p.split()) for d in documents() for p in d.split("\n\n")]
        out = sorted({p for p in out if 20 <= len(p) <= 1500})
        random.Random(1).shuffle(out)
        out = out[:1000]
    else:
        t = tokenizer(r["model"])
        words = [w for d in documents() for w in d.split()][:60000]
        sizes = [sum(x.attention_mask) - 2 for x in t.encode_batch(words)]
        out, at, n = [[]], 0, 2
        while len(out) <= r.get("texts", 512):
            if n + sizes[at] > r["tokens"]:
                out.append([])
                n = 2
            if 2 + sizes[at] <= r["tokens"]:
                out[-1].append(words[at])
                n += sizes[at]
            at = (at + 1) % len(words)
        out = [" ".join(x) for x in out[:-1]]
    with open(r["file"], "w") as f:
        f.write("".join(x + "\n" for x in out))
    return {}


def vectors(r):
    """Unit vectors that crowd as those of texts do: 200 centres, and noise as large."""
    random = np.random.default_rng(1)
    centres = random.standard_normal((200, 384), np.float32)
    for name, n in (("base", 100000), ("query", 1000)):
        v = centres[random.integers(0, 200, n)] + random.standard_normal((n, 384), np.float32)
        np.save(r[name], v / np.linalg.norm(v, axis=1, keepdims=True))
    return {}


def same(r):
    mine, theirs = np.fromfile(r["mine"], np.int32), np.load(r["theirs"])
    mine = mine.reshape(theirs.shape)
    return {"same": float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(mine, theirs)]))}


def search(r):
    import faiss
    base, query = np.load(r["base"]), np.load(r["query"])
    faiss.omp_set_num_threads(r["threads"])
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(base)
    start = time.perf_counter()
    rows = index.search(query, r["top"])[1]
    seconds = time.perf_counter() - start
    np.save(r["save"], rows)
    return {"seconds": seconds}


for line in sys.stdin:
    request = json.loads(line)
    with open(os.devnull, "w") as sys.stdout:
        answer = {"make": make, "rate": rate, "faiss": search, "texts": texts, "vectors": vectors,
                  "same": same}[request["do"]](request)
    sys.stdout = sys.__stdout__
    print(json.dumps(answer), flush=True)
