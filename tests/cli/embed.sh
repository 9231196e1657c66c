#!/bin/sh
# `lode embed` as a user meets it: bad inputs without a model, the real all-MiniLM-L6-v2 against
# sentence-transformers, forms in and out, company and threads.
. tests/tap.sh
export LC_ALL=C

# ---- what is refused before any model is looked for
printf 'a\n\377\n' >"$work/latin.txt"
printf 'text,b\n1\n' >"$work/short.csv"
printf 'name\nx\n' >"$work/other.csv"
printf '{"text": "a"}\n{"text": 1\n' >"$work/bad.jsonl"
run "$lode" embed "$work/latin.txt"
says "not UTF-8" 3 'line 2: not UTF-8'
run "$lode" embed "$work/short.csv"
says "a record with too few fields" 3 'line 2: 1 field, the header has 2'
run "$lode" embed "$work/other.csv"
says "no such column" 3 'line 2: there is no text in "text"'
run "$lode" embed "$work/bad.jsonl"
says "JSON cut short" 3 'line 2: JSON'
printf 'text\na\n"never closed\n' >"$work/open.csv"
run "$lode" embed "$work/open.csv"
says "a quote that is not closed" 3 'line 3: a quote is not closed'
{
    echo a
    head -c 100000000 /dev/zero | tr '\0' a
} >"$work/long.txt"
run "$lode" embed "$work/long.txt"
says "a line of 100 MB" 3 'line 2: 100000000 bytes; at most 67108864 are read'
rm "$work/long.txt"
run "$lode" embed "$work"
says "a folder of something else" 3 'lode reads a folder of .*which this is not'
if [ "$(id -u)" -ne 0 ]; then
    : >"$work/closed.txt"
    chmod 0 "$work/closed.txt"
    run "$lode" embed "$work/closed.txt"
    says "a file that may not be read" 5 'closed.txt: Permission denied'
else
    skip "a file that may not be read" "root reads all"
fi
run "$lode" embed "$work/none.txt"
says "no such file" 5 'none.txt'
run "$lode" embed "$work/latin.txt" -o "$work/latin.txt"
says "-o on the input" 2 'overwrite the input'
run "$lode" embed "$work/other.csv" --field name --model "$work"
says "a folder without a model" 4 'no model in this folder'

"$lode" pull all-MiniLM-L6-v2 >/dev/null 2>&1 </dev/null || {
    skip "all-MiniLM-L6-v2" "it is not in the cache and cannot be fetched"
    tap_end
}
lines=tests/golden/minilm_200.txt
above() { # NAME A B MEDIAN LEAST SAME: cosines and agreement are at least these
    # shellcheck disable=SC2046
    ok "$1" awk -v m="$4" -v l="$5" -v s="$6" 'BEGIN { exit !(ARGV[1] >= m && ARGV[2] >= l && ARGV[3] >= s) }' \
        $(python3 tests/cli/npy.py "$2" "$3")
}

