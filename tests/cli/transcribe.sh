#!/bin/sh
# `lode transcribe` as a user meets it, with the real tiny.en: the lines of the README, outputs, bad
# inputs, a full disk, interrupts.
. tests/tap.sh
need_model "text of jfk" outputs "bad inputs" interrupts || tap_end
jfk=$PWD/samples/jfk.wav
fast="--model tiny.en --language en --beam-size 1 --temperature 0 --compute-type int8 --threads 2"

# words FILE: lower case, without punctuation, on one line
words() {
    tr -c "[:alpha:]'\n" ' ' <"$1" | tr '[:upper:]\n' '[:lower:] ' | tr -s ' ' | sed 's/^ //; s/ $//'
}
said="and so my fellow americans ask not what your country can do for you ask what you can do for your country"

# ---- the text
run "$lode" transcribe --model tiny.en --language en --beam-size 5 --compute-type int8 --threads 2 "$jfk"
is "jfk: exit status" "$status" 0
is "jfk: the words" "$(words "$work/out")" "$said"
cp "$work/out" "$work/beam5"
ok "jfk: said what ran where" grep -q 'cpu' "$work/err"
run "$lode" transcribe --model tiny.en --language en --beam-size 5 --compute-type int8 --threads 1 "$jfk"
ok "jfk: one thread, same text" cmp "$work/out" "$work/beam5"
for level in base avx2 avx512; do
    run "$lode" transcribe --model tiny.en --beam-size 5 --compute-type int8 --kernels $level "$jfk"
    if [ "$status" -eq 7 ]; then
        skip "jfk: $level kernels, same words" "this processor does not have them"
    else
        is "jfk: $level kernels, same words" "$(words "$work/out")" "$said"
    fi
done
run "$lode" transcribe --model tiny.en --compute-type float32 --threads 2 "$jfk"
is "jfk: float32" "$(words "$work/out")" "$said"
run "$lode" transcribe --device cuda --model tiny.en "$jfk"
says "a GPU that is asked for and cannot be used" 7 'cuda'
status=0
"$lode" transcribe $fast - <"$jfk" >"$work/out" 2>"$work/err" || status=$?
is "standard input: the words" "$(words "$work/out")" "$said"
tail -c +1 "$jfk" | "$lode" transcribe $fast - >"$work/out" 2>"$work/err"
is "standard input, a pipe: the words" "$(words "$work/out")" "$said"

# ---- outputs
mkdir "$work/in" "$work/o"
cp "$jfk" "$work/in/one.wav"
cp "$jfk" "$work/in/two words.wav"
for f in txt srt vtt json; do
    run "$lode" transcribe $fast "$jfk" -o "$work/o/t.$f"
    is "-o t.$f: status" "$status" 0
    is "-o t.$f: nothing on standard output" "$(cat "$work/out")" ""
    run "$lode" transcribe $fast "$jfk" --format $f
    if [ $f != json ]; then ok "--format $f equals the file" cmp "$work/out" "$work/o/t.$f"; fi
done
ok "srt: first cue" sh -c 'head -2 "$0" | tail -1 | grep -q "^00:00:00,000 --> 00:00:"' "$work/o/t.srt"
is "vtt: first line" "$(head -1 "$work/o/t.vtt")" WEBVTT
ok "json: names the device" python3 -c '
import json, sys
said = json.load(open(sys.argv[1]))
assert said["device"] == "cpu" and said["compute_type"].startswith("int8"), said["device"]
assert abs(said["audio_seconds"] - 11) < 0.01 and said["wall_seconds"] > 0, said
assert said["segments"][0]["start"] == 0 and said["text"], said' "$work/o/t.json"
run "$lode" transcribe $fast --threads 1 "$jfk" --format json
ok "json: one thread, the same numbers to the last digit" python3 -c '
import json, sys
a, b = (json.load(open(name))["segments"] for name in sys.argv[1:])
assert a and a == b, (a, b)' "$work/out" "$work/o/t.json"
run "$lode" transcribe --model tiny.en --no-timestamps --temperature 1.3 --best-of 1 "$jfk" --format json
ok "no timestamps: none is sampled" python3 -c '
import json, sys
said = json.load(open(sys.argv[1]))["segments"]
assert said and all(0 <= s["start"] < s["end"] and max(s["tokens"]) < 50363 for s in said), said' "$work/out"
run "$lode" transcribe --model tiny.en --beam-size 2 --patience 0.2 "$jfk"
is "little patience: the words" "$(words "$work/out")" "$said"
run "$lode" transcribe $fast "$work/in" -o "$work/folder" --format srt
is "folder in, folder out" "$(ls "$work/folder")" "$(printf 'one.srt\ntwo words.srt')"
ls -a "$work/o" "$work/folder" >"$work/ls"
is "no temporary files stay" "$(grep -c '\.tmp-' "$work/ls")" 0

