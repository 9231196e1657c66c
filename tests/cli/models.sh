#!/bin/sh
# `lode pull`, `models`, `rm`, `plan`, `convert`: the cache, and figures that are known beforehand.
. tests/tap.sh

run "$lode" plan tiny.en --json
is "plan: status" "$status" 0
ok "plan: the sum is the sum" python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))
parts = {k: n for k, n in p.items() if k.endswith("_bytes") and k != "total_bytes"}
assert {"weights_bytes", "state_bytes", "step_bytes"} <= set(parts), p
assert all(n > 0 for n in parts.values()) and p["total_bytes"] == sum(parts.values()), p
assert p["beam_size"] == 5, p' "$work/out"
for model in all-MiniLM-L6-v2 all-mpnet-base-v2; do
    run "$lode" plan $model --device cpu --compute-type float32
    is "plan: $model" "$status" 0
    ok "plan: $model, its tokens" grep -q "a text has at most" "$work/out"
done
is "plan: all-mpnet-base-v2, f32 weights of 108.6 million numbers" \
    "$(awk '$1 == "weights" { print ($2 > 413 && $2 < 417) }' "$work/out")" 1
run "$lode" plan all-MiniLM-L6-v2 --gpu t4
ok "plan: an encoder on a GPU" grep -q '^all-MiniLM-L6-v2 on cuda (Tesla T4' "$work/out"
run "$lode" plan all-MiniLM-L6-v2 --device cpu --targets 100000 --json
ok "plan: a search on the CPU, with its copy in int8" python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))
base = 100000 * 384 * 4
assert 1.25 * base < p["search_bytes"] < 1.3 * base, p
assert p["total_bytes"] == p["weights_bytes"] + p["state_bytes"] + p["step_bytes"] + p["search_bytes"], p' "$work/out"
run "$lode" plan tiny.en --targets 5
says "plan: targets of a model of speech" 2 'tiny.en is no model of texts'
run "$lode" plan --route en=tiny.en:float32,default=medium --device cpu --json
is "plan: a route" "$status" 0
ok "plan: a route, every model as it would be alone" python3 -c '
import json, subprocess, sys
p = json.load(open(sys.argv[1]))
alone = [json.loads(subprocess.check_output([sys.argv[2], "plan", *words.split(), "--device", "cpu", "--json"]))
         for words in ("tiny.en --compute-type float32", "medium")]
assert p["models"] == alone, p
assert p["total_bytes"] == sum(m["total_bytes"] for m in alone), p' "$work/out" "$lode"
run "$lode" plan --route default=all-MiniLM-L6-v2
says "plan: a route to a model of text" 2 'is no model of speech'
run "$lode" plan --route de=tiny
says "plan: a route without a default" 2 'no default=MODEL'
run "$lode" plan tiny --route default=tiny
says "plan: a route and a model" 2 'cannot be had with MODEL'
run "$lode" plan
says "plan: of nothing" 2 'a MODEL, cluster, or --route'
run "$lode" plan tiny.e
says "plan: unknown model" 4 'tiny.en'
run "$lode" pull tiny.e --offline
is "pull: unknown model" "$status" 4
LODE_CACHE=$work/cache run "$lode" models --json
ok "models: an empty cache is an empty list" python3 -c '
import json, sys
said = json.load(open(sys.argv[1]))
assert not (said["models"] if isinstance(said, dict) else said), said' "$work/out"
LODE_CACHE=$work/cache run "$lode" rm tiny.en
says "rm: what is not there" 4 'tiny.en'
mkdir "$work/folder"
echo no >"$work/folder/model.bin"
LODE_CACHE=$work/cache run "$lode" pull "$work/folder"
says "pull: a folder without a model in it" 4 'model.bin'
run "$lode" convert "$work/folder" -o "$work/out.safetensors"
says "convert: not a model" 4 'model.bin'
ok "convert: nothing written" test ! -e "$work/out.safetensors"

need_model "models: with the real one" || tap_end
run "$lode" models
ok "models: names it" grep -q 'tiny\.en' "$work/out"
run "$lode" pull tiny.en
is "pull again: status" "$status" 0
run "$lode" convert tiny.en --compute-type int8 -o "$work/small.safetensors"
is "convert: status" "$status" 0
ok "convert: smaller" test "$(stat -c %s "$work/small.safetensors")" -lt 50000000
run "$lode" transcribe --model "$work/small.safetensors" --beam-size 1 samples/jfk.wav
ok "convert: transcribes" grep -q 'fellow Americans' "$work/out"
run "$lode" plan "$work/small.safetensors" --json
is "convert: plans" "$status" 0
tap_end
