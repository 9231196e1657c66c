#!/bin/sh
# GPUs that are not here: `lode plan --gpu`, what is said of them, and that nothing of CUDA is linked.
. tests/tap.sh

t4="--gpu t4 --batch-size 64 --compute-type int8 --json"
# figures WHAT...: of the last plan
figures() {
    python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))
print(*(p[k] for k in sys.argv[2:]))' "$work/out" "$@"
}

run "$lode" plan large-v3 $t4 --beam-size 1 --best-of 1
is "large-v3, batch 64, greedy, int8: status" "$status" 0
is "large-v3, batch 64, greedy, int8: fits a T4" "$(figures resolved_device fits)" "cuda True"
ok "large-v3, batch 64: about 1.5 GB of weights and 12.6 of caches" python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))
assert 1.4e9 < p["weights_bytes"] < 1.7e9 and 12e9 < p["state_bytes"] < 13.5e9, p
assert 64 <= p["largest_batch"] < 80 and p["total_bytes"] <= p["room_bytes"] < 15e9, p
assert p["total_bytes"] == sum(p[k + "_bytes"] for k in ("weights", "state", "step")), p
' "$work/out"
run "$lode" plan large-v3 $t4 --beam-size 5
is "large-v3, batch 64, beam 5: does not fit a T4" "$(figures fits)" "False"
most=$(figures largest_batch)
run "$lode" plan large-v3 --gpu t4 --batch-size "$most" --compute-type int8 --json
is "the largest batch fits" "$(figures fits largest_batch)" "True $most"
run "$lode" plan large-v3 --gpu t4 --batch-size $((most + 1)) --compute-type int8 --json
is "one more does not" "$(figures fits largest_batch)" "False $most"
for gpu in t4 a5000 a100 h200 16GiB; do
    run "$lode" plan tiny.en --device cuda --gpu $gpu --json
    is "tiny.en on $gpu" "$status $(figures fits)" "0 True"
done
run "$lode" plan large-v3 --gpu 1GiB --json
is "what fits nowhere" "$(figures fits largest_batch)" "False 0"
run "$lode" plan tiny.en --gpu t5
says "an unknown GPU" 2 't4, v100'
run "$lode" plan tiny.en --gpu 0GiB
says "no GPU" 2 'not a GPU known'
run "$lode" plan tiny.en --gpu t4 --device cpu
says "a GPU and the CPU" 2 'contradict'
run "$lode" plan tiny.en --device cuda:
says "half a device" 2 'not a device'
run "$lode" plan large-v3 --gpu t4 --batch-size 1025
says "a batch beyond reason" 2 'batch-size'

run "$lode" --version
ok "version: says for which GPUs" grep -q '^GPU: ' "$work/out"
ok "nothing of CUDA is linked" sh -c "! ldd '$lode' | grep -qi 'cuda\|nvidia\|nvrtc'"

for fault in init=34 count=0 driver=515.43.04; do
    LODE_FAKE_GPU=t4,$fault run "$lode" plan tiny.en --json
    is "auto with $fault: the CPU" "$status $(figures resolved_device)" "0 cpu"
    is "auto with $fault: one line" "$(wc -l <"$work/err")" 1
    LODE_FAKE_GPU=t4,$fault run "$lode" plan tiny.en --device cuda
    says "cuda with $fault" 7 '.'
done
LODE_FAKE_GPU=t4,vram=1GiB,used=900MiB run "$lode" plan tiny.en --device cuda
says "cuda without memory for a context" 6 'OUT_OF_MEMORY'
LODE_FAKE_GPU=t4 run "$lode" plan tiny.en --json
is "an emulated T4" "$status $(figures resolved_device fits)" "0 cuda True"
LODE_FAKE_GPU=nonsense run "$lode" plan tiny.en
ok "an unknown fake: no crash" test "$status" -lt 126
tap_end