# ---- bad inputs: one sentence, the right status, nothing half-written
: >"$work/empty.wav"
head -c 20000 /dev/urandom >"$work/noise.mp3"
head -c 30 "$jfk" >"$work/cut.wav"
head -c 78 "$jfk" >"$work/none.wav" # the header alone
for f in empty.wav noise.mp3 cut.wav none.wav; do
    run "$lode" transcribe $fast "$work/$f" -o "$work/bad.txt"
    says "$f" 3 "$f"
    ok "$f: no output" test ! -e "$work/bad.txt"
done
run "$lode" transcribe $fast "$work/absent.wav"
says "absent" 5 'absent.wav'
is "said once" "$(grep -c absent "$work/err")" 1
cp "$work/noise.mp3" "$work/in/bad.mp3"
run "$lode" transcribe $fast "$work/in" -o "$work/mixed"
says "one bad file among good ones" 9 'bad.mp3'
is "the good ones are finished" "$(ls "$work/mixed")" "$(printf 'one.txt\ntwo words.txt')"
cp "$work/noise.mp3" "$work/in/one.mp3"
run "$lode" transcribe $fast "$work/in" -o "$work/mixed2"
is "a bad file takes no name" "$(ls "$work/mixed2")" "$(printf 'one.txt\ntwo words.txt')"
rm "$work/in/one.mp3"
run "$lode" transcribe $fast --model tiny.em --offline "$jfk"
says "unknown model" 4 'tiny.en'
run "$lode" transcribe $fast --language hi "$jfk"
says "a language the model does not speak" 2 'English only'
run "$lode" transcribe $fast "$jfk" "$jfk" -o "$work/o/t.txt"
says "two inputs into one file" 2 'needs\{0,1\} a folder'
for f in talk.srt -; do
    run "$lode" transcribe $fast "$jfk" "$jfk" -o "$f"
    says "two inputs into $f" 2 'several inputs need a folder'
    ok "two inputs into $f: no folder is made" test ! -e "$f"
done
long=$(printf 'e%.0s' $(seq 120))$(printf '\303\251%.0s' $(seq 60))
cp "$jfk" "$work/$long.wav"
run "$lode" transcribe $fast "$work/$long.wav" -o "$work/long/" --format json
is "a name as long as can be: status" "$status" 0
ok "a name as long as can be: cut between characters" sh -c 'ls "$0" | iconv -f utf-8 -t utf-8 | grep -q "^e*é*.json\$"' "$work/long"
run "$lode" transcribe $fast "$jfk" -o "$work/$long$long.txt"
says "a longer name than can be" 5 'a name of 484 bytes, 255 are possible'
cp "$jfk" "$work/self.wav"
run "$lode" transcribe $fast "$work/self.wav" -o "$work/self.wav" --format txt
says "the input as the output" 2 'overwrite the input'
ok "the input is unharmed" cmp "$jfk" "$work/self.wav"
mkdir "$work/in2"
cp "$jfk" "$work/in2/one.mp3"
run "$lode" transcribe $fast "$work/in/one.wav" "$work/in2" -o "$work/same"
is "two inputs with one name: two outputs" "$(ls "$work/same")" "$(printf 'one-2.txt\none.txt')"
run "$lode" transcribe $fast "$jfk" -o "$work/no/such/folder.txt"
says "no folder for the output" 5 'folder.txt'
run "$lode" transcribe $fast --language auto "$jfk"
is "a language of auto is none" "$status" 0
head -c 100000 "$jfk" >"$work/short.wav"
run "$lode" transcribe $fast "$work/short.wav"
is "a file that was cut off: status" "$status" 0
ok "a file that was cut off: it is said" grep -q 'short.wav: ends after 3.1 of the 11.0 s' "$work/err"
{ head -c 78 "$jfk"; head -c 352000 /dev/zero; } >"$work/silent.wav"
run "$lode" transcribe $fast "$work/silent.wav"
is "silence is no text" "$status$(cat "$work/out")" 0

