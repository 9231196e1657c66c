#!/bin/sh
# `lode cluster` on scikit-learn's own six toy sets, beside what scikit-learn makes of them from the same starts
# (tools/golden/toys.py).
. tests/tap.sh

cat >"$work/toys.py" <<'END'
"""toys.py FOLDER: writes NAME.csv, NAME.init.csv of every set and a line "NAME K EPS MIN_SAMPLES METHODS".
toys.py FOLDER NAME METHOD: whether LABELS.npy is the golden partition: label by label where a start is given or the
order of rows decides, else up to names (adjusted Rand index >= 0.99)."""
import json, struct, sys
from collections import Counter

folder = sys.argv[1]
sets = {s["name"]: s for s in json.load(open("tests/golden/cluster/toys.json"))}
if len(sys.argv) == 2:
    for s in sets.values():
        for end, rows in (".csv", s["x"]), (".init.csv", s["init"]):
            with open(f"{folder}/{s['name']}{end}", "w") as f:
                f.writelines("%r,%r\n" % tuple(r) for r in rows)
        print(s["name"], s["k"], s["eps"], s["min_samples"], *(m for m in ("kmeans", "dbscan", "gmm", "spectral") if s[m]))
    sys.exit()


def pairs(counts):
    return sum(n * (n - 1) / 2 for n in counts.values())


name, method = sys.argv[2:]
want = sets[name][method]
got = struct.unpack("<%di" % len(want), open(f"{folder}/labels.npy", "rb").read()[-4 * len(want):])
if method == "spectral":
    both, a, b = pairs(Counter(zip(want, got))), pairs(Counter(want)), pairs(Counter(got))
    by_chance = a * b / pairs({0: len(want)})
    index = (both - by_chance) / ((a + b) / 2 - by_chance)
    assert index >= 0.99, index
else:
    other = [(i, w, g) for i, (w, g) in enumerate(zip(want, got)) if w != g]
    assert not other, "row, wanted, got: %r" % other[:5]
if method == "kmeans":
    inertia = json.load(open(f"{folder}/out"))["inertia"]
    assert abs(inertia - sets[name]["inertia"]) < 1e-5 * inertia, inertia
END

python3 "$work/toys.py" "$work" >"$work/list"
while read -r name k eps samples methods; do
    for method in $methods; do
        case $method in
        kmeans) set -- --init "$work/$name.init.csv" --tol 0 ;;
        dbscan) set -- --eps "$eps" --min-samples "$samples" ;;
        gmm) set -- --init "$work/$name.init.csv" --tol 1e-6 --max-iter 500 ;;
        spectral) set -- --neighbors 10 ;;
        esac
        run "$lode" cluster "$work/$name.csv" -m "$method" -k "$k" "$@" --labels "$work/labels.npy" --json
        is "$name, $method: status" "$status" 0
        ok "$name, $method: scikit-learn's labels" python3 "$work/toys.py" "$work" "$name" "$method"
    done
done <"$work/list"
tap_end
