"""toys.py > tests/golden/cluster/toys.json: the six sets of scikit-learn's "Comparing different clustering
algorithms", 300 rows each, and what scikit-learn makes of them from given starts. Rows are rounded as they are
printed, before anything is computed. Spectral: of sets whose cuts do not depend on its seed."""

import json

import numpy as np
from sklearn.cluster import DBSCAN, KMeans, SpectralClustering
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

N = 300


def sets():
    x, y = make_blobs(n_samples=N, random_state=170)
    yield "circles", make_circles(n_samples=N, factor=0.5, noise=0.05, random_state=170)[0], 2, 0.3, 5
    yield "moons", make_moons(n_samples=N, noise=0.05, random_state=170)[0], 2, 0.3, 5
    yield "varied", make_blobs(n_samples=N, cluster_std=[1.0, 2.5, 0.5], random_state=170)[0], 3, 0.18, 7
    yield "aniso", x @ [[0.6, -0.6], [-0.4, 0.8]], 3, 0.15, 7
    yield "blobs", make_blobs(n_samples=N, random_state=30)[0], 3, 0.3, 5
    yield "square", np.random.RandomState(30).rand(N, 2), 3, 0.3, 5


def spectral(x, k, seed):
    return SpectralClustering(k, affinity="nearest_neighbors", n_neighbors=10, random_state=seed).fit_predict(x)


out = []
for name, x, k, eps, samples in sets():
    x = ((x - x.mean(0)) / x.std(0)).round(5)
    init = x[:: N // k][:k]
    means = KMeans(k, init=init, n_init=1, tol=0).fit(x)
    cut, other = spectral(x, k, 0), spectral(x, k, 1)
    out.append(dict(
        name=name, x=x.tolist(), k=k, eps=eps, min_samples=samples, init=init.tolist(), kmeans=means.labels_.tolist(),
        inertia=float(means.inertia_), dbscan=DBSCAN(eps=eps, min_samples=samples).fit_predict(x).tolist(),
        gmm=GaussianMixture(k, means_init=init, weights_init=[1 / k] * k, precisions_init=[np.eye(2)] * k,
                            max_iter=500, tol=1e-6).fit(x).predict(x).tolist(),
        spectral=cut.tolist() if adjusted_rand_score(cut, other) > 0.999 else None))
print("[" + ",\n".join(json.dumps(s) for s in out) + "]")