# ---- a full disk: a file system of one page, mounted where only this command sees it
cat >"$work/full.sh" <<'END'
folder=$1
shift
mount -t tmpfs -o size=4k none "$folder" || exit 99
head -c 4096 /dev/zero >"$folder/fill"
status=0
"$@" -o "$folder/t.txt" || status=$?
ls -A "$folder" >"$folder.ls"
exit $status
END
mkdir "$work/small"
if [ "$(id -u)" -eq 0 ] && unshare --mount mount -t tmpfs none "$work/small" 2>/dev/null; then
    run unshare --mount sh "$work/full.sh" "$work/small" "$lode" transcribe $fast "$jfk"
    says "disk full" 5 'disk is full'
    is "disk full: nothing half-written" "$(cat "$work/small.ls")" fill
else
    skip "disk full" "needs root and the right to mount"
    skip "disk full: nothing half-written" "needs root and the right to mount"
fi
status=0
"$lode" transcribe $fast "$jfk" >/dev/full 2>"$work/err" || status=$?
is "full standard output" "$status" 5
status=0
"$lode" transcribe $fast "$jfk" "$jfk" >/dev/full 2>"$work/err" || status=$?
is "full standard output: no further input is tried" "$status $(grep -c '^lode:' "$work/err")" "5 1"

# ---- interrupts; a job of several minutes, so that it is still at work when they come
python3 - "$jfk" "$work/long.wav" <<'END'
import sys, wave
one = wave.open(sys.argv[1])
many = wave.open(sys.argv[2], "wb")
many.setparams(one.getparams())
sound = one.readframes(one.getnframes())
for _ in range(120):
    many.writeframes(sound)
many.close()
END

# until_true SECONDS COMMAND...: waits until the command succeeds
until_true() {
    left=$(($1 * 10))
    shift
    while ! "$@" 2>/dev/null; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.1
    done
}
written() { # a temporary output that has text in it
    for f in "$work"/kept.srt.tmp-*; do [ -s "$f" ] && return 0; done
    return 1
}
# a shell starts a background job with SIGINT ignored; lode hears it all the same
"$lode" transcribe $fast "$work/long.wav" -o "$work/kept.srt" 2>"$work/err" &
job=$!
ok "interrupt: segments come while it works" until_true 60 written
kill -INT $job
status=0
wait $job || status=$?
is "interrupt: status" "$status" 130
ok "interrupt: says so" grep -q 'whole results, an --index and what --resume needs have been kept' "$work/err"
ok "interrupt: what was finished is kept" grep -q 'fellow Americans' "$work/kept.srt"
is "interrupt: the last cue is whole" "$(tail -c 1 "$work/kept.srt" | od -An -c | tr -d ' ')" '\n'
ok "interrupt: not all of it" test "$(grep -c 'fellow' "$work/kept.srt")" -lt 100

"$lode" transcribe $fast "$work/long.wav" >"$work/kept.txt" 2>"$work/err" &
job=$!
until_true 60 test -s "$work/kept.txt"
kill -TERM $job
status=0
wait $job || status=$?
is "terminate: status" "$status" 130
ok "terminate: whole lines" test -s "$work/kept.txt"

"$lode" transcribe --kernels ref --model tiny.en "$jfk" >/dev/null 2>&1 &
job=$!
sleep 1
start=$(date +%s)
kill -INT $job
sleep 0.3
kill -INT $job 2>/dev/null
wait $job
ok "a second interrupt ends it at once" test $(($(date +%s) - start)) -le 3

{ "$lode" transcribe $fast "$work/long.wav" 2>"$work/err"; echo $? >"$work/status"; } | head -1 >"$work/out"
is "a reader that leaves: SIGPIPE" "$(cat "$work/status")" 141
is "a reader that leaves: silence" "$(cat "$work/err")" ""

# ---- where the time went
run "$lode" transcribe $fast --quiet --profile "$jfk"
is "profile: status" "$status" 0
ok "profile: products of the encoder have a rate" grep -Eq '^lode: encode +enc\.\*\.ffn\.up +4 +[0-9.]+ ms +[0-9.]+ % +[1-9][0-9]* ' "$work/err"
ok "profile: steps of decoding" grep -Eq '^lode: step: [0-9.]+ ms a run, [0-9]+ runs$' "$work/err"
run "$lode" transcribe $fast --quiet "$jfk"
is "no profile unless asked for" "$(cat "$work/err")" ""

tap_end
