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
# the report keeps centres of any size
awk -F, '{ for (j = 1; j <= NF; j++) printf "%.6ge-8%s", $j, j < NF ? "," : "\n" }' "$work/x.csv" >"$work/tiny.csv"
run "$lode" cluster "$work/tiny.csv" --moods "$work/songs.csv" --out "$work/tiny" --search 2 --subset 200 --min-songs 5 \
    --clusters-min 4 --clusters-max 12 --quiet
ok "search: centres of small rows are in the report, with all digits" python3 -c '
import json, sys
x = [abs(v) for c in json.load(open(sys.argv[1] + "/report.json"))["clusters"] for v in c]
assert 1e-9 < max(x) < 1e-6 and sum(len("%r" % v) > 15 for v in x) > len(x) / 2, x' "$work/tiny"
search c --seed 1
ok "search: another seed, other runs" sh -c "! cmp -s '$work/a/search.journal' '$work/c/search.journal'"

# Two searches in one folder: the second says so, and harms nothing.
mkdir "$work/two"
cp "$work/a/search.journal" "$work/two/"
locked() {
    python3 -c '
import fcntl, subprocess, sys
with open(sys.argv[1]) as f:
    fcntl.flock(f, fcntl.LOCK_EX)
    sys.exit(subprocess.call(sys.argv[2:]))' "$@"
}
for resume in "" --resume; do
    # shellcheck disable=SC2086
    run locked "$work/two/search.journal" "$lode" cluster "$work/x.csv" --moods "$work/songs.csv" --out "$work/two" \
        --search 60 $resume --quiet
    says "two at once${resume:+, $resume}: the second waits its turn" 5 \
        "two/search.journal: another search is at work in this folder; wait for its end, or give another --out"
    ok "two at once${resume:+, $resume}: the journal is left alone" cmp "$work/a/search.journal" "$work/two/search.journal"
done

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


# A batch that failed is made again by --resume, and what was varied without it: here one that had no memory.
for call in 20 24 28 32 36 40 44 48 52 56; do
    rm -rf "$work/l"
    LODE_FAIL=alloc:$call search l --batch 5
    grep -q 'runs [0-9]* to [0-9]* are lost: ' "$work/err" && break
done
is "lost: a batch costs itself" "$status $(grep -c 'are lost: ' "$work/err")" "0 1"
ok "lost: the summary says how many, and what to do" grep -q 'lost  *5 runs of batches that failed; --resume makes them again' "$work/out"
search whole --batch 5
search l --batch 5 --resume
norm whole
norm l
ok "lost: resumed, the result is that of an undisturbed search" cmp "$work/whole/report.norm" "$work/l/report.norm"
ok "lost: what did not depend on it is not made again" python3 -c '
import json, sys
r = json.load(open(sys.argv[1] + "/report.json"))
assert r["runs_lost"] == 0 and 0 < r["runs_resumed"] <= 55, (r["runs_lost"], r["runs_resumed"])' "$work/l"
cp "$work/l/search.journal" "$work/kept.journal"
search l --batch 5 --resume
ok "lost: nothing is left to do" cmp "$work/kept.journal" "$work/l/search.journal"

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

# Reports of others, and names that a disk, a player or a terminal could mind.
report() { # PYTHON: what is done to report r, which begins as the one above
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1] + "/w/report.json"))
p = r["playlists"]
exec(sys.argv[2])
json.dump(r, open(sys.argv[1] + "/other.json", "w"))' "$work" "$1"
}
report 'names = ["a/b", "a:b", "A?B", "x\n#EXTINF:1\ny", "\x1b[31mred", "…" * 100, "…" * 90, ".."]
for i, l in enumerate(p): l["name"] = names[i % len(names)] + ("" if i < len(names) else str(i))'
search n --update "$work/other.json" --subset 0 --search 1
is "names: status" "$status" 0
ok "names: every playlist has a file of its own, and one line" python3 -c '
import json, os, sys
folder = sys.argv[1] + "/n"
lists = json.load(open(folder + "/report.json"))["playlists"]
files = [p["file"].lower() for p in lists]
assert len(set(files)) == len(files) >= 6, files
assert sum(f.endswith(".m3u8") for f in os.listdir(folder)) == len(files), os.listdir(folder)
for p in lists:
    assert len(p["file"].encode()) < 220 and not p["file"].startswith(".") and "/" not in p["file"], p["file"]
    lines = open(folder + "/" + p["file"]).read().split("\n")
    assert lines[1] == "#PLAYLIST:" + p["name"] and lines[2].startswith("#EXTINF:-1,"), lines[:3]
    assert all(c >= " " for c in p["name"])' "$work"
