#!/bin/sh
# Words, lines and the options of decoding as a user meets them, with the real tiny.en.
. tests/tap.sh

# ---- what is said before a model is looked for: no model is needed to be wrong
jfk=$PWD/samples/jfk.wav
wrong() { # NAME PATTERN ARGUMENTS...
    name=$1
    pattern=$2
    shift 2
    run "$lode" transcribe --model "$work/nowhere" --offline "$@"
    says "$name" 2 "$pattern"
}
wrong "an ending nobody knows" 'does not end in .*--format' "$jfk" -o "$work/talk.xyz"
wrong "no ending at all" 'does not end in' "$jfk" -o "$work/talk"
wrong "all formats need a folder" '7 files' "$jfk" --format all
wrong "two places for the output" 'say one of them' "$jfk" -o a.txt --output-dir b
wrong "karaoke needs words" '--highlight-words needs --word-timestamps' --highlight-words "$jfk"
wrong "lines need words" '--max-line-width needs --word-timestamps' --max_line_width 40 "$jfk"
wrong "lines of a cue need a width" 'needs --max-line-width' --word_timestamps True --max_line_count 2 "$jfk"
wrong "doubt needs words" 'needs --word-timestamps' --hallucination_silence_threshold 2 "$jfk"
wrong "doubt is for the sequential way" 'cannot be had with --batch-size' --word-timestamps \
    --hallucination-silence-threshold 2 --batch-size 2 "$jfk"
wrong "clips in disorder" '4 comes after 5' --clip-timestamps 1,5,4 "$jfk"
wrong "clips that are no numbers" '"x" is not a number' --clip-timestamps 1,x "$jfk"
wrong "tokens that are no numbers" 'is not a whole number' --suppress-tokens 1.5 "$jfk"
run "$lode" transcribe --model "$work/nowhere" --offline "$jfk" -o "$work/none/talk.txt"
says "the folder of the output, before the model" 5 'there is no folder .*/none/'
mkdir "$work/m"
for f in model.bin vocabulary.txt; do : >"$work/m/$f"; done
run "$lode" transcribe --model "$work/m" "$jfk"
is "a path stands once in a sentence" "$(grep -o "$work/m" "$work/err" | wc -l | tr -d ' ')" 1

need_model "words" "subtitles" "prompts" "clips" || tap_end
fast="--model tiny.en --language en --beam-size 1 --temperature 0 --threads 2"

# ---- words
run "$lode" transcribe --model tiny.en --temperature 0 --compute-type float32 --word-timestamps -f json "$jfk"
cat >"$work/near.py" <<'END'
import json, sys
got, want = (json.load(open(p))["segments"] for p in sys.argv[1:])
pairs = [(x, y) for a, b in zip(got, want) for x, y in zip(a["words"], b["words"])]
assert len(pairs) == sum(len(s["words"]) for s in want) == sum(len(s["words"]) for s in got) == 22, len(pairs)
assert all(x["word"] == y["word"] for x, y in pairs), pairs
near = [max(abs(x["start"] - y["start"]), abs(x["end"] - y["end"])) < 0.0201 for x, y in pairs]
assert sum(near) >= 0.95 * len(near), pairs
assert all(abs(x["probability"] - y["probability"]) < 0.01 for x, y in pairs), pairs
assert all("".join(w["word"] for w in s["words"]) == s["text"] for s in got)
assert all(abs(a[k] - b[k]) < 0.0201 for a, b in zip(got, want) for k in ("start", "end"))
assert all(s["flags"] == [] for s in got)
END
ok "words: as faster-whisper has them" python3 "$work/near.py" "$work/out" tests/golden/fw_words.json
run "$lode" transcribe --model tiny.en --temperature 0 --compute-type float32 --word-timestamps -f json \
    --batch-size 2 "$jfk"