# ---- against sentence-transformers
run "$lode" embed $lines -o "$work/f32.npy" --compute-type float32
is "f32: exit status" "$status" 0
ok "f32: says what ran where" grep -q 'cpu.*float32' "$work/err"
above "f32: 200 lines as sentence-transformers has them" "$work/f32.npy" tests/golden/minilm_200.npy 0.99999 0.9999 0.999
run "$lode" embed $lines -o "$work/i8.npy" --device cpu
above "int8: near them" "$work/i8.npy" tests/golden/minilm_200.npy 0.998 0.98 0.94
run "$lode" embed $lines -o "$work/profiled.npy" --device cpu --profile
ok "profile: products have a rate" grep -Eq '^lode: encode +\*\.up +[0-9]+ +[0-9.]+ ms +[0-9.]+ % +[1-9][0-9]* ' "$work/err"
ok "profile: changes nothing" cmp "$work/i8.npy" "$work/profiled.npy"
run "$lode" embed $lines -o "$work/half.npy" --compute-type float16 --device cpu
above "float16: near them" "$work/half.npy" tests/golden/minilm_200.npy 0.9999 0.9999 0.99
ok "float16: what it became is said" grep -q 'float16$\|float32$' "$work/err"
run "$lode" embed $lines -o "$work/half2.npy" --compute-type float16 --device cpu --kernels avx2
ok "float16 on a processor without it is float32" grep -q 'avx2, float32$\|no avx2' "$work/err"
run "$lode" embed $lines -o "$work/half3.npy" --compute-type float16 --device cpu --kernels avx512fp16
case $status in
0) above "float16 of AVX512-FP16" "$work/half3.npy" tests/golden/minilm_200.npy 0.9999 0.9999 0.99 ;;
*) skip "float16 of AVX512-FP16" "this processor has no such products" ;;
esac
run "$lode" embed $lines -o "$work/f16.npy" --compute-type float32 --dtype float16
above "float16 in the file" "$work/f16.npy" "$work/f32.npy" 0.99999 0.9999 0.999
run "$lode" embed $lines -o "$work/again.npy" --device cpu --measure-loss 100
ok "the loss is measured and said" awk '/of 100 texts, cosine of int8.* to float32/ { sub(",", "", $(NF - 2)); found = $(NF - 2) > 0.998 && $NF > 0.98 && $NF < 1 } END { exit !found }' "$work/err"
ok "and changes nothing" cmp "$work/i8.npy" "$work/again.npy"
run "$lode" embed $lines -o "$work/again.npy" --compute-type float32 --measure-loss 1000000
ok "float32 loses nothing" grep -q 'of 200 texts, cosine of float32 to float32: median 1.000000, least 1.000000' "$work/err"

# ---- the same vectors in any company, with any threads
sed -n 7p $lines >"$work/one.txt"
for type in float32 float16 int8; do
    "$lode" embed $lines --compute-type $type -q 2>/dev/null | sed -n 7p | sed 's/.*vector/vector/' >"$work/all"
    "$lode" embed "$work/one.txt" --compute-type $type -q 2>/dev/null | sed 's/.*vector/vector/' >"$work/alone"
    ok "$type: alone and in company, the same" cmp "$work/all" "$work/alone"
done
run "$lode" embed $lines -o "$work/i8t1.npy" --device cpu --threads 1
ok "int8: one thread, the same" cmp "$work/i8.npy" "$work/i8t1.npy"

# ---- an emulated GPU (not run on one)
head -3 $lines >"$work/three.txt"
run "$lode" embed "$work/three.txt" -o "$work/cpu.npy" --device cpu --compute-type float32
run env LODE_FAKE_GPU=t4 "$lode" embed "$work/three.txt" -o "$work/gpu.npy"
above "T4: the vectors of the CPU" "$work/gpu.npy" "$work/cpu.npy" 0.9999 0.9999 0
if "$lode" --version | grep -q '^GPU: NVIDIA'; then
    ok "T4: says what ran where" grep -q 'cuda, Tesla T4.*emulated, float16' "$work/err"
else
    skip "T4: says what ran where" "built without kernels for GPUs"
fi