while IFS='|' read -r name change words; do
    report "$change"
    search n --update "$work/other.json" --subset 0 --search 1
    says "update: $name" 3 "$words"
done <<'END'
no object|r = [1]|other.json: no report of a search: it has no playlists
a long name|p[1]["name"] = "q" * 5000|other.json: playlist 2 has a name of 5000 bytes, at most 400 can be right
no name|p[1]["name"] = ""|other.json: playlist 2 has no id, no name or no songs
an id twice|p[1]["id"] = p[0]["id"]|other.json: two playlists have the id 1
one cluster|r["clusters"] = [[1] * 10]|1 cluster of an earlier search; 2 to 398 can be of 399 songs
other columns|r["clusters"] = [[1]] * 5|other.json is of rows of 1 number, these have 10
no numbers|r["clusters"][1][3] = "x"|other.json: cluster 2 is no row of 10 numbers
END
for file in songs.csv none.json empty.json .; do
    : >"$work/empty.json"
    case $file in
    none.json) words="none.json: No such file or directory" want=5 ;;
    .) words="is a folder, a file is needed" want=5 ;;
    *) words="$file: JSON, line 1, column" want=3 ;;
    esac
    search n --update "$work/$file"
    says "update: $file" $want "$words"
done
# Paths that begin with #, and songs that have neither path nor id.
python3 - "$work" <<'PY'
import csv, sys
rows = list(csv.reader(open(sys.argv[1] + "/songs.csv")))
path = rows[0].index("file_path")
for i, row in enumerate(rows[1:]):
    row[path] = ["#1 hits/%d.ogg" % i, "a\nb/%d.ogg" % i, "", 'q"' * 200 + str(i)][i % 4]
    row[rows[0].index("item_id")] = ""
csv.writer(open(sys.argv[1] + "/paths.csv", "w")).writerows(rows)
PY
search p --moods "$work/paths.csv"
is "paths: status" "$status" 0
ok "paths: every song is one line that is no comment" python3 -c '
import glob, re, sys
kinds = set()
for f in glob.glob(sys.argv[1] + "/p/*.m3u8"):
    lines = open(f).read().split("\n")[2:-1]
    assert len(lines) % 2 == 0
    for info, place in zip(lines[::2], lines[1::2]):
        assert info.startswith("#EXTINF:-1,") and re.match("./#1 hits/|a b/|row [0-9]+$|q\"q\"", place), place
        kinds.add(place[:3])
assert len(kinds) == 4, kinds' "$work"

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
says "refused: nothing to resume" 2 "--resume is for a search: give --search N"
run "$lode" cluster "$work/x.csv" --clusters-min 3 --clusters-max 9
says "refused: a range without a search" 2 "--clusters-min is for a search: give --search N"
search r --clusters-min 20 --clusters-max 10
says "refused: a range upside down" 2 "--clusters-min 20 is more than --clusters-max 10"
while IFS='|' read -r options words; do
    # shellcheck disable=SC2086
    search r $options
    says "refused: $options" 2 "$words"
done <<'END'
-k 5|a search does not take --clusters: give --clusters-min and --clusters-max
--pca 3|a search does not take --pca: give --pca-min and --pca-max
--standardize|a search does not take --standardize: it always does so
--labels l.npy|a search does not take --labels: it writes playlists and a report
--covariance full|a search does not take --covariance: give --gmm-covariance
--pca-min 3 --pca-max 2|--pca-min 3 is more than --pca-max 2
--eps-min 3 --eps-max 2|--eps-min 3 is more than --eps-max 2
--min-samples-min 3 --min-samples-max 2|--min-samples-min 3 is more than --min-samples-max 2
--max-songs 4|--min-songs 5 is more than --max-songs 4: no playlist can have as many
--subset 4|--min-songs 5 is more than --subset 4: no playlist can have as many
--moods=|a search needs --moods FILE
--out=|a search needs --out FOLDER
END
run sh -c 'cat "$2" | timeout 60 "$1" cluster "$3" --moods /dev/stdin --out "$4" --search 5 --quiet' - \
    "$lode" "$work/songs.csv" "$work/x.csv" "$work/r"
