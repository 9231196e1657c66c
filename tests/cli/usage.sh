#!/bin/sh
# What is wrong with a command line is said in one sentence, with the nearest right word; version,
# manual page, closed and full outputs.
. tests/tap.sh

run "$lode"
says "no job" 2 '^lode: no job is named'
run "$lode" transcrib a.wav
says "unknown job" 2 "^lode: there is no job 'transcrib'; did you mean 'transcribe'?"
run "$lode" help transcrbe
says "unknown page" 2 "did you mean 'transcribe'?"
run "$lode" xyzzyxyzzy
says "unknown job, nothing near" 2 'there are transcribe, '
run "$lode" transcribe --beem-size 5 samples/jfk.wav
says "unknown option" 2 'beem-size.*--beam-size'
run "$lode" transcribe --beam-size 0 samples/jfk.wav
says "value out of range" 2 'beam-size'
run "$lode" transcribe --beam-size five samples/jfk.wav
says "value not a number" 2 'beam-size.*five'
run "$lode" transcribe samples/jfk.wav --beam-size
says "value missing" 2 'beam-size'
run "$lode" transcribe --device gpu samples/jfk.wav
says "unknown choice" 2 'cuda'
run "$lode" transcribe --format sr samples/jfk.wav
says "unknown format" 2 'srt'
run "$lode" transcribe
says "no input" 2 'needs at least 1 input'
run "$lode" --beam-size 5 transcribe samples/jfk.wav
says "option before the job" 2 'the job comes before'
run "$lode" transcribe --language englsh samples/jfk.wav
says "unknown language" 2 'english'
run "$lode" transcribe "$(printf 'a\033[31mb.wav')" --beam-siz 3
ok "two lines: sentence and hint" test "$(wc -l <"$work/err")" -eq 2
is "no terminal commands in a message" "$(tr -d '\n' <"$work/err" | tr -cd '\000-\037' | wc -c)" 0

ok "--version" sh -c '"$0" --version | head -1 | grep -q "^lode [0-9]*\.[0-9]*\.[0-9]*"' "$lode"
is "version is --version" "$("$lode" version)" "$("$lode" --version)"
"$lode" man >"$work/lode.1"
ok "man: a page" grep -q '^\.TH LODE 1' "$work/lode.1"
ok "man: every job" sh -c 'for j in transcribe plan pull models rm convert; do grep -q "^.B lode $j" "$0" || exit 1; done' "$work/lode.1"
if command -v groff >/dev/null; then
    is "man: the formatter has nothing to say" "$(groff -man -Tutf8 -ww -z "$work/lode.1" 2>&1)" ""
else
    skip "man: the formatter has nothing to say" "groff is not installed"
fi

if [ -w /dev/full ]; then
    run sh -c '"$0" help >/dev/full' "$lode"
    says "full standard output" 5 'standard output: No space left'
else
    skip "full standard output" "there is no /dev/full"
fi
run sh -c '"$0" help >&-' "$lode"
says "closed standard output" 5 'standard output'
# a reader that leaves before anything is written
(
    trap '' PIPE
    { sleep 0.2; "$lode" man 2>"$work/err"; echo $? >"$work/status"; } | true
)
is "a reader that left: SIGPIPE" "$(cat "$work/status")" 141
is "a reader that left: silence" "$(cat "$work/err")" ""
tap_end
