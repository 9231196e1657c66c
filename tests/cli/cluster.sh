#!/bin/sh
# `lode cluster`: files in and out, what it says, what it refuses. Numbers are held to scikit-learn by
# tests/t_cluster.c.
. tests/tap.sh

awk 'BEGIN { print "a,b,c"; for (i = 0; i < 90; i++) printf "%g,%g,%g\n", i % 3 * 10 + i % 7 / 10, i % 5 / 10, i % 3 * -5 }' \
    >"$work/x.csv"
golden=tests/golden/cluster
size() { wc -c <"$1" | tr -d ' '; }

run "$lode" cluster "$work/x.csv" -k 3 --json --labels "$work/l.npy" --centers "$work/c.npy" --model "$work/m" --metrics
is "cluster: status" "$status" 0
ok "cluster: three clusters of thirty, well apart" python3 -c '
import json, sys
c = json.load(open(sys.argv[1]))
assert c["sizes"] == [30, 30, 30] and c["rows"] == 90 and c["columns"] == 3, c
assert c["scores"]["silhouette"] > 0.9 and c["found"] == 3, c' "$work/out"
is "cluster: labels are a .npy of 90 int32" "$(size "$work/l.npy")" 488
is "cluster: centres are a .npy of 3 x 3 float64" "$(size "$work/c.npy")" 200
run "$lode" cluster "$work/x.csv" --predict "$work/m" --labels "$work/p.npy" --quiet
is "predict: status" "$status" 0
ok "predict: the same labels" cmp "$work/l.npy" "$work/p.npy"
run "$lode" cluster "$work/x.csv" -k 3 --seed 0 --labels "$work/again.npy" --threads 1
ok "cluster: one thread, the same labels" cmp "$work/l.npy" "$work/again.npy"
run "$lode" cluster $golden/b_x.npy -k 8 --init $golden/kmeans_init.npy --tol 0 --json
ok "init: scikit-learn's inertia and steps" python3 -c '
import json, sys
c = json.load(open(sys.argv[1]))
assert abs(c["inertia"] - 16211.8056) < 1e-2 and c["n_iter"] == 19, c' "$work/out"
for method in minibatch gmm spectral "dbscan --eps 1 --min-samples 4"; do
    # shellcheck disable=SC2086
    run "$lode" cluster "$work/x.csv" -k 3 --method $method --standardize --pca 2 --plot "$work/plot.svg" --json
    is "$method: status" "$status" 0
    ok "$method: three clusters" python3 -c '
import json, sys
assert sorted(json.load(open(sys.argv[1]))["sizes"]) == [30, 30, 30]' "$work/out"
done
ok "plot: an SVG of 90 points" test "$(grep -c '<circle' "$work/plot.svg")" = 90
run "$lode" cluster "$work/x.csv" -k 3 --plot "$work/plot.png"
ok "plot: a PNG that others read" python3 -c '
import struct, sys, zlib
p = open(sys.argv[1], "rb").read()
assert p[:8] == b"\x89PNG\r\n\x1a\n"
at, data = 8, b""
while at < len(p):
    n, kind = struct.unpack(">I4s", p[at:at + 8])
    body = p[at + 8:at + 8 + n]
    assert zlib.crc32(kind + body) == struct.unpack(">I", p[at + 8 + n:at + 12 + n])[0]
    data += body if kind == b"IDAT" else b""
    at += 12 + n
assert len(zlib.decompress(data)) == 800 * 1001' "$work/plot.png"
run "$lode" plan cluster --rows 1000000 --dims 200 -k 100 --json
ok "plan: rows of a million and little more" python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))
assert 800e6 < p["total_bytes"] < 900e6, p' "$work/out"

awk -F, 'NR > 1 { printf "%.9ge-7,%.9ge-7,%.9ge-7\n", $1, $2, $3 }' "$work/x.csv" >"$work/small.csv"
awk -F, 'NR > 1' "$work/x.csv" >"$work/large.csv"
"$lode" cluster "$work/large.csv" -k 3 --json >"$work/large.json" 2>/dev/null
run "$lode" cluster "$work/small.csv" -k 3 --json --tol 1e-12
ok "JSON: small numbers are not rounded to 0" python3 -c '
import json, sys
small, large = (json.load(open(p)) for p in sys.argv[1:])
assert large["inertia"] > 1 and abs(small["inertia"] / (large["inertia"] * 1e-14) - 1) < 1e-6, (small, large)
assert small["tol"] == 1e-12, small' "$work/out" "$work/large.json"