says "refused: moods from a pipe" 2 "--moods /dev/stdin is read twice: give a file"
search r --moods -
says "refused: moods from standard input" 2 "--moods - is read twice: give a file"
search r --moods "$work/none.csv"
says "refused: no such file" 5 "none.csv: No such file or directory"
head -n 50 "$work/songs.csv" >"$work/few.csv"
search r --moods "$work/few.csv"
says "refused: fewer songs than rows" 3 "few.csv has 49 songs, for 400 rows of numbers; there must be one for each, in the same order"
cut -d, -f1-3 "$work/songs.csv" | sed 's/"//g' | cut -d, -f1-2 >"$work/plain.csv"
search r --moods "$work/plain.csv"
says "refused: no moods in it" 3 "plain.csv has no moods: a column mood_vector"
sed '5s/^\([^,]*,[^,]*,[^,]*,[^,]*\),[^,]*,/\1,fast,/' "$work/songs.csv" >"$work/bad.csv"
search r --moods "$work/bad.csv"
says "refused: a tempo that is no number" 3 "bad.csv: line 5: tempo is 'fast', which is no number"
sed '7s/:0\.[0-9]*/:loud/' "$work/songs.csv" >"$work/bad.csv"
search r --moods "$work/bad.csv"
says "refused: a mood that is no number" 3 "bad.csv: line 7: mood_vector gives [a-zA-Z0-9 -]* as 'loud', which is no number"
sed '7s/:0\.[0-9]*/:nan/' "$work/songs.csv" >"$work/bad.csv"
search r --moods "$work/bad.csv"
says "refused: a mood that is NaN" 3 "bad.csv: line 7: mood_vector gives [a-zA-Z0-9 -]* as 'nan', which is no number"
sed '7s/:0\.[0-9]*/:1e300/' "$work/songs.csv" >"$work/bad.csv"
search r --moods "$work/bad.csv"
says "refused: a mood beyond all measure" 3 "bad.csv: line 7: [a-zA-Z0-9 -]* is 1e+300; numbers from -1e+06 to 1e+06 can be judged"
awk 'BEGIN { print "rock,pop"; for (i = 1; i <= 400; i++) print (i == 6 ? "-1e300" : i % 7 / 7) "," i % 5 / 5 }' >"$work/bad.csv"
search r --moods "$work/bad.csv"
says "refused: the same in a column of its own" 3 "bad.csv: line 7: rock is -1e+300; numbers from"
: >"$work/empty.csv"
run "$lode" cluster "$work/empty.csv" --moods "$work/songs.csv" --out "$work/r" --search 5
says "refused: an empty library" 3 "empty.csv: no line of numbers in 0 bytes"
sed '9s/^[^,]*/nan/' "$work/x.csv" >"$work/nan.csv"
run "$lode" cluster "$work/nan.csv" --moods "$work/songs.csv" --out "$work/r" --search 5
says "refused: a bad row" 3 "nan.csv: row 9, column 1 is NaN; drop the row or fill it in"
search r --max-distance 0
says "refused: nothing found" 3 "60 runs gave no playlist; wider ranges, a larger --max-distance or another method may"
search r --min-songs 150
says "refused: no playlist is large enough" 3 "no playlist of the best run has 150 songs or more; a smaller --min-songs"
# Small and strange libraries.
for n in 1 2; do
    head -n $n "$work/x.csv" >"$work/tiny.x.csv"
    head -n $((n + 1)) "$work/songs.csv" >"$work/tiny.csv"
    run "$lode" cluster "$work/tiny.x.csv" --moods "$work/tiny.csv" --out "$work/r" --search 5 --min-songs 1
    says "refused: $n songs" 3 "$n songs* with moods in a run; at least 3 are needed"