# ---- forms in and out
printf 'id,text\n"a""b",hello world\nc,\n' >"$work/two.csv"
run "$lode" embed "$work/two.csv" --id id
is "csv in, jsonl out: ids" "$(sed 's/,"vector.*//' "$work/out")" '{"index":0,"id":"a\"b"
{"index":1,"id":"c"'
run "$lode" embed "$work/two.csv" --id id --format csv
is "csv out: ids" "$(cut -d, -f1 "$work/out")" 'id
"a""b"
"c"'
printf 'first line\n"second"\n' >"$work/plain.txt"
printf '\357\273\277first line\r\n"second"\r\n' >"$work/windows.txt"
printf '\357\273\277id,text\r\na,first line\r\n"b\r\nc","""second"""\r\n' >"$work/windows.csv"
printf '\357\273\277{"text": "first line"}\r\n\r\n{"text": "\\"second\\""}\r\n' >"$work/windows.jsonl"
run "$lode" embed "$work/plain.txt" -o "$work/plain.npy"
for form in txt csv jsonl; do
    run "$lode" embed "$work/windows.$form" -o "$work/windows.npy"
    ok "$form with byte order mark and CRLF: the same" cmp "$work/plain.npy" "$work/windows.npy"
done
run "$lode" embed "$work/windows.csv" --id id
is "csv: a quoted field over two lines" "$(sed 's/,"vector.*//' "$work/out" | tail -1)" '{"index":1,"id":"b\r\nc"'
printf '\n \n\n' | "$lode" embed - -q >"$work/out" 2>/dev/null
is "empty lines are texts too" "$(wc -l <"$work/out")" 3
printf 'hello world\n' | "$lode" embed - -q --compute-type float32 >"$work/out" 2>/dev/null
is "standard input: the golden vector of fastembed" "$(sed 's/.*\[//' "$work/out" | cut -d, -f1-3 | sed 's/\(\.[0-9]\{4\}\)[0-9]*/\1/g')" "-0.0344,0.0310,0.0067"
: >"$work/empty.txt"
run "$lode" embed "$work/empty.txt" -o "$work/empty.npy"
is "no lines: no vectors" "$status $(grep -c 'shape.: (0, 384)' "$work/empty.npy")" "0 1"
i=0
while [ $i -lt 300 ]; do printf 'word '; i=$((i + 1)); done >"$work/long.txt"
run "$lode" embed "$work/long.txt"
ok "a long text: what was left out is said" grep -q '1 text is longer than the 256 tokens the model reads; 46 tokens' "$work/err"
# of a text of more than 1 MiB the beginning is tokenized; one that has few tokens there is read on
awk 'BEGIN { for (i = 0; i < 240000; i++) printf "word " }' >"$work/longest.txt"
awk 'BEGIN { for (i = 0; i < 240000; i++) printf "     "; printf "word word" }' >"$work/spaces.txt"
printf 'word word' >"$work/two.txt"
for name in long longest spaces two; do "$lode" embed "$work/$name.txt" -o "$work/$name.npy" 2>"$work/$name.err"; done
ok "1.2 MB of words: the same vector" cmp "$work/long.npy" "$work/longest.npy"
is "and an estimate of what was left out" "$(grep -c 'reads; about 2397[0-9][0-9] tokens' "$work/longest.err")" 1
ok "two words behind 1.2 MB of blanks are read" cmp "$work/spaces.npy" "$work/two.npy"
run "$lode" embed $lines --max-tokens 600
says "more tokens than positions" 2 'the model has 512 positions'
run "$lode" embed $lines -o /dev/full
is "a full disk: exit status" "$status" 5
ok "a full disk at standard output: exit status" sh -c '"$1" embed "$2" -q >/dev/full 2>/dev/null; test $? = 5' - "$lode" "$work/one.txt"

# ---- models that are not whole
model=$(find "${LODE_CACHE:-$HOME/.cache/lode}/models/all-MiniLM-L6-v2" -name model.safetensors | head -1)
model=${model%/model.safetensors}
mkdir "$work/m"
ln -s "$model"/*.json "$model"/*.txt "$model"/model.safetensors "$work/m/"
rm "$work/m/tokenizer.json"
run "$lode" embed "$work/one.txt" --model "$work/m" --compute-type float32 -q
sed 's/.*vector/vector/' "$work/out" >"$work/vocab"
"$lode" embed "$work/one.txt" --compute-type float32 -q 2>/dev/null | sed 's/.*vector/vector/' >"$work/json"
ok "vocab.txt alone: the same" cmp "$work/vocab" "$work/json"

# ---- converted: one file that has what sentence-transformers lays beside the weights
run "$lode" convert all-MiniLM-L6-v2 --compute-type float32 -o "$work/whole.safetensors"
is "convert: status" "$status" 0
run "$lode" embed $lines --model "$work/whole.safetensors" -o "$work/whole.npy" --compute-type float32
ok "converted: the same vectors" cmp "$work/whole.npy" "$work/f32.npy"
run "$lode" embed "$work/long.txt" --model "$work/whole.safetensors" -o "$work/whole.npy"
ok "converted: the same limit" grep -q 'longer than the 256 tokens' "$work/err"
ok "converted: a text cut at it has the same vector" cmp "$work/whole.npy" "$work/long.npy"
mkdir "$work/m/1_Pooling"
echo '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}' >"$work/m/1_Pooling/config.json"
rm "$work/m/sentence_bert_config.json"
echo '{"max_seq_length": 16}' >"$work/m/sentence_bert_config.json"
"$lode" embed $lines --pooling cls --max-tokens 16 --compute-type float32 -o "$work/first.npy" -q
run "$lode" convert "$work/m" --compute-type float32 -o "$work/cls.safetensors"
mkdir "$work/apart"
mv "$work/cls.safetensors" "$work/apart/"
run "$lode" embed $lines --model "$work/apart/cls.safetensors" -o "$work/cls.npy" --compute-type float32
ok "converted: its pooling, its limit and its vocab.txt" cmp "$work/cls.npy" "$work/first.npy"
cp "$work/whole.safetensors" "$work/m/"
run "$lode" embed $lines --model "$work/m/whole.safetensors" -o "$work/whole.npy" --compute-type float32
ok "converted: beside another model's files it takes none of them" cmp "$work/whole.npy" "$work/f32.npy"

rm "$work/m/config.json"
sed 's/"hidden_size": 384/"hidden_size": 768/' "$model/config.json" >"$work/m/config.json"
run "$lode" embed "$work/one.txt" --model "$work/m"
says "sizes that do not fit the weights" 4 'tensor .*word_embeddings.*expected'
sed 's/"num_hidden_layers": 6/"num_hidden_layers": 5/' "$model/config.json" >"$work/m/config.json"
run "$lode" embed "$work/one.txt" --model "$work/m"
says "a layer too many" 4 'has a tensor .*layer.5.*does not know'
sed 's/"num_hidden_layers": 6/"num_hidden_layers": 7/' "$model/config.json" >"$work/m/config.json"
run "$lode" embed "$work/one.txt" --model "$work/m"
says "a layer too few" 4 'has no tensor .*layer.6'
sed 's/"model_type": "bert"/"model_type": "t5"/' "$model/config.json" >"$work/m/config.json"
run "$lode" embed "$work/one.txt" --model "$work/m"
says "another architecture" 4 'model_type is "t5"'
rm "$work/m/config.json" "$work/m/model.safetensors"
ln -s "$model/config.json" "$work/m/"
sed 's/layer.3.attention.self.query.weight/layer.3.attention.self.qeury.weight/' "$model/model.safetensors" >"$work/m/model.safetensors"
run "$lode" embed "$work/one.txt" --model "$work/m"
says "a tensor of another name" 4 'has no tensor encoder.layer.3.attention.self.query.weight'
head -c 5000000 "$model/model.safetensors" >"$work/m/model.safetensors"
run "$lode" embed "$work/one.txt" --model "$work/m"
says "weights cut short" 4 'its data_offsets are not within the [0-9]* bytes of data'
# one NaN: neither rounding to int8 nor softmax may hide it
python3 - "$model/model.safetensors" "$work/m/model.safetensors" <<'EOF'
import json, struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", b[:8])[0]
at = 8 + n + json.loads(b[8:8 + n])["encoder.layer.3.attention.self.query.weight"]["data_offsets"][0]
b[at:at + 4] = struct.pack("<I", 0x7FC00000)
open(sys.argv[2], "wb").write(b)
EOF
for type in int8 float16 float32; do
    run "$lode" embed "$work/one.txt" --model "$work/m" --compute-type $type
    says "$type: a weight that is no number" 4 'tensor encoder.layer.3.attention.self.query.weight holds numbers that are none'
done
tap_end