printf '\357\273\2771,2\n3,4\n5,6\n9,9\n' >"$work/mark.csv"
run "$lode" cluster "$work/mark.csv" -k 2
ok "a byte order mark: all rows are there" grep -q ': 4 rows of 2 numbers' "$work/out"
ok "a byte order mark: nothing is said" test ! -s "$work/err"
printf '1.0,,3.0\n4,5,6\n7,8,9\n1,2,3\n' >"$work/gap.csv"
run "$lode" cluster "$work/gap.csv" -k 2
ok "a first line that is not all numbers is said" grep -q 'gap.csv: line 1 is taken as names: 1.0,,3.0$' "$work/err"
run "$lode" cluster "$work/gap.csv" -k 2 --quiet
ok "and not said with --quiet" test ! -s "$work/err"

gmm="plan cluster --rows 1000 --dims 200 -k 100 --method gmm --json"
run "$lode" $gmm --covariance diag
cp "$work/out" "$work/diag"
run "$lode" $gmm
ok "plan: full covariances take a matrix for every cluster" python3 -c '
import json, sys
full, diag = (json.load(open(p))["total_bytes"] for p in sys.argv[1:])
assert full - diag > 100 * 200 * 200 * 12, (full, diag)' "$work/out" "$work/diag"

# a GPU that is not here: the same labels, and the result says where they were computed
facts() {
    python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))
print(*(p[k] for k in sys.argv[2:]))' "$work/out" "$@"
}
for method in "kmeans --metrics" "gmm --covariance full" "dbscan --eps 1 --min-samples 4 --standardize"; do
    # shellcheck disable=SC2086
    run "$lode" cluster "$work/x.csv" -k 3 --method $method --device cpu --labels "$work/cpu.npy"
    # shellcheck disable=SC2086
    LODE_FAKE_GPU=t4 run "$lode" cluster "$work/x.csv" -k 3 --method $method --device cuda --labels "$work/gpu.npy" --json
    is "cuda, $method: status and device" "$status $(facts resolved_device)" "0 cuda"
    ok "cuda, $method: the CPU's labels" cmp "$work/cpu.npy" "$work/gpu.npy"
done
LODE_FAKE_GPU=t4 run "$lode" cluster "$work/x.csv" -k 3 --json
is "auto: takes the GPU" "$status $(facts resolved_device)" "0 cuda"
for fault in count=0 oom=1 oom=2+ init=999; do
    LODE_FAKE_GPU=t4,$fault run "$lode" cluster "$work/x.csv" -k 3 --labels "$work/auto.npy" --json
    is "auto with $fault: the CPU" "$status $(facts resolved_device)" "0 cpu"
    LODE_FAKE_GPU=t4,$fault run "$lode" cluster "$work/x.csv" -k 3 --device cuda
    case $fault in
    oom*) says "cuda with $fault: refused" 6 'Tesla T4: memory for .*OUT_OF_MEMORY' ;;
    count=0) says "cuda with $fault: refused" 7 'cannot be started: CUDA_ERROR_NO_DEVICE (100), no GPU' ;;
    *) says "cuda with $fault: refused" 7 'cannot be started: CUDA_ERROR_UNKNOWN (999), often nvidia-uvm is not loaded' ;;
    esac
done
LODE_FAKE_GPU=t4,sticky=700@9 run "$lode" cluster "$work/x.csv" -k 3 --device cuda
says "a fault in mid-job, of the GPU that was asked for: ends it" 7 'seed: CUDA_ERROR_ILLEGAL_ADDRESS'
LODE_FAKE_GPU=t4,sticky=700@9,report="$work/report" run "$lode" cluster "$work/x.csv" -k 3
is "a fault in mid-job: done again on the CPU" "$status" 0
ok "a fault in mid-job: it is said" grep -q 'using the cpu: .*seed: CUDA_ERROR_ILLEGAL_ADDRESS' "$work/err"
ok "a fault in mid-job: nothing leaks" grep -q 'leaked 0 ' "$work/report"
for method in kmeans dbscan gmm spectral; do
    LODE_FAKE_GPU=t4,report="$work/report" run "$lode" cluster "$work/x.csv" -k 3 --method $method --device cuda
    ok "cuda, $method: nothing leaks" grep -q 'leaked 0 ' "$work/report"