done
playlists_or_not() {
    [ "$status" -eq 0 ] && grep -q '[0-9] songs*  ' "$work/out" && return
    [ "$status" -eq 3 ] && grep -q '10 runs gave no playlist\|no playlist of the best run has' "$work/err"
}
head -n 5 "$work/x.csv" | tail -n 3 >"$work/tiny.x.csv"
{ head -n 1 "$work/songs.csv"; sed -n '4,6p' "$work/songs.csv"; } >"$work/tiny.csv"
for method in kmeans dbscan gmm spectral mixed; do
    run "$lode" cluster "$work/tiny.x.csv" --moods "$work/tiny.csv" --out "$work/r" --search 10 --min-songs 1 --method $method --quiet
    ok "3 songs, $method: playlists or a sentence" playlists_or_not
done
sed 's/.*/1,2,3,4,5,6,7,8,9,10/' "$work/x.csv" >"$work/same.x.csv"
for method in kmeans dbscan gmm spectral; do
    run "$lode" cluster "$work/same.x.csv" --moods "$work/songs.csv" --out "$work/r" --search 10 --subset 100 --method $method --quiet
    ok "all songs equal, $method: playlists or a sentence" playlists_or_not
done
for starts in 1 2 3; do
    search r --n-init $starts
    is "starts: $starts" "$status" 0
done
{ cat "$work/songs.csv"; tail -n 1 "$work/songs.csv"; } >"$work/many.csv"
search r --moods "$work/many.csv"
says "refused: more songs than rows" 3 "many.csv has 401 songs, for 400 rows of numbers"
{ head -n 400 "$work/songs.csv"; sed -n 2p "$work/songs.csv"; } >"$work/twice.csv"
search r --moods "$work/twice.csv"
is "a song twice: two rows" "$status" 0
: >"$work/file"
search file/below
says "refused: nowhere to write" 5 "file: cannot make the folder: File exists"
search r --moods "$work"
says "refused: moods that are a folder" 5 "is a folder, a file is needed"
# The disk fills up: at the journal's head, a batch, a playlist, which is the first thing after three batches.
for write in 1 2 5; do
    words="search.journal: the disk is full"
    [ $write = 5 ] && words="full/.*\.m3u8, after 0 bytes: the disk is full"
    rm -rf "$work/full"
    LODE_FAIL=write:$write search full
    says "refused: a full disk at write $write" 5 "$words"
    is "refused: a full disk at write $write leaves no more" "$(ls "$work/full")" search.journal
done

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
rm -rf "$work/whole"
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
inputs are not taken|cuMemcpyHtoDAsync_v2=304@40|cuda|cuda|1|Tesla T4: inputs cannot be sent.*; going on with cuda, Tesla T4
inputs are not taken, auto|cuMemcpyHtoDAsync_v2=304@40|auto|cuda|1|Tesla T4: inputs cannot be sent.*; going on with cuda, Tesla T4
a kernel dies|sticky=700@300|cuda|cuda|1|(700); going on with cuda, Tesla T4
no memory once|oom=9|auto|cuda|1|OUT_OF_MEMORY.*; going on with cuda, Tesla T4
no memory ever again|oom=9+|auto|cpu|1|OUT_OF_MEMORY.*; going on with cpu
inputs are never taken again|cuMemcpyHtoDAsync_v2=304@40+|auto|cpu|2|Tesla T4: inputs cannot be sent.*; going on with cpu
END
faulty "t4,cuMemcpyHtoDAsync_v2=304@40+" never cuda
says "fault, a GPU that was asked for never comes back" 7 "3 batches failed, the last one so: Tesla T4: inputs cannot be sent"
LODE_FAKE_GPU=t4 search never --search 6 --batch 2 --subset 60 --clusters-max 5 --device cuda --resume
norm never
norm whole
ok "fault, but on another day: --resume makes all that was lost" cmp "$work/whole/report.norm" "$work/never/report.norm"
# A method with plans beside each other on the GPU.
for fault in 5 9 12 15 18; do
    LODE_FAKE_GPU=t4,oom=$fault run "$lode" cluster "$work/x.csv" --method spectral --clusters 4 --device auto --quiet
    is "fault, spectral without memory at $fault: status" "$status" 0
done

tap_end
