#!/bin/sh
# `--index` of `lode embed` and `lode match`: only what changed is embedded, the vectors are the same
# bits, and files that are no index of this model are refused and left as they were.
. tests/tap.sh
case $("$lode" version) in
*"SQLite: yes"*) ;;
*)
    skip "--index" "built without SQLite"
    tap_end
    ;;
esac
"$lode" pull all-MiniLM-L6-v2 >/dev/null 2>&1 </dev/null || {
    skip "all-MiniLM-L6-v2" "it is not in the cache and cannot be fetched"
    tap_end
}
lines=tests/golden/minilm_200.txt
db=$work/v.db
run "$lode" embed $lines -o "$work/plain.npy" --device cpu
run "$lode" embed $lines -o "$work/first.npy" --device cpu --index "$db"
is "a new index: exit status" "$status" 0
ok "says what is new" grep -q '0 of 200 vectors were in .*v.db, 200 are new there' "$work/err"
ok "the same vectors" cmp "$work/plain.npy" "$work/first.npy"
run "$lode" embed $lines -o "$work/again.npy" --device cpu --index "$db"
ok "again: none is embedded" grep -q '200 of 200 vectors were in .*v.db, 0 are new there' "$work/err"
ok "again: the same vectors" cmp "$work/plain.npy" "$work/again.npy"
sed '7s/.*/This line is another./; 9d' $lines >"$work/changed.txt"
run "$lode" embed "$work/changed.txt" -o "$work/changed.npy" --device cpu --index "$db"
ok "a line changed, one gone: one is embedded" grep -q '198 of 199 vectors were in .*, 1 is new there' "$work/err"
run "$lode" embed "$work/changed.txt" -o "$work/plain2.npy" --device cpu
ok "a line changed: the same vectors" cmp "$work/changed.npy" "$work/plain2.npy"
run "$lode" embed "$work/changed.txt" --device cpu --index "$db" --prefix 'query: ' -q --format csv
is "another prefix is another text" "$(wc -l <"$work/out")" 200
sum=$(cksum <"$db")

# ---- another model, other settings
run "$lode" embed $lines --device cpu --index "$db" --compute-type float32
says "float32 of an index of int8" 3 'an index of all-MiniLM-L6-v2 (int8.*); now it is float32'
run "$lode" embed $lines --device cpu --index "$db" --max-tokens 64
says "other lengths" 3 'now it is int8.*, 64 tokens'
model=$(find "${LODE_CACHE:-$HOME/.cache/lode}/models/all-MiniLM-L6-v2" -name model.safetensors | head -1)
model=${model%/model.safetensors}
mkdir "$work/m"
cp "$model"/*.json "$model"/*.txt "$model"/model.safetensors "$work/m/"
chmod u+w "$work/m/model.safetensors"
run "$lode" embed $lines --device cpu --index "$db" --model "$work/m" --max-tokens 256 -o "$work/copy.npy"
is "the same weights under another name" "$status" 0
printf '\001' | dd of="$work/m/model.safetensors" bs=1 seek=$(($(stat -c %s "$work/m/model.safetensors") - 3)) conv=notrunc 2>/dev/null
run "$lode" embed $lines --device cpu --index "$db" --model "$work/m"
says "other weights of the same shape" 3 'an index of another model (all-MiniLM-L6-v2, whose weights are not those of .*/m)'

# ---- as the index has it, unless another compute type is asked for; also where the GPU is gone
head -3 $lines >"$work/three.txt"
head -4 $lines >"$work/four.txt"
run "$lode" embed "$work/three.txt" --device cpu --index "$work/f.db" --compute-type float32 -o "$work/f.npy"
run "$lode" embed "$work/four.txt" --device cpu --index "$work/f.db" -o "$work/f.npy"
is "float32 goes on" "$status" 0
ok "float32 goes on: one is embedded" grep -q '3 of 4 vectors were in .*, 1 is new there' "$work/err"
ok "float32 goes on: says so" grep -q ', float32' "$work/err"
run "$lode" match "$work/three.txt" "$work/three.txt" --device cpu --index "$work/fm.db" --compute-type float32
run "$lode" match "$work/three.txt" "$work/four.txt" --device cpu --index "$work/fm.db"
is "float32 goes on: match" "$status" 0
ok "float32 goes on: match says so" grep -q ', float32' "$work/err"
if "$lode" --version | grep -q '^GPU: NVIDIA'; then
    LODE_FAKE_GPU=t4 run "$lode" embed "$work/three.txt" --index "$work/g.db" -o "$work/g.npy"
    ok "T4: float16" grep -q 'emulated, float16' "$work/err"
    LODE_FAKE_GPU=t4,count=0 run "$lode" embed "$work/four.txt" --index "$work/g.db" -o "$work/g.npy"
    is "the T4 is gone: exit status" "$status" 0
    ok "the T4 is gone: one is embedded" grep -q '3 of 4 vectors were in .*, 1 is new there' "$work/err"
    ok "the T4 is gone: by the CPU, not in int8" grep -q 'cpu, .*, float' "$work/err"
    run "$lode" embed "$work/four.txt" --device cpu --index "$work/g.db" --compute-type int8
    says "int8 of an index of float16" 3 '(float16.*); now it is int8'
else
    skip "the T4 is gone" "built without kernels for GPUs"
fi