ok "words: batched, too" python3 "$work/near.py" "$work/out" tests/golden/fw_words.json
run "$lode" transcribe $fast --word-timestamps --format all -o "$work/all" --max-line-width 20 --max-line-count 1 "$jfk"
is "all formats" "$(ls "$work/all")" "$(printf 'jfk.%s\n' csv json lrc srt tsv txt vtt)"
ok "no line is wider than asked" awk '/-->/ { next } length($0) > 20 { exit 1 }' "$work/all/jfk.vtt"
ok "there are more cues than segments" test "$(grep -c -- '-->' "$work/all/jfk.srt")" -gt 4
is "tsv: a head" "$(head -1 "$work/all/jfk.tsv")" "$(printf 'start\tend\ttext')"
is "csv: a head" "$(head -1 "$work/all/jfk.csv")" start,end,text
is "lrc: a head" "$(head -1 "$work/all/jfk.lrc")" "[by:lode]"
run "$lode" transcribe $fast --word_timestamps True --highlight_words True --output_dir "$work/dir" --output_format vtt "$jfk"
is "openai's way of saying it" "$(ls "$work/dir")" jfk.vtt
ok "karaoke: every word once" test "$(grep -c '<u>' "$work/dir/jfk.vtt")" -eq 22
run "$lode" transcribe $fast --word-timestamps --hallucination-silence-threshold 1 "$jfk"
is "nothing here is made up" "$(wc -w <"$work/out" | tr -d ' ')" 22

# ---- prompts and clips
run "$lode" transcribe $fast --prefix "And so, my dear friends" "$jfk"
ok "a prefix begins the text" grep -q '^And so, my dear friends' "$work/out"
run "$lode" transcribe $fast --initial-prompt "JFK" --hotwords "Americans" "$jfk"
is "prompt and hotwords: status" "$status" 0
before=$(printf 'word and another %.0s' $(seq 100)) # more than the model can be told: what stands next to the speech counts
for more in "" " THE PRESIDENT, MR. KENNEDY: AND SO, MY FELLOW AMERICANS"; do
    run "$lode" transcribe $fast --initial-prompt "$before$more" --format json "$jfk"
    sed 's/.*"avg_logprob":\([-0-9.]*\).*/\1/' "$work/out" >>"$work/prompted"
done
is "a long prompt: its end counts" "$(sort -u "$work/prompted" | wc -l)" 2
run "$lode" transcribe $fast --initial-prompt "$(printf 'a\377b')" "$jfk"
says "a prompt that is not text" 2 'not UTF-8'
long=$(python3 -c 'print("word and another " * 400)')
run "$lode" transcribe $fast --initial-prompt "$long" --hotwords "$long" --prefix "$long" "$jfk"
is "prompts longer than there is room: status" "$status" 0
run "$lode" transcribe $fast --clip-timestamps 3.2,7.7 -f json "$jfk"
ok "a clip and no more" python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))["segments"]
assert s and s[0]["start"] >= 3.2 and s[-1]["end"] <= 7.71 and s[0]["seek"] == 320, s' "$work/out"
run "$lode" transcribe $fast --clip-timestamps 100 "$jfk"
is "a clip after the end: nothing" "$status $(cat "$work/out")" "0 "
run "$lode" transcribe $fast --max-new-tokens 3 --no-condition-on-previous-text -f json "$jfk"
ok "few tokens" python3 -c '
import json, sys
assert all(len(s["tokens"]) <= 3 for s in json.load(open(sys.argv[1]))["segments"])' "$work/out"
run "$lode" transcribe $fast --no-repeat-ngram-size 1 --repetition-penalty 1.2 --without-timestamps "$jfk"
is "no word twice" "$(tr -c '[:alpha:]\n' ' ' <"$work/out" | tr -s ' ' '\n' | sort | uniq -d)" ""
run "$lode" transcribe $fast --suppress-tokens 60000 "$jfk"
says "a token the model does not have" 2 'token 60000'
tap_end
