#!/bin/sh
# `lode transcribe` with several windows at a time, with speech found first, and what a job of many
# files needs: going on after a kill, and what it cost.
. tests/tap.sh
need_model "batched text" || tap_end
jfk=$PWD/samples/jfk.wav
fast="--model tiny.en --beam-size 1 --temperature 0 --compute-type int8 --threads 2"

words() {
    tr -c "[:alpha:]'\n" ' ' <"$1" | tr '[:upper:]\n' '[:lower:] ' | tr -s ' ' | sed 's/^ //; s/ $//'
}
said="and so my fellow americans ask not what your country can do for you ask what you can do for your country"

# ---- many windows at a time: 20 repeats, each with a second of silence after it: four minutes
python3 - "$jfk" "$work/long.wav" 20 "$work/hush.wav" <<'END'
import sys, wave
one = wave.open(sys.argv[1])
many = wave.open(sys.argv[2], "wb")
many.setparams(one.getparams())
sound = one.readframes(one.getnframes())
for _ in range(int(sys.argv[3])):
    many.writeframes(sound + bytes(2 * 16000))
many.close()
hush = wave.open(sys.argv[4], "wb")
hush.setparams(one.getparams())
hush.writeframes(bytes(3840000) + sound + bytes(3840000))
hush.close()
END
# two minutes of nothing, and speech: windows that are not decoded end parts, and hold none up
for n in 1 2 5; do
    run "$lode" transcribe $fast --batch-size $n "$work/hush.wav"
    is "batch of $n: speech in silence, and nothing else" "$(words "$work/out")" "$said"
done
# "fellow" is said 1.4 to 1.8 s after every twelfth second; where a segment begins is the model's choice
for n in 2 5; do
    run "$lode" transcribe $fast --batch-size $n "$work/long.wav" --format json
    is "batch of $n: status" "$status" 0
    ok "batch of $n: nothing lost, in order, times of the audio" python3 -c '
import json, sys
said = json.load(open(sys.argv[1]))
times = [(s["start"], s["end"]) for s in said["segments"]]
assert all(a <= b for a, b in times) and times == sorted(times), times
assert said["text"].lower().count("fellow americans") == 20, said["text"]
spoken = [(s["start"], s["end"]) for s in said["segments"] if "fellow" in s["text"]]
assert all(a < 12 * i + 1.8 and 12 * i + 1.4 < b for i, (a, b) in enumerate(spoken)), spoken
assert abs(said["audio_seconds"] - 240) < 0.01' "$work/out"
done
run "$lode" transcribe $fast --batch-size 3 --no-timestamps "$work/long.wav"
is "no timestamps: nothing lost" "$(tr 'F' 'f' <"$work/out" | grep -o 'fellow' | wc -l)" 20
run "$lode" transcribe $fast --batch-size 3 "$jfk"
is "a batch for one window" "$(words "$work/out")" "$said"
ok "operators' line" grep -q '^lode: Transcription completed in [0-9.]* s$' "$work/err"
run "$lode" transcribe $fast --batch-size 3 --clip-timestamps 1 "$jfk"
says "clips in a batch" 2 '--clip-timestamps cannot be had with --batch-size'
run "$lode" transcribe $fast --batch-size 3 --word-timestamps --format json "$jfk"
is "words in a batch" "$(grep -o '"word"' "$work/out" | wc -l)" 22
run "$lode" transcribe $fast --batch-size 0 "$jfk"
says "a batch of none" 2 'batch-size'

