#!/usr/bin/env python3
"""Makes tests/golden/search: songs, clusters of them, and the playlists, names and fitness that AudioMuse-AI's
documented rules give, written here in numpy from their description alone.

usage: tools/golden/search.py FOLDER     (python with numpy)"""
import csv, json, os, sys

import numpy as np

folder = sys.argv[1]
r = np.random.default_rng(5)
MOODS = ("rock,pop,alternative,indie,electronic,female vocalists,dance,00s,alternative rock,jazz,beautiful,metal,"
         "chillout,male vocalists,classic rock,soul,indie rock,Mellow,electronica,80s,folk,90s,chill,instrumental,punk,"
         "oldies,blues,hard rock,ambient,acoustic,experimental,female vocalist,guitar,Hip-Hop,70s,party,country,"
         "easy listening,sexy,catchy,funk,electro,heavy metal,Progressive rock,60s,rnb,indie pop,sad,House,happy").split(",")
GENRES = ("rock,pop,alternative,indie,electronic,jazz,metal,classic rock,soul,indie rock,electronica,folk,punk,blues,"
          "hard rock,ambient,acoustic,experimental,Hip-Hop,country,funk,electro,heavy metal,Progressive rock,rnb,indie pop,"
          "House").split(",")
FEATURES = "danceable,aggressive,happy,party,relaxed,sad".split(",")
N, K = 400, 7

songs = []
for i in range(N):
    labels = r.choice(MOODS, 5, replace=False) if i % 3 else r.choice(MOODS[:8], 5, replace=False)
    scores = np.round(np.sort(r.uniform(0.5, 0.7, 5))[::-1], 3)
    artist = f"Artist {int(r.integers(40))}"
    songs.append(dict(item_id=f"id{i}", title=f"Song {i}", author=[artist, artist.upper() + " ", ""][min(i % 7 // 5, 2)],
                      file_path=f"m/{i}.ogg", tempo=round(float(r.uniform(30, 210)), 2),
                      energy=round(float(r.uniform(0.2, 1)), 4),
                      mood_vector=",".join(f"{m}:{s:.3f}" for m, s in zip(labels, scores)),
                      other_features=",".join(f"{f}:{v:.2f}" for f, v in zip(FEATURES, r.uniform(0.1, 0.7, 6)))))
songs[11]["mood_vector"] = ""
with open(os.path.join(folder, "songs.csv"), "w", newline="") as f:
    w = csv.DictWriter(f, list(songs[0]), lineterminator="\n")
    w.writeheader()
    w.writerows(songs)

label = r.integers(-1, K, N)
away = r.gamma(4, 1, N).astype("f4")


def pairs(text):
    return {p.split(":")[0]: float(p.split(":")[1]) for p in text.split(",") if p}


def genre(song):
    have = pairs(song["mood_vector"])
    best = None
    for g in GENRES:
        if g in have and (best is None or have[g] > have[best]):
            best = g
    return best


def judge(top, weight):
    active = MOODS[:top]
    v = np.array([[min(max((s["tempo"] - 40) / 160, 0), 1), min(max((s["energy"] - 0.3) / 0.65, 0), 1)] +
                  [pairs(s["mood_vector"]).get(m, 0) for m in active] +
                  [pairs(s["other_features"]).get(f, 0) for f in FEATURES] for s in songs])
    most = away[label >= 0].max()
    lists, names = [], []
    moods, features, purity, feature_purity = {}, {}, 0.0, 0.0
    for k in range(K):
        near = [i for i in np.argsort(away, kind="stable") if label[i] == k and away[i] / most <= 0.5]
        taken, of = [], {}
        for i in near:
            artist = songs[i]["author"].strip().lower()
            if artist and of.get(artist, 0) >= 3:
                continue
            of[artist] = of.get(artist, 0) + 1
            taken.append(int(i))
        if not taken:
            continue
        centre = v[label == k].mean(0)
        value = dict(zip(active, centre[2:2 + top]))
        mood_part = [m.title() for m in sorted(active, key=lambda m: -value[m])[:3] if value[m] > 0.01]
        value.update(zip(FEATURES, centre[2 + top:]))
        other = [f.title() for f in sorted(FEATURES, key=lambda f: -value[f]) if value[f] >= 0.5][:2]
        name = "_".join((mood_part or ["Mixed"]) + ["Slow" if centre[0] < 0.33 else "Medium" if centre[0] < 0.66 else "Fast"] + other)
        counts = {g: sum(genre(songs[i]) == g for i in taken) for g in GENRES}
        most_of = max(GENRES, key=lambda g: counts[g])
        unique, n = name, 1
        while unique in names:
            unique, n = f"{name}_{n}", n + 1
        names.append(unique)
        lists.append(dict(cluster=k, songs=taken, name=unique, genre=most_of if counts[most_of] else "other"))
        rank = sorted([m for m in value if m in MOODS], key=lambda m: -value[m])
        moods[rank[0]] = max(moods.get(rank[0], 0), value[rank[0]])
        high = [m for m in rank[:3] if value[m] > 0.01]
        for i in taken:
            own = [v[i][2 + active.index(m)] for m in high if m in active]
            purity += max(own + [0])
        best = max(FEATURES, key=lambda f: value[f])
        if value[best] > 0.3:
            features[best] = max(features.get(best, 0), value[best])
        if value[best] >= 0.3:
            feature_purity += sum(v[i][2 + top + FEATURES.index(best)] for i in taken)
    raw = [sum(moods.values()), purity, sum(features.values()), feature_purity]
    z = [(np.log1p(x) - m) / s for x, m, s in zip(raw, (-0.101, 0.673, 1.5, 8.84), (0.245, 1.063, 0.46, 0.07))]
    return dict(top_moods=top, weight=weight, metrics=z, fitness=float(np.dot(weight, z)), lists=lists,
                songs=sum(len(l["songs"]) for l in lists))


cases = [judge(5, [2, 1, 0, 0]), judge(50, [1, 0.5, 0.25, 0.125]), judge(0 + 20, [2, 1, 1, 1])]
with open(os.path.join(folder, "expected.json"), "w") as f:
    json.dump(dict(numpy=np.__version__, clusters=K, label=label.tolist(), away=[float(x) for x in away], cases=cases), f,
              separators=(",", ":"))
