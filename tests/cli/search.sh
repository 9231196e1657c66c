#!/bin/sh
# `lode cluster --search`: playlists and reports, replay by seed, resuming after a kill, what it refuses.
# Fitness is held to numpy by tests/t_evolve.c.
. tests/tap.sh

# 400 songs with the moods of tests/golden/search, vectors of 8 clouds.
cp tests/golden/search/songs.csv "$work/songs.csv"
python3 - "$work" <<'PY'
import sys, random
sys.path.insert(0, "tests/cli")
r = random.Random(3)
with open(sys.argv[1] + "/x.csv", "w") as f:
    for i in range(400):
        f.write(",".join(f"{(i % 8 * 5 + j * 3) % 13 + r.gauss(0, 0.8):.4f}" for j in range(10)) + "\n")
PY
search() { # FOLDER OPTIONS...
    folder=$1
    shift
    run "$lode" cluster "$work/x.csv" --moods "$work/songs.csv" --out "$work/$folder" --search 60 --subset 200 \
        --min-songs 5 --clusters-min 4 --clusters-max 12 --quiet "$@"
}
same() { cmp "$work/$1/search.journal" "$work/$2/search.journal" && cmp "$work/$1/report.norm" "$work/$2/report.norm"; }
norm() { # what of a report does not depend on the clock, or on where it lies
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1] + "/report.json"))
for k in ("seconds", "out", "resume", "runs_resumed", "threads", "json", "device_name"): r.pop(k, None)
json.dump(r, open(sys.argv[1] + "/report.norm", "w"), sort_keys=True)' "$work/$1"
}

search a
is "search: status" "$status" 0
ok "search: says what it found" grep -q 'best run     number [0-9]* of 60: kmeans' "$work/out"
ok "search: a report, a page, playlists of songs that are there" python3 -c '
import json, os, sys
folder = sys.argv[1]
r = json.load(open(folder + "/report.json"))
assert r["runs"] == 60 and len(r["history"]) == 60 and r["rows"] == 400 and r["songs_without_moods"] == 1, r
assert min(abs(r["fitness"] - h) for h in r["history"]) < 1e-5, r["fitness"]
assert r["resolved_device"] == "cpu" and r["stopped"] == "all runs are done"
seen = set()
for i, p in enumerate(r["playlists"]):
    assert p["id"] == i + 1 and len(p["songs"]) >= 5
    lines = open(folder + "/" + p["file"]).read().split("\n")
    assert lines[0] == "#EXTM3U" and lines[1] == "#PLAYLIST:" + p["name"], lines[:2]
    assert lines[3:-1:2] == [s["path"] for s in p["songs"]] == ["m/%d.ogg" % s["row"] for s in p["songs"]]
    artist = {}
    for s in p["songs"]:
        assert s["row"] not in seen and s["row"] != 11
        seen.add(s["row"])
        name = s.get("artist", "").strip().lower()
        artist[name] = artist.get(name, 0) + (name != "")
    assert max(artist.values()) <= 3, artist
page = open(folder + "/report.html").read()
assert page.count("<svg") == 2 and page.count("<details>") == len(r["playlists"])' "$work/a"
norm a
search b --threads 1
norm b
ok "search: one seed, the same playlists, whatever the threads" same a b
search c --seed 1
ok "search: another seed, other runs" sh -c "! cmp -s '$work/a/search.journal' '$work/c/search.journal'"

# The journal of a killed search: whole batches, then a torn line.
mkdir "$work/d"
head -c 2000 "$work/a/search.journal" >"$work/d/search.journal"
search d --resume
norm d
ok "resume: a torn journal gives the same result" same a d
"$lode" cluster "$work/x.csv" --moods "$work/songs.csv" --out "$work/k" --search 60 --subset 200 --min-songs 5 \
    --clusters-min 4 --clusters-max 12 --quiet >"$work/k.log" 2>&1 &