# ---- files that are no index
printf 'id,text\n1,x\n' >"$work/jobs.csv"
run "$lode" embed $lines --index "$work/jobs.csv"
says "a CSV file" 3 'jobs.csv: not an index of lode'
is "it is as it was" "$(cat "$work/jobs.csv")" "$(printf 'id,text\n1,x')"
run "$lode" embed $lines --index $lines
says "the input itself" 2 'the index cannot be the input'
run "$lode" embed $lines --index "$work/x" -o "$work/x"
says "the output" 2 'the index cannot be the input or the output'
run "$lode" embed $lines --index "$work/x" -o "$work/./x"
says "the output by another name, before either is there" 2 'the index cannot be the input or the output'
sum_db=$(cksum <"$db")
run sh -c 'cd "$1" && "$2" embed "$3" --device cpu --index v.db -o ./v.db' - "$work" "$(realpath "$lode")" "$PWD/$lines"
says "the output by another name" 2 'the index cannot be the input or the output'
ln "$db" "$work/link.db"
run "$lode" embed $lines --device cpu --index "$db" -o "$work/link.db"
says "the output by a link" 2 'the index cannot be the input or the output'
rm "$work/link.db"
is "the index stays" "$(cksum <"$db")" "$sum_db"
run "$lode" embed $lines --index "$work/none/v.db"
says "no such folder" 5 'none/v.db: unable to open'
run "$lode" embed $lines --index "$work"
says "a folder" 5 'unable to open'
ok "hostile databases" python3 - "$lode" "$db" "$work" <<'EOF'
import os, shutil, sqlite3, subprocess, sys
lode, index, work = sys.argv[1:]
def refused(name, part, script, base=index):
    path = os.path.join(work, name + ".db")
    if base: shutil.copy(base, path)
    db = sqlite3.connect(path)
    db.executescript(script)
    db.commit(); db.close()
    before = open(path, "rb").read()
    r = subprocess.run([lode, "embed", "tests/golden/minilm_200.txt", "-q", "--device", "cpu", "--index", path],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = r.stderr.replace("\n", " ")
    assert r.returncode == 3 and part in said and not r.stdout, (name, r.returncode, said)
    assert open(path, "rb").read() == before, name
other = "an SQLite database, but not an index of lode"
refused("mine", other, "CREATE TABLE songs(name TEXT)", base=None)
refused("trigger", other, "CREATE TRIGGER t AFTER INSERT ON lode_vectors BEGIN DELETE FROM lode_of; END")
refused("view", other, "DROP TABLE lode_vectors; CREATE VIEW lode_vectors AS SELECT x'00' AS hash, x'00' AS vector")
refused("other_id", other, "PRAGMA application_id = 1")
refused("nobody", "does not say whose vectors it holds", "DELETE FROM lode_of")
refused("width", "an index of vectors of 385 numbers", "UPDATE lode_of SET width = 385")
refused("wide", "an index of vectors of -1 numbers", "UPDATE lode_of SET width = -1")
refused("mark", "an index of another model", "UPDATE lode_of SET mark = x''")
refused("types", "an index of vectors of 0 numbers", "UPDATE lode_of SET width = 'many', model = 5, settings = x'ff00'")
refused("short", "a vector of 8 bytes", "UPDATE lode_vectors SET vector = x'0000000000000000'")
refused("nan", "a vector that is none", "UPDATE lode_vectors SET vector = x'0000c07f' || substr(vector, 5)")
EOF
is "the index is as it was" "$(cksum <"$db")" "$sum"

# ---- killed, and two at a time
i=0
while [ $i -lt 40 ]; do
    sed "s/^/$i /" $lines
    i=$((i + 1))
done >"$work/many.txt"
"$lode" embed "$work/many.txt" -q --device cpu --index "$work/k.db" -o "$work/k.npy" 2>/dev/null &
pid=$!
sleep 1.5
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
ok "killed: nothing half written under the name" test ! -e "$work/k.npy" -o "$(stat -c %s "$work/k.npy" 2>/dev/null || echo 0)" -gt 12000000
"$lode" embed "$work/many.txt" --device cpu --index "$work/k.db" -o "$work/k1.npy" 2>"$work/err1" &
pid=$!
"$lode" embed "$work/many.txt" --device cpu --index "$work/k.db" -o "$work/k2.npy" 2>"$work/err2"
is "two at a time: one" $? 0
wait $pid
is "two at a time: the other" $? 0
ok "two at a time: the same vectors" cmp "$work/k1.npy" "$work/k2.npy"

# ---- match
printf '{"id": "a", "text": "Night nurse wanted. Apply now!"}\n{"id": "b", "text": "Beekeepers wanted"}\n' >"$work/jobs.jsonl"
echo "A beekeeper looks for work." >"$work/cv.txt"
run "$lode" match "$work/cv.txt" "$work/jobs.jsonl" -k 1 --index "$work/j.db"
ok "match: keeps the targets" grep -q '0 of 2 passages of the targets were in .*, 2 are new there' "$work/err"
cp "$work/out" "$work/out1"
run "$lode" match "$work/cv.txt" "$work/jobs.jsonl" -k 1 --index "$work/j.db"
ok "match: and finds them" grep -q '2 of 2 passages of the targets were in .*, 0 are new there' "$work/err"
ok "match: the same" cmp "$work/out" "$work/out1"
run "$lode" match "$work/cv.txt" "$work/jobs.jsonl" --index "$work/jobs.jsonl"
says "match: an index that is an input" 2 'the index cannot be an input or the output'
run "$lode" match "$work/cv.txt" "$work/jobs.jsonl" --index "$work/j.db" -o "$work/./j.db"
says "match: an index that is the output" 2 'the index cannot be an input or the output'
cp "$(realpath "$lode")" "$work/lode"
run "$work/lode" match "$work/cv.txt" "$work/jobs.jsonl" --index "$work/j.db"
says "without the module" 10 'lode-index.so was not built or installed'
tap_end