# ---- speech first
if "$lode" pull silero-vad-v6 >"$work/vad" 2>"$work/err"; then
    run "$lode" transcribe $fast --vad "$jfk"
    is "vad: the words" "$(words "$work/out")" "$said"
    { head -c 78 "$jfk"; head -c 352000 /dev/zero; } >"$work/silent.wav"
    run "$lode" transcribe $fast --vad --batch-size 2 "$work/silent.wav"
    is "vad: silence is no text" "$status$(cat "$work/out")" 0
    # speech of the next file is looked for while this one is at work: what is said stays with its file
    mkdir "$work/heard"
    cp "$jfk" "$work/heard/1.wav"
    cp "$work/silent.wav" "$work/heard/2.wav"
    echo "no audio" >"$work/heard/3.wav"
    cp "$work/long.wav" "$work/heard/4.wav"
    cp "$jfk" "$work/heard/5.wav"
    for batch in 1 3; do
        run "$lode" transcribe $fast --vad --batch-size $batch "$work/heard" -o "$work/v$batch"
        is "vad ahead, batch of $batch: a bad file in its turn" "$status $(ls "$work/v$batch" | tr '\n' ' ')" \
            "9 1.txt 2.txt 4.txt 5.txt "
        is "vad ahead, batch of $batch: silence between speech" "$(cat "$work/v$batch/2.txt")" ""
        ok "vad ahead, batch of $batch: the last is as the first" cmp "$work/v$batch/1.txt" "$work/v$batch/5.txt"
        run "$lode" transcribe $fast --vad --batch-size $batch "$work/heard/4.wav"
        ok "vad ahead, batch of $batch: the text is what it is alone" cmp "$work/out" "$work/v$batch/4.txt"
    done
    run "$lode" transcribe $fast --vad --vad-threshold 1 "$jfk"
    is "vad: nothing is surely speech" "$status$(cat "$work/out")" 0
    run "$lode" transcribe $fast --vad --vad-min-speech-duration-ms 60000 "$jfk"
    is "vad: no speech lasts a minute" "$status$(cat "$work/out")" 0
    run "$lode" transcribe $fast --vad --vad-max-speech-duration-s 2 --vad-min-silence-duration-ms 50 \
        --vad-speech-pad-ms 0 --format json "$jfk"
    ok "vad: speech cut into short pieces" grep -q '"segments"' "$work/out"
    run "$lode" transcribe $fast --vad --vad-speech-pad-ms 15000 "$jfk"
    says "pads longer than speech" 2 '15000 on either side leaves nothing'
    run "$lode" transcribe $fast --vad --clip-timestamps 0,5 "$jfk"
    says "clips and vad" 2 '--clip-timestamps cannot be had with --vad'
else
    skip "vad" "its model cannot be fetched here"
fi

# ---- channels: jfk on the left, silence of five seconds and jfk on the right
python3 - "$jfk" "$work/two.wav" <<'END'
import sys, wave
one = wave.open(sys.argv[1])
sound = one.readframes(one.getnframes())
gap = bytes(2 * 5 * 16000)
left, right = sound + gap, gap + sound
two = wave.open(sys.argv[2], "wb")
two.setparams(one.getparams())
two.setnchannels(2)
two.writeframes(b"".join(left[i:i + 2] + right[i:i + 2] for i in range(0, len(left), 2)))
two.close()
END
for batch in 1 2; do
    run "$lode" transcribe $fast --channels --batch-size $batch "$work/two.wav" --format json
    ok "channels, batch of $batch: both, by time, each with its speaker" python3 -c '
import json, sys
said = json.load(open(sys.argv[1]))["segments"]
for who, least in (("left", 0), ("right", 4)):
    own = [s for s in said if s["speaker"] == who]
    text = "".join(s["text"] for s in own).lower()
    assert text.count("fellow americans") == 1 and text.count("do for your country") == 1, text
    assert own[0]["end"] >= least + 7, own[0]
