"""Pictures of an embedding: its rows in two or three dimensions (Power et al. 2022, Figure 3).

The matrix is (N, E): a row for each element, of the embedding or of the output layer as a checkpoint holds them. All of it is computed
in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Projection:
    """An embedding in few dimensions."""

    points: Numbers
    """(N, components)"""
    explained: Numbers
    """(components,): the share of the variance that each axis shows."""


def pca(matrix: ArrayLike, components: int = 2) -> Projection:
    """Principal components of the rows (Pearson 1901); the entry of largest size of each axis in E is positive."""
    centered = centered_rows(matrix)
    limit = min(centered.shape)
    if not 1 <= components <= limit:
        raise ValueError(f"components: got {components}; expected 1 to {limit} for a matrix of shape {centered.shape}.")
    left, sizes, axes = np.linalg.svd(centered, full_matrices=False)
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    points = left * sizes * signs
    return Projection(points[:, :components], (sizes**2 / (sizes**2).sum())[:components])


def classical_scaling(distances: ArrayLike, components: int = 2) -> Projection:
    """Points whose distances come near those given, (N, N), of any metric (Torgerson 1952).

    Of Euclidean distances it is ``pca`` up to signs. Others may be those of no points at all: ``explained`` is then of the sum of the
    sizes of all eigenvalues, so that what no points can show counts as unexplained; axes of negative eigenvalues are zero.
    """
    given = finite_rows(distances)
    if given.shape[0] != given.shape[1] or not np.allclose(given, given.T) or (given < 0).any() or np.diag(given).any():
        raise ValueError(
            f"distances: got an array of shape {given.shape} that is no table of distances; expected it square, symmetric, not negative and "
            "zero on the diagonal. scipy.spatial.distance makes one from a matrix."
        )
    if not 1 <= components <= len(given):
        raise ValueError(f"components: got {components}; expected 1 to {len(given)} for {len(given)} elements.")
    squares = given**2
    products = -0.5 * (squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean())
    values, vectors = np.linalg.eigh((products + products.T) / 2)
    values, vectors = values[::-1], vectors[:, ::-1]
    if not np.abs(values).sum():
        raise ValueError("distances: got zeros only; expected elements that differ.")
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(given))])
    positive = np.maximum(values, 0.0)
    points = vectors * signs * np.sqrt(positive)
    return Projection(points[:, :components], (positive / np.abs(values).sum())[:components])


def tsne(matrix: ArrayLike, seed: int | None = None, *, components: int = 2, perplexity: float | None = None) -> Numbers:
    """t-SNE of the rows, (N, components) (van der Maaten & Hinton 2008), by scikit-learn's exact method, in float64.

    It starts at the principal components, which keeps the large-scale arrangement (Kobak & Berens 2019), or with a seed at
    Gaussian points. The same input gives the same picture. ``perplexity`` is by default 30, or (N − 1) / 3 where that is less: it is the
    number of neighbors that an element is to have, and three times as many have to exist. Memory and time grow with N²; a thousand
    elements take about a minute.
    """
    centered = centered_rows(matrix)
    n = len(centered)
    if n < 4:
        raise ValueError(f"matrix: got {n} rows; expected at least 4, below which t-SNE has no neighbors to keep.")
    if perplexity is None:
        perplexity = min(30.0, (n - 1) / 3)
    if not 1 <= perplexity < n:
        raise ValueError(f"perplexity: got {perplexity}; expected 1 to less than the {n} rows. Leave it out for min(30, (N − 1) / 3).")
    if seed is None:
        start = pca(centered, components).points
        start = start / start[:, 0].std()
    else:
        start = np.random.default_rng(seed).standard_normal((n, components))
    # Imported when needed: it takes a second. Starting points of its own would be float32, and so would all that follows from them.
    TSNE: Any = import_module("sklearn.manifold").TSNE
    made = TSNE(n_components=components, perplexity=perplexity, method="exact", init=1e-4 * start, random_state=0, n_jobs=1)
    return np.asarray(made.fit_transform(centered), dtype=np.float64)


# — checks —


def centered_rows(matrix: ArrayLike) -> Numbers:
    """A matrix (N, E) in float64 less its mean row; ValueError where it is not one, holds nan or has equal rows only."""
    rows = finite_rows(matrix)
    centered = rows - rows.mean(axis=0)
    # Rounding leaves equal rows at about 1e-16 of their size.
    if not np.abs(centered).max() > 1e-13 * np.abs(rows).max():
        raise ValueError("matrix: got rows that are all equal; expected elements that differ.")
    return centered


def finite_rows(matrix: ArrayLike) -> Numbers:
    """A matrix (N, E) in float64; ValueError where it is not one or holds nan."""
    rows = np.asarray(matrix, dtype=np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"matrix: got shape {rows.shape}; expected (N, E), a row for each element.")
    if not np.isfinite(rows).all():
        raise ValueError(
            f"matrix: got {(~np.isfinite(rows)).sum():,} values that are nan or infinite; expected numbers. Did the run diverge?"
        )
    return rows
