#!/usr/bin/env python3
"""Makes tests/golden/cluster: sets of rows, and what scikit-learn (1.9.1, numpy 2.4.6, f64 but where a name says
f32) makes of them. Whatever has steps has its start given, so that no random number has to be copied.

usage: tools/golden/cluster.py FOLDER     (python with numpy, scipy and scikit-learn)"""
import json, os, sys, warnings

import numpy as np
import scipy.sparse.csgraph as csgraph
import sklearn
from sklearn.cluster import DBSCAN, KMeans, SpectralClustering
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.metrics import (adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score, silhouette_samples,
                             silhouette_score)
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")
folder = sys.argv[1]
want = {"sklearn": sklearn.__version__, "numpy": np.__version__}


def save(name, a):
    np.save(os.path.join(folder, name + ".npy"), np.ascontiguousarray(a))


def ints(a):
    return [int(v) for v in a]


def floats(a):
    return np.asarray(a, "f8").tolist()


def make(n, d, latent, k, seed):
    """A mixture of Gaussians in few dimensions with a falling spectrum, turned into d, with outliers."""
    r = np.random.default_rng(seed)
    scale = (1.0 + np.arange(latent)) ** -0.5
    centre = r.normal(size=(k, latent)) * 1.6 * scale
    weight = r.dirichlet(np.full(k, 1.5))
    mix = r.normal(size=(latent, d)) / np.sqrt(latent)
    bias = r.normal(size=d)
    label = r.choice(k, size=n, p=weight)
    z = centre[label] + r.normal(size=(n, latent)) * scale
    out = r.random(n) < 0.05
    z[out] = r.normal(size=(int(out.sum()), latent)) * 2.5 * scale
    return np.ascontiguousarray(z @ mix + bias + 0.05 * r.normal(size=(n, d)), dtype=np.float32)


a = make(600, 64, 12, 12, 5)
save("a_x", a)
scaler = StandardScaler().fit(a.astype("f8"))
want["scaler"] = dict(input="a_x", mean=floats(scaler.mean_), scale=floats(scaler.scale_))
standard = scaler.transform(a.astype("f8"))
p = PCA(n_components=10, svd_solver="full").fit(standard)
want["pca"] = dict(input="standardised a_x", n_components=10, components_up_to_sign=floats(p.components_),
                   explained_variance=floats(p.explained_variance_),
                   explained_variance_ratio=floats(p.explained_variance_ratio_))
b = p.transform(standard).astype("f4")
save("b_x", b)
wide = b.astype("f8")
r = np.random.default_rng(3)
init = b[r.choice(600, 8, replace=False)].copy()
save("kmeans_init", init)


def kmeans(name, x, start, tol):
    m = KMeans(8, init=start, n_init=1, max_iter=300, tol=tol, algorithm="lloyd").fit(x)
    want[name] = dict(input="b_x", tol=tol, labels=ints(m.labels_), inertia=float(m.inertia_), n_iter=int(m.n_iter_),
                      centers=floats(m.cluster_centers_))


kmeans("kmeans_f64", wide, init.astype("f8"), 0.0)
kmeans("kmeans_f32", b, init, 0.0)
kmeans("kmeans_f64_tol1e-4", wide, init.astype("f8"), 1e-4)
far = init.astype("f8").copy()
far[6:] = 100.0
kmeans("kmeans_empty_cluster", wide, far, 0.0)

label = np.array(want["kmeans_f64"]["labels"])
for name, l in (("metrics", label), ("metrics_singleton", np.where(np.arange(600) == 0, 8, label))):
    want[name] = dict(silhouette=float(silhouette_score(wide, l)),
                      davies_bouldin=float(davies_bouldin_score(wide, l)),
                      calinski_harabasz=float(calinski_harabasz_score(wide, l)))
want["metrics"]["silhouette_samples_first16"] = floats(silhouette_samples(wide, label)[:16])

moons = np.vstack([make_moons(500, noise=0.07, random_state=2)[0], r.uniform(-1.5, 2.5, (40, 2))]).astype("f4")
save("c_x", moons)
for name, x, eps, least in (("dbscan_moons", moons, 0.16, 6), ("dbscan_pca", b, 4.6, 8),
                            ("dbscan_pca_tight", b, 3.6, 5), ("dbscan_all_noise", b, 0.5, 5)):
    m = DBSCAN(eps=eps, min_samples=least).fit(x.astype("f8"))
    want[name] = dict(input="c_x" if x is moons else "b_x", eps=eps, min_samples=least, labels=ints(m.labels_),
                      n_clusters=int(m.labels_.max() + 1), noise=int((m.labels_ < 0).sum()),
                      core=ints(m.core_sample_indices_))

means = KMeans(5, init=init[:5].astype("f8"), n_init=1).fit(wide).cluster_centers_
save("gmm_means_init", means)
variance = wide.var(0) + 1e-4
for kind in ("diag", "full", "spherical", "tied"):
    precision = dict(diag=np.tile(1 / variance, (5, 1)), full=np.tile(np.diag(1 / variance), (5, 1, 1)),
                     spherical=np.full(5, 1 / variance.mean()), tied=np.diag(1 / variance))[kind]
    for steps in (1, 5, 500):
        m = GaussianMixture(5, covariance_type=kind, reg_covar=1e-4, tol=1e-6, max_iter=steps,
                            weights_init=np.full(5, 0.2), means_init=means, precisions_init=precision).fit(wide)
        d = want[f"gmm_{kind}_{steps}"] = dict(n_iter=int(m.n_iter_), lower_bound=float(m.lower_bound_),
                                               mean_loglik=float(m.score(wide)), weights=floats(m.weights_),
                                               bic=float(m.bic(wide)))
        if steps == 500:
            d["labels"] = ints(m.predict(wide))

graph = kneighbors_graph(wide, 10, include_self=True)
laplacian = csgraph.laplacian(0.5 * (graph + graph.T), normed=True).toarray()


def spectral(x, k, **more):
    return SpectralClustering(k, affinity="nearest_neighbors", n_neighbors=10, **more).fit(x).labels_


one = spectral(wide, 6, n_init=50, random_state=0)
assert adjusted_rand_score(one, spectral(wide, 6, n_init=50, random_state=9)) == 1
want["spectral"] = dict(laplacian_eigenvalues_first12=floats(np.linalg.eigvalsh(laplacian)[:12]),
                        labels_up_to_permutation=ints(one))
want["spectral_moons"] = dict(
    labels_up_to_permutation=ints(spectral(moons[:500].astype("f8"), 2, n_init=20, random_state=0)))
json.dump(want, open(os.path.join(folder, "expected.json"), "w"), separators=(",", ":"))