pid=$!
while [ "$(cat "$work/k/search.journal" 2>/dev/null | wc -l)" -lt 2 ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
ok "kill: no more than the present batch is lost" sh -c "grep -q begun '$work/k/search.journal'"
search k --resume
norm k
ok "kill: resumed, the result is that of an undisturbed search" same a k
search a --resume --seed 2
says "resume: of another search" 3 "search.journal is of a search with other settings or other songs; without --resume it begins anew"

for method in dbscan gmm spectral mixed; do
    search m --method $method --search 20 --batch 5
    is "$method: status" "$status" 0
done
search f --features --search 20
is "features: status" "$status" 0

# New songs: playlists keep number, name and file.
search w --subset 0
search u --update "$work/w/report.json" --subset 0 --search 1
ok "update: the same songs, the same playlists" python3 -c '
import json, sys
old, new = (json.load(open(sys.argv[1] + f))["playlists"] for f in ("/w/report.json", "/u/report.json"))
key = lambda l: [(p["id"], p["name"], p["file"], sorted(s["row"] for s in p["songs"])) for p in l]
assert key(old) == key(new) and all(p["songs_added"] == p["songs_gone"] == 0 for p in new)' "$work"
# 20 more songs, in front: rows move, ids do not.
{
    head -n 1 "$work/songs.csv"
    sed -n '2,21s/^id/new/p' "$work/songs.csv"
    sed 1d "$work/songs.csv"
} >"$work/more.csv"
{ head -n 20 "$work/x.csv"; cat "$work/x.csv"; } >"$work/more.x.csv"
run "$lode" cluster "$work/more.x.csv" --moods "$work/more.csv" --out "$work/g" --search 1 --subset 0 --min-songs 5 \
    --update "$work/w/report.json" --quiet
is "update: status" "$status" 0
ok "update: a library that grew keeps its playlists, with some more songs" python3 -c '
import json, sys
old, new = (json.load(open(sys.argv[1] + f))["playlists"] for f in ("/w/report.json", "/g/report.json"))
assert {p["id"]: p["name"] for p in old} == {p["id"]: p["name"] for p in new}, (old, new)
songs = {p["id"]: {s["id"] for s in p["songs"]} for p in old}
for p in new:
    now = {s["id"] for s in p["songs"]}
    assert len(songs[p["id"]] & now) >= 0.5 * len(songs[p["id"]]), (len(now), len(songs[p["id"]]))
    assert p["songs_added"] == len(now - songs[p["id"]]) and p["songs_gone"] == len(songs[p["id"]] - now)
assert sum(p["songs_added"] for p in new) > 0' "$work"
search v --update "$work/a/report.json" --seed 9
ok "update: another search, ids are kept or new" python3 -c '
import json, sys
old, new = (json.load(open(sys.argv[1] + f))["playlists"] for f in ("/a/report.json", "/v/report.json"))
names = {p["id"]: p["name"] for p in old}
ids = [p["id"] for p in new]
assert len(set(ids)) == len(ids)
for p in new:
    assert ("songs_added" in p) == (p["id"] in names) and names.get(p["id"], p["name"]) == p["name"]
    assert p["id"] in names or p["id"] > max(names)' "$work"

# AudioMuse's settings.
cat >"$work/env" <<'ENV'
# a comment
CLUSTER_ALGORITHM=gmm
NUM_CLUSTERS_MIN=2
GMM_N_COMPONENTS_MIN="4"
export GMM_N_COMPONENTS_MAX='6'
- CLUSTERING_RUNS=20
USE_GPU_CLUSTERING: false
SCORE_WEIGHT_SILHOUETTE=0.5 # as ever
MIN_PLAYLIST_SIZE_FOR_TOP_N=5
TOP_N_CLUSTERING_PLAYLIST=4
CLUSTERING_AUTO_CALIBRATION=False
ENABLE_CLUSTERING_EMBEDDINGS=True
MUSIC_SERVER=navidrome
ENV
run "$lode" cluster "$work/x.csv" --moods "$work/songs.csv" --out "$work/e" --audiomuse-env "$work/env" --top-n 3 --json --quiet
is "audiomuse: status" "$status" 0
ok "audiomuse: its settings count, options that are given win" python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
assert r["method"] == "gmm" and r["search"] == 20 and r["device"] == "cpu" and r["min_songs"] == 5, r
assert (r["clusters_min"], r["clusters_max"], r["top_n"], r["weight_silhouette"]) == (4, 6, 3, 0.5), r
assert not r["calibrate"] and not r["features"] and r["metrics"]["silhouette"] > 0.5 and len(r["playlists"]) == 3
assert "GMM_N_COMPONENTS_MAX=6" in r["settings_of_audiomuse"] and "MUSIC_SERVER" not in r["settings_of_audiomuse"]' "$work/out"
run "$lode" cluster "$work/x.csv" --moods "$work/songs.csv" --out "$work/e" --audiomuse-env "$work/env" --top-n 10 \
    --method kmeans --calibrate --min-songs 20 --clusters-min=40 --search 2 --json --quiet
ok "audiomuse: also with the value that is their default" python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
assert (r["method"], r["search"], r["top_n"], r["calibrate"]) == ("kmeans", 2, 10, True), r
assert (r["min_songs"], r["clusters_min"], r["weight_silhouette"]) == (20, 40, 0.5), r
assert "CLUSTER_ALGORITHM" not in r["settings_of_audiomuse"], r' "$work/out"
run env CLUSTERING_RUNS=20 MIN_PLAYLIST_SIZE_FOR_TOP_N=5 NUM_CLUSTERS_MAX=many "$lode" cluster "$work/x.csv" \
    --moods "$work/songs.csv" --out "$work/e" --audiomuse-env -
says "audiomuse: no number" 2 "NUM_CLUSTERS_MAX of the environment: "

# What it refuses, each in one sentence.
search r --method minibatch
says "refused: minibatch" 2 "a search does not use minibatch"
run "$lode" cluster "$work/x.csv" --search 5 --out "$work/r"
says "refused: no moods" 2 "a search needs --moods FILE"
run "$lode" cluster "$work/x.csv" --search 5 --moods "$work/songs.csv"
says "refused: nowhere to write" 2 "a search needs --out FOLDER"
run "$lode" cluster "$work/x.csv" --method mixed
says "refused: mixed alone" 2 "--method mixed is for a search"
run "$lode" cluster "$work/x.csv" --resume
says "refused: nothing to resume" 2 "are for a search: give --search N"
search r --clusters-min 20 --clusters-max 10
says "refused: a range upside down" 2 "--clusters-min 20 is more than --clusters-max 10"
search r --moods "$work/none.csv"
says "refused: no such file" 5 "none.csv"
head -n 50 "$work/songs.csv" >"$work/few.csv"
search r --moods "$work/few.csv"
says "refused: fewer songs than rows" 3 "few.csv has 49 songs, there are 400 rows of numbers"
cut -d, -f1-3 "$work/songs.csv" | sed 's/"//g' | cut -d, -f1-2 >"$work/plain.csv"
search r --moods "$work/plain.csv"
says "refused: no moods in it" 3 "plain.csv has no moods: a column mood_vector"
sed '5s/^\([^,]*,[^,]*,[^,]*,[^,]*\),[^,]*,/\1,fast,/' "$work/songs.csv" >"$work/bad.csv"
search r --moods "$work/bad.csv"
says "refused: a tempo that is no number" 3 "bad.csv: line 5: tempo is 'fast', which is no number"
sed '7s/:0\.[0-9]*/:loud/' "$work/songs.csv" >"$work/bad.csv"
search r --moods "$work/bad.csv"
says "refused: a mood that is no number" 3 "as 'loud', which is no number"
: >"$work/empty.csv"
run "$lode" cluster "$work/empty.csv" --moods "$work/songs.csv" --out "$work/r" --search 5
says "refused: an empty library" 3 "empty.csv"
sed '9s/^[^,]*/nan/' "$work/x.csv" >"$work/nan.csv"
run "$lode" cluster "$work/nan.csv" --moods "$work/songs.csv" --out "$work/r" --search 5
says "refused: a bad row" 3 "row 9, column 1 is NaN"
search r --update "$work/songs.csv"
says "refused: no report" 3 "songs.csv"
search r --max-distance 0
says "refused: nothing found" 3 "none of 60 runs gave a playlist"
# Small and strange libraries.
for n in 1 2; do
    head -n $n "$work/x.csv" >"$work/tiny.x.csv"
    head -n $((n + 1)) "$work/songs.csv" >"$work/tiny.csv"
    run "$lode" cluster "$work/tiny.x.csv" --moods "$work/tiny.csv" --out "$work/r" --search 5 --min-songs 1
    says "refused: $n songs" 3 "$n songs with moods; at least 3 are needed"
done
head -n 5 "$work/x.csv" | tail -n 3 >"$work/tiny.x.csv"
{ head -n 1 "$work/songs.csv"; sed -n '4,6p' "$work/songs.csv"; } >"$work/tiny.csv"
for method in kmeans dbscan gmm spectral mixed; do
    run "$lode" cluster "$work/tiny.x.csv" --moods "$work/tiny.csv" --out "$work/r" --search 10 --min-songs 1 --method $method --quiet
    ok "3 songs, $method: playlists or a sentence" test "$status" -eq 0 -o "$status" -eq 3
done
sed 's/.*/1,2,3,4,5,6,7,8,9,10/' "$work/x.csv" >"$work/same.x.csv"
for method in kmeans dbscan gmm spectral; do
    run "$lode" cluster "$work/same.x.csv" --moods "$work/songs.csv" --out "$work/r" --search 10 --subset 100 --method $method --quiet
    ok "all songs equal, $method: playlists or a sentence" test "$status" -eq 0 -o "$status" -eq 3
done
for starts in 1 2 3; do
    search r --n-init $starts
    is "starts: $starts" "$status" 0
done
{ cat "$work/songs.csv"; tail -n 1 "$work/songs.csv"; } >"$work/many.csv"
search r --moods "$work/many.csv"
says "refused: more songs than rows" 3 "many.csv has 401 songs, there are 400 rows of numbers"
{ head -n 400 "$work/songs.csv"; sed -n 2p "$work/songs.csv"; } >"$work/twice.csv"
search r --moods "$work/twice.csv"
ok "a song twice: two rows" test "$status" -eq 0
: >"$work/file"
search file/below
says "refused: nowhere to write" 5 "file"
search r --moods "$work"
ok "refused: moods that are a folder" test "$status" -eq 5 -o "$status" -eq 3
if [ -w /dev/full ] && mkdir "$work/full" && ln -s /dev/full "$work/full/search.journal"; then
    search full
    ok "refused: a full disk" test "$status" -eq 5
fi

# On a GPU, which is an emulated one: the same playlists.
lists() { (cd "$work/$1" && cat ./*.m3u8); }
for method in kmeans mixed; do
    search cpu --method $method --search 4 --batch 2 --subset 60 --clusters-max 5 --device cpu
    LODE_FAKE_GPU=t4 search gpu --method $method --search 4 --batch 2 --subset 60 --clusters-max 5 --device cuda
    is "gpu, $method: status" "$status" 0
    lists cpu >"$work/cpu.lists"
    lists gpu >"$work/gpu.lists"
    ok "gpu, $method: the playlists of the CPU" cmp "$work/cpu.lists" "$work/gpu.lists"
done
ok "gpu: the report says so" grep -q '"resolved_device": *"cuda"' "$work/gpu/report.json"

# A GPU that fails in mid-search, or at its start, costs time: the same journal, and the report says so. Each row:
# a name, the fault, --device, the device at the end, failures, what is said.
faulty() {
    LODE_FAKE_GPU=$1 search "$2" --search 6 --batch 2 --subset 60 --clusters-max 5 --device "$3"
}
faulty t4 whole cuda
is "no fault: status" "$status" 0
while IFS='|' read -r name fault device end failures words; do
    faulty "t4,$fault" faulty "$device"
    is "fault, $name: status" "$status" 0
    ok "fault, $name: no run is lost" cmp "$work/whole/search.journal" "$work/faulty/search.journal"
    ok "fault, $name: it is said" grep -q "$words" "$work/err"
    ok "fault, $name: the report says so" python3 -c '
import json, sys
r = json.load(open(sys.argv[1] + "/faulty/report.json"))
assert (r["resolved_device"], r["device_brought_back"]) == (sys.argv[2], int(sys.argv[3])) and "T4" in r["device_reason"], r
assert "of the device; the last one: Tesla T4" in open(sys.argv[1] + "/faulty/report.html").read()' "$work" "$end" "$failures"
    ok "fault, $name: and the summary" grep -q "device  *$end, after $failures failure" "$work/out"
done <<'END'
inputs are not taken|cuMemcpyHtoDAsync_v2=304@40|cuda|cuda|1|opening cuda again: Tesla T4: inputs cannot be sent
inputs are not taken, auto|cuMemcpyHtoDAsync_v2=304@40|auto|cuda|1|opening cuda again: Tesla T4: inputs cannot be sent
a kernel dies|sticky=700@300|cuda|cuda|1|opening cuda again: .*(700)
no memory once|oom=9|auto|cuda|1|opening cuda again: .*OUT_OF_MEMORY
no memory ever again|oom=9+|auto|cpu|1|using the cpu: .*OUT_OF_MEMORY
inputs are never taken again|cuMemcpyHtoDAsync_v2=304@40+|auto|cpu|2|using the cpu: Tesla T4: inputs cannot be sent
END
faulty "t4,cuMemcpyHtoDAsync_v2=304@40+" never cuda
says "fault, a GPU that was asked for never comes back" 7 "3 batches failed, the last one so: Tesla T4: inputs cannot be sent"
# A method with plans beside each other on the GPU.
for fault in 5 9 12 15 18; do
    LODE_FAKE_GPU=t4,oom=$fault run "$lode" cluster "$work/x.csv" --method spectral --clusters 4 --device auto --quiet
    is "fault, spectral without memory at $fault: status" "$status" 0
done

tap_end
