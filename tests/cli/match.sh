#!/bin/sh
# `lode match` with the real all-MiniLM-L6-v2: ranking, reasons, filters, bad inputs.
. tests/tap.sh
cat >"$work/cvs.jsonl" <<'EOF'
{"id": "anna", "text": "Anna is a nurse with ten years in intensive care. Speaks German and English."}
{"id": "bob", "text": "Bob wrote CUDA kernels and C programs for machine learning. He enjoys hiking."}
{"id": "cleo", "text": "  "}
EOF
cat >"$work/jobs.csv" <<'EOF'
id,city,text
1,Berlin,"We look for a GPU software engineer: low-level C, ""CUDA"" and profiling."
2,Berlin,Hospital porter for the night shift.
3,Munich,Registered nurse (ICU) wanted in Munich.
4,Berlin,Primary school teacher for mathematics
EOF
run "$lode" match "$work/cvs.jsonl"
says "one file" 2 'match'
run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" --where Berlin
says "a condition without a sign" 2 'not COLUMN=VALUE'
run "$lode" match "$work/cvs.jsonl" "$work/none.csv"
says "no such file" 5 'none.csv'
run "$lode" match - -
says "standard input twice" 2 'standard input'

"$lode" pull all-MiniLM-L6-v2 >/dev/null 2>&1 </dev/null || {
    skip "all-MiniLM-L6-v2" "it is not in the cache and cannot be fetched"
    tap_end
}
echo 'Organ builder, church instruments' >"$work/organ.txt"
run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" -k 2
is "the best of each, and nothing for no text" "$(grep -v '^     ' "$work/out" | sed 's/0\.[0-9]*  //')" "anna
  3
  2
bob
  1
  4
cleo"
ok "the passages are shown" grep -q '=  Registered nurse (ICU) wanted in Munich' "$work/out"
ok "records without text are counted" grep -q '1 record has no text' "$work/err"
run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" -k 2 --where 'city=Berlin' --passages 0
is "a condition costs no match" "$(sed 's/0\.[0-9]*  //' "$work/out" | tr '\n' ' ')" "anna   2   4 bob   1   4 cleo "
run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" --where 'city!=Berlin & id=3' --json
is "two conditions, JSON" "$(cut -c1-38 "$work/out" | head -1)" '{"id":"anna","matches":[{"id":"3","sco'
run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" --min-score 0.5 --passages 0
is "scores below the least are left out" "$(wc -l <"$work/out")" 5
run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" --where city=Rome
says "nothing is left" 3 'of 4 records none has text and is as --where asks'
for terms in town=Berlin 'town!=Berlin' 'city=Rome & town=Berlin'; do
    run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" --where "$terms"
    says "--where '$terms': no such column" 3 'jobs.csv: --where: none of 4 records has "town"'
done
run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" -k 0
says "none of the best" 2 'top is 1 to 1000, not 0'
run "$lode" match "$work/organ.txt" "$work/jobs.csv" -k 1000 --passages 0
is "more than there are" "$(grep -c '^  ' "$work/out")" 4
run "$lode" match "$work/organ.txt" "$work/jobs.csv" -o /dev/full
is "a full disk: exit status" "$status" 5
run "$lode" match "$work/cvs.jsonl" "$work/jobs.csv" --target-field body
says "no such column" 3 'there is no text in "body"'

# a text goes on behind a NUL, with a prefix too
cat >"$work/nul_q.jsonl" <<'EOF'
{"id": "q1", "text": "abc\u0000 the garden in winter is quiet"}
EOF
cat >"$work/nul_t.jsonl" <<'EOF'
{"id": "same", "text": "query: abc\u0000 the garden in winter is quiet"}
{"id": "head", "text": "query: abc"}
EOF
run "$lode" match "$work/nul_q.jsonl" "$work/nul_t.jsonl" --prefix "query: " --compute-type float32 --passages 0
is "a NUL in a text with --prefix" "$(sed -n 2p "$work/out")" "  1.0000  same"

# a long document: what matters stands far behind the model's 256 tokens
i=0
{
    printf '{"id": "long", "text": "'
    while [ $i -lt 80 ]; do printf 'The weather was mild and nothing happened that day. '; i=$((i + 1)); done
    printf 'She repaired church organs in Leipzig."}\n'
} >"$work/long.jsonl"
run "$lode" match "$work/organ.txt" "$work/long.jsonl" --json
ok "the end of a long text is found" grep -q 'She repaired church organs in Leipzig' "$work/out"

# no blank and no full stop: cut between characters, and what stands far behind is still found
i=0
{
    printf '{"id": "comma", "text": "'
    while [ $i -lt 80 ]; do printf 'weather,was,mild,nothing,happened,that,day,'; i=$((i + 1)); done
    printf 'she,repaired,church,organs,in,Leipzig"}\n'
} >"$work/comma.jsonl"
run "$lode" match "$work/organ.txt" "$work/comma.jsonl" --json
ok "the end of a text without blanks is found" grep -q 'church,organs,in,Leipzig' "$work/out"
ok "none of its passages is cut" sh -c '! grep -q "longer than the" "$1"' - "$work/err"

# ---- an emulated GPU (not run on one): embeds and searches, or says who did
sed -n 1,2p "$work/cvs.jsonl" >"$work/two.jsonl"
run "$lode" match "$work/two.jsonl" "$work/jobs.csv" -k 2 --passages 0 --device cpu
sed 's/0\.[0-9]*  //' "$work/out" >"$work/cpu"
if "$lode" --version | grep -q '^GPU: NVIDIA'; then
    run env LODE_FAKE_GPU=t4 "$lode" match "$work/two.jsonl" "$work/jobs.csv" -k 2 --passages 0
    is "T4: the CPU's order" "$(sed 's/0\.[0-9]*  //' "$work/out")" "$(cat "$work/cpu")"
    ok "T4: embedded and searched there" sh -c 'grep -q "cuda, Tesla T4" "$1" && ! grep -q "searched by" "$1"' - "$work/err"
else
    skip "T4" "built without kernels for GPUs"
fi
tap_end