done
rm -f "$work/report"
LODE_FAKE_GPU=t4,context=320MiB,report="$work/report" run "$lode" cluster $golden/b_x.npy -k 8 --n-init 3
LODE_FAKE_GPU=t4 run "$lode" plan cluster --rows 600 --dims 10 -k 8 --n-init 3 --json
is "plan: what was allocated, to the byte" "$(sed 's/.*peak \([0-9]*\).*/\1/' "$work/report")" \
    "$((335544320 + $(facts total_bytes)))"
run "$lode" plan cluster --rows 100000 --dims 200 -k 100 --device cuda --gpu t4 --json
ok "plan for a T4: known to the byte, and it fits" python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))
assert p["fits"] and 80e6 < p["total_bytes"] < 400e6 and p["total_bytes"] % (2 << 20) == 0, p' "$work/out"
run "$lode" plan cluster --rows 20000000 --dims 200 -k 100 --device cuda --gpu t4 --json
is "plan for a T4: what does not fit" "$(facts fits)" "False"

printf '1,2\n3,4,5\n' >"$work/ragged.csv"
run "$lode" cluster "$work/ragged.csv"
says "ragged: which line" 3 'ragged.csv: line 2 has 3 numbers, the first row has 2; all rows must be as long'
printf '1,2\n\n3\n' >"$work/ragged.csv"
run "$lode" cluster "$work/ragged.csv"
says "ragged: one number" 3 'ragged.csv: line 3 has 1 number, the first row has 2; all rows must be as long'
# files that are not what they say: one sentence each
: >"$work/empty.csv"
run "$lode" cluster "$work/empty.csv"
says "an empty CSV" 3 'empty.csv: no line of numbers in 0 bytes'
printf 'PK\003\004\024\000\000\n1,2\n' >"$work/rows.npz"
run "$lode" cluster "$work/rows.npz"
says "a file of another kind" 3 'rows.npz: neither .npy nor text; rows of numbers are read as .npy, CSV or JSON lines'
printf 'a,b,c\n' >"$work/head.csv"
run "$lode" cluster "$work/head.csv"
says "a CSV of names alone" 3 'head.csv: no line of numbers in 6 bytes'
printf 'a,b\n1,2\n3,x\n' >"$work/word.csv"
run "$lode" cluster "$work/word.csv"
says "a word among numbers" 3 'word.csv: line 3, column 2: "x" is not a number'
made() { # NAME DESCR FORTRAN SHAPE BYTES: a .npy with that header and so many bytes 0 behind it
    python3 -c '
import struct, sys
name, descr, fortran, shape, count = sys.argv[1:]
head = ("{%r: %r, %r: %s, %r: %s, }" % ("descr", descr, "fortran_order", fortran, "shape", shape)).encode()
head += b" " * (117 - len(head)) + b"\n"
open(name, "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + b"\0" * int(count))' "$work/$1" "$2" "$3" "$4" "$5"
}
while read -r name descr fortran shape bytes words; do
    made made.npy "$descr" "$fortran" "$(echo "$shape" | tr _ ' ')" "$bytes"
    run "$lode" cluster "$work/made.npy" -k 1
    says "npy: $name" 3 "made.npy.*$words"
done <<'END'
huge <f8 False (4294967296,_4294967296) 96 4294967296 x 4294967296 numbers of 8 bytes are promised, 96 bytes are there
false <f4 False (400,_3) 96 400 x 3 numbers of 4 bytes are promised
cut <f8 True (4,_3) 95 4 x 3 numbers of 8 bytes are promised, 95 bytes are there; the file was cut off or is damaged
small |u1 False (4,_3) 1 4 x 3 numbers of 1 byte are promised, 1 byte is there
overflow <f8 False (99999999999999999999,_3) 96 is not a dimension
negative <f8 False (-4,_3) 96 "-4" is not a dimension
cube <f8 False (2,_2,_3) 96 more than 2 dimensions
complex <c16 False (2,_3) 96 an array of <c16
no-rows <f8 False (0,_3) 96 0 rows of 3 numbers; at least one of one is needed
END
python3 -c 'import sys; sys.stdout.buffer.write(open(sys.argv[1], "rb").read()[:40])' "$work/made.npy" >"$work/stump.npy"
run "$lode" cluster "$work/stump.npy"
says "npy: cut in its header" 3 'a header of 118 bytes in a .npy file of 40'
for flag in labels centers model; do
    run "$lode" cluster "$work/x.csv" -k 3 --$flag /dev/full
    says "disk full: --$flag" 5 'the disk is full'
done
# the same numbers in another order and in other types: the same labels
for form in '<f8 False' '<f8 True' '>f8 False' '<f4 False' '<i8 False'; do
    python3 -c '
import struct, sys
descr, fortran = sys.argv[2], sys.argv[3] == "True"
rows = [[i % 3 * 10 + i % 7, i % 5, i % 3 * -5] for i in range(90)]
flat = [r[j] for j in range(3) for r in rows] if fortran else [v for r in rows for v in r]
kind = descr[0] + {"f8": "270d", "f4": "270f", "i8": "270q"}[descr[1:]]
head = ("{%r: %r, %r: %s, %r: (90, 3), }" % ("descr", descr, "fortran_order", fortran, "shape")).encode()
head += b" " * (117 - len(head)) + b"\n"
open(sys.argv[1], "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + struct.pack(kind, *flat))' "$work/form.npy" $form
    run "$lode" cluster "$work/form.npy" -k 3 --labels "$work/form_labels.npy" --quiet
    [ -f "$work/first_labels.npy" ] || cp "$work/form_labels.npy" "$work/first_labels.npy"
    ok "npy of $form: the same labels" cmp "$work/first_labels.npy" "$work/form_labels.npy"
done

printf '1,2\n3,nan\n5,6\n' >"$work/nan.csv"
run "$lode" cluster "$work/nan.csv" -k 2
says "NaN: which row" 3 'nan.csv: row 2, column 2 is NaN; drop the row or fill it in, every number must be finite'
printf '1,2\n3,4\n' >"$work/two.csv"
run "$lode" cluster "$work/two.csv" -k 3
says "more clusters than rows" 3 'two.csv: 3 clusters of 2 rows; there cannot be more clusters than rows'
run "$lode" cluster "$work/x.csv" -k 2 --init "$work/c.npy"
says "init of another shape" 3 'c.npy has 3 rows of 3 numbers; for -k 2 it must have 2 of 3'
for option in "-m dbscan" "--eps 3" "-k 3" "--pca 2" "--seed 0" --standardize --metrics "--plot $work/p.svg" \
    "--init $work/c.npy" "--model $work/m2"; do
    # shellcheck disable=SC2086
    run "$lode" cluster "$work/x.csv" --predict "$work/m" $option
    says "predict: $option" 2 '--predict gives labels alone, by what the model was made with: leave --[a-z]* out'
done
run "$lode" cluster "$work/x.csv" --predict "$work/m" --json --device cpu --threads 1 --kernels base
is "predict: options of the machine" "$status" 0
run "$lode" cluster "$work/two.csv" --predict "$work/m"
says "predict: other columns" 3 'two.csv: rows of 2 numbers; the model was made of rows of 3'
run "$lode" cluster "$work/x.csv" --predict "$work/x.csv"
says "predict: not a model" 4 'x.csv: byte 0: neither a CTranslate2 model nor safetensors'
run "$lode" cluster "$work/none.npy"
says "no such file" 5 'none.npy: No such file or directory'
run "$lode" cluster "$work/x.csv" -m dbscan --model "$work/m2"
says "dbscan has no model" 2 'dbscan and spectral have no centres and no model to write'
run "$lode" cluster "$work/x.csv" --plot "$work/x.gif"
says "a plot of another kind" 2 '--plot takes a file .svg or .png, not ".*x.gif"'
run "$lode" cluster "$work/x.csv" -k 3 --labels "$work/no/l.npy"
says "a folder that is not there" 5 'no/l.npy: cannot be written: No such file or directory'
# before the work, which is of no use then
for flag in labels centers model; do
    run "$lode" cluster "$work/nan.csv" -k 2 --$flag "$work"
    says "--$flag at a folder" 5 'is a folder, a file is needed'
    run "$lode" cluster "$work/nan.csv" -k 2 --$flag ''
    says "--$flag without a name" 5 'the name of a file to write is empty'
    cp "$work/two.csv" "$work/own.csv"
    run "$lode" cluster "$work/own.csv" -k 2 --$flag "$work/./own.csv"
    says "--$flag at the rows" 2 "--$flag .*own.csv would replace a file that is read"
    ok "--$flag at the rows: they stay" cmp "$work/two.csv" "$work/own.csv"
done
run "$lode" cluster "$work/x.csv" -k 3 --labels "$work/one" --model "$work/one"
says "two outputs, one file" 2 '--labels and --model are one file, .*/one'
run "$lode" cluster "$work/x.csv" -k 3 --labels "$work/one" --model "$work/./one"
says "two outputs, one file by two names" 2 '--labels and --model are one file, .*/one'
ok "what is refused leaves nothing" sh -c "! ls '$work' | grep -q 'tmp-\|^one'"
tap_end