assert [s["id"] for s in said] == list(range(1, len(said) + 1))
assert [s["start"] for s in said] == sorted(s["start"] for s in said)' "$work/out"
done
run "$lode" transcribe $fast --channels "$work/two.wav"
is "channels: a line begins with the speaker" "$(head -1 "$work/out" | cut -c1-6)" "left: "
run "$lode" transcribe $fast --channels --word-timestamps --format srt "$work/two.wav"
is "channels, words: every cue has its speaker" "$(grep -c '^left: \|^right: ' "$work/out")" "$(grep -c -e '-->' "$work/out")"
run "$lode" transcribe $fast --channels "$jfk"
is "channels: one is nobody" "$(words "$work/out")" "$said"
status=0
"$lode" transcribe $fast --channels - <"$work/two.wav" >"$work/out" 2>"$work/err" || status=$?
says "channels of a pipe" 2 'not a pipe'
run "$lode" transcribe $fast --channels --word-timestamps --max-line-width 20 "$work/two.wav"
says "channels and cues of words" 2 'channels cannot be had with cues'

if "$lode" pull silero-vad-v6 >"$work/vad" 2>"$work/err"; then
    run "$lode" transcribe --beam-size 1 --vad --channels --language en --route default=tiny.en:int8 "$work/two.wav"
    is "channels, vad and a route: status" "$status" 0
    for who in left right; do
        is "channels, vad and a route: $who" \
            "$(sed -n "s/^$who: //p" "$work/out" | grep -io 'fellow americans' | wc -l)" 1
    done
else
    skip "channels, vad and a route" "the model of vad cannot be fetched here"
fi

# ---- compute types, price
run "$lode" transcribe --model tiny.en --device cpu --compute-type float16 --strict-compute-type "$jfk"
says "a compute type the device has not" 2 'no float16; the nearest is float32'
run "$lode" transcribe $fast --price 3600 --format json "$jfk"
ok "price: an hour costs so much" python3 -c '
import json, sys
said = json.load(open(sys.argv[1]))
assert abs(said["cost"] - said["wall_seconds"]) < 0.01 and abs(said["audio_hours"] - 11 / 3600) < 1e-5' "$work/out"
ok "price: in the summary" grep -q '^lode: 0.0031 hours of audio, cost [0-9.]*$' "$work/err"
run "$lode" transcribe $fast --price -1 "$jfk"
says "a price below nothing" 2 'price'

# ---- the next file is opened while this one is at work: nothing else changes
mkdir "$work/many"
cp "$jfk" "$work/many/1.wav"
echo "no audio" >"$work/many/2.wav"
cp "$work/two.wav" "$work/many/3.wav"
cp "$work/long.wav" "$work/many/4.wav"
run "$lode" transcribe $fast "$work/many" -o "$work/texts"
is "ahead: a bad file in its turn" "$status $(ls "$work/texts" | tr '\n' ' ')" "9 1.txt 3.txt 4.txt "
is "ahead: in order" "$(sed -n 's/^lode: .*many\/\([0-9]\).wav: .*/\1/p' "$work/err" | tr -d '\n')" 1234
for i in 3 4; do
    run "$lode" transcribe $fast "$work/many/$i.wav"
    ok "ahead: the text of $i is what it is alone" cmp "$work/out" "$work/texts/$i.txt"
done
"$lode" transcribe $fast "$work/many/4.wav" "$work/many/4.wav" -o "$work/stopped/" 2>"$work/err" &
job=$!
i=0
while ! [ -s "$(echo "$work"/stopped/4.txt.tmp-*)" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done
kill -INT $job
status=0
wait $job || status=$?
is "ahead: an interrupt" "$status $(ls "$work/stopped")" "130 4.txt"

# ---- resume
mkdir "$work/in"
for i in 1 2 3; do cp "$jfk" "$work/in/$i.wav"; done
cp "$work/long.wav" "$work/in/4.wav"
"$lode" transcribe $fast --resume "$work/in" -o "$work/o" 2>"$work/err" &
job=$!
i=0
while [ ! -e "$work/o/2.txt" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done
while ! ls "$work/o" | grep -q '4.txt.tmp-' && [ $i -lt 600 ]; do sleep 0.05; i=$((i + 1)); done
kill -9 $job
wait $job
: >"$work/o/4.txt.tmp-other" # not ours
ok "resume: the kill left something behind" sh -c 'ls "$0" | grep -q "4.txt.tmp-......\$"' "$work/o"
printf 'done 00' >>"$work/o/.lode-journal" # a line that was cut off
cp "$work/o/1.txt" "$work/kept.txt"
run "$lode" transcribe $fast --resume "$work/in" -o "$work/o"
is "resume: status" "$status" 0
is "resume: only what is not ours is left" "$(ls "$work/o" | grep tmp-)" 4.txt.tmp-other
rm "$work/o/4.txt.tmp-other"
is "resume: all transcripts" "$(ls "$work/o")" "$(printf '1.txt\n2.txt\n3.txt\n4.txt')"
is "resume: the first was not done again" "$(grep -c '1.wav' "$work/err")" 0
run "$lode" transcribe $fast --resume "$work/in" -o "$work/o"
ok "resume: nothing is left to do" grep -q '0 inputs done, 4 done before' "$work/err"
rm "$work/o/3.txt"
touch "$work/in/1.wav"
run "$lode" transcribe $fast --resume "$work/in" -o "$work/o"
ok "resume: a changed input and a lost output are done again" grep -q '2 inputs done, 2 done before' "$work/err"
run "$lode" transcribe $fast --beam-size 2 --resume "$work/in/1.wav" -o "$work/o/"
is "resume: other options are another job" "$(grep -c '1.wav: 11.0 s' "$work/err")" 1
ok "resume: standard input" sh -c '"$0" transcribe '"$fast"' -q --resume - -o "$1/o/" <"$2" && test -s "$1/o/stdin.txt"' \
    "$lode" "$work" "$jfk"
mkdir "$work/beside"
cp "$jfk" "$work/beside/a.wav"
run "$lode" transcribe $fast --resume "$work/beside" -o "$work/beside"
run "$lode" transcribe $fast --resume "$work/beside" -o "$work/beside"
ok "resume: beside the inputs, nothing is left to do" grep -q '0 inputs done, 1 done before' "$work/err"
is "resume: beside the inputs, no other name" "$status $(ls "$work/beside")" "0 $(printf 'a.txt\na.wav')"
# An input that changes while it is read is not finished.
python3 - "$jfk" "$work/grows.wav" <<'END'
import sys, wave
one = wave.open(sys.argv[1])
sound = one.readframes(one.getnframes()) * 5
five = wave.open(sys.argv[2], "wb")
five.setparams(one.getparams())
five.writeframes(sound)
five.close()
END
"$lode" transcribe $fast --resume "$work/grows.wav" -o "$work/g/" 2>"$work/err" &
job=$!
i=0
while ! ls "$work/g" 2>/dev/null | grep -q 'tmp-' && [ $i -lt 600 ]; do sleep 0.05; i=$((i + 1)); done
touch "$work/grows.wav"
wait $job
run "$lode" transcribe $fast --resume "$work/grows.wav" -o "$work/g/"
ok "resume: what changed meanwhile is done again" grep -q 'grows.wav: 5[0-9]\.[0-9] s' "$work/err"
# A stopped batch says how much it has heard.
"$lode" transcribe $fast --batch-size 2 --threads 1 "$work/long.wav" -o "$work/stopped.json" 2>"$work/err" &
job=$!
i=0
while ! ls "$work" | grep -q 'stopped.json.tmp-' && [ $i -lt 600 ]; do sleep 0.05; i=$((i + 1)); done
sleep 0.7
kill -INT $job
wait $job
ok "a stopped batch: what it has heard" python3 -c '
import json, os, sys
if os.path.exists(sys.argv[1]): # it may have had nothing yet
    said = json.load(open(sys.argv[1]))
    assert not said["segments"] or said["duration"] > 0, said' "$work/stopped.json"
run "$lode" transcribe $fast --resume "$jfk" -o "$work/one.txt"
says "resume without a folder" 2 'resume needs a folder'
tap_end
