"""Claim: the Frechet distance equals torch-fidelity's to 1e-8 at 2048 features, in a fifth of SciPy's time.

Features with the width of Inception's and a similar spectrum, more rows than features. Every route
starts from the same two means and covariances, which is where the routes part: rondel takes a
Cholesky factor and the eigenvalues of a symmetric matrix, torch-fidelity those of the unsymmetric
product, pytorch-fid and clean-fid SciPy's root of that product. *with covariances* starts from the
features, as a caller does. CPU seconds on one thread, the routes in alternation in one process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from ratios import Ratio, print_table, write_json

from rondel_gan.metrics import frechet_distance
from rondel_gan.metrics.frechet import Moments

OURS = "rondel"
TOLERANCE = 1e-8
Arrays = tuple[Any, Any]


@dataclass
class Row:
    """The measurements of one route, round by round."""

    label: str
    version: str
    root_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    value: float = float("nan")
    difference: float = float("nan")
    root_ratio: Ratio | None = None
    whole_ratio: Ratio | None = None
    failure: str = ""


@dataclass(frozen=True)
class Route:
    """How one package gets from features to the distance, in two steps."""

    package: str
    moments: Callable[[torch.Tensor], Any]
    distance: Callable[[Any, Any], float]
    whole: Callable[[torch.Tensor, torch.Tensor], float]


def main() -> None:
    """Measure in alternation, compare, print, store; exit 1 if the values differ."""
    options = parse_options()
    torch.set_num_threads(1)
    features = [like_inception(options.rows, options.columns, seed=seed) for seed in (0, 1)]
    rows = {label: Row(label, version_of(route.package)) for label, route in ROUTES.items()}
    for _ in range(options.rounds):
        for label, row in rows.items():
            measure(row, ROUTES[label], *features)
    summarise(rows)
    show(list(rows.values()))
    settings = {name: getattr(options, name) for name in ("rows", "columns", "rounds")}
    write_json(options.json, settings=settings, rows=[asdict(row) for row in rows.values()])
    if not all(row.failure or abs(row.difference) <= TOLERANCE for row in rows.values()):
        raise SystemExit("the distances differ")


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5000, help="images of either kind (5000)")
    parser.add_argument("--columns", type=int, default=2048, help="features (2048)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    return parser.parse_args()


def like_inception(rows: int, columns: int, *, seed: int) -> torch.Tensor:
    """Make features with a long tail of small variances, (rows, columns)."""
    draw = torch.Generator().manual_seed(seed)
    deviation = torch.arange(1, columns + 1, dtype=torch.float64) ** -0.5
    plain = torch.randn(rows, columns, generator=draw, dtype=torch.float64) * deviation
    mixing = torch.randn(columns, columns, generator=draw, dtype=torch.float64)
    mixed: torch.Tensor = plain @ torch.linalg.qr(mixing)[0] + 0.01 * seed
    return mixed


def measure(row: Row, route: Route, first: torch.Tensor, second: torch.Tensor) -> None:
    """Time one round of a route, unless it failed before."""
    if row.failure:
        return
    try:
        moments = route.moments(first), route.moments(second)
        row.value, root_s = timed(lambda: route.distance(*moments))
        _, whole_s = timed(lambda: route.whole(first, second))
    except ImportError as error:
        row.failure = f"not run: {error}"
        return
    row.root_s.append(root_s)
    row.whole_s.append(whole_s)


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """Return the value of a call, and its CPU seconds."""
    start = time.process_time()
    value = call()
    return value, time.process_time() - start


def summarise(rows: dict[str, Row]) -> None:
    """Fill in ratios and differences to ours."""
    ours = rows[OURS]
    for row in rows.values():
        if not row.failure:
            row.root_ratio = Ratio.of(row.root_s, ours.root_s)
            row.whole_ratio = Ratio.of(row.whole_s, ours.whole_s)
            row.difference = row.value / ours.value - 1


def show(rows: list[Row]) -> None:
    """Print the table."""
    header = ["route", "version", "CPU-s", "over rondel", "with covariances", "over rondel", "off"]
    print_table(header, [cells(row) for row in rows])


def cells(row: Row) -> list[object]:
    """Format one row."""
    if row.failure:
        return [row.label, row.version, row.failure, "", "", "", ""]
    return [
        row.label,
        row.version,
        f"{median(row.root_s):.2f}",
        row.root_ratio,
        f"{median(row.whole_s):.2f}",
        row.whole_ratio,
        f"{row.difference:.0e}",
    ]


def arrays(features: torch.Tensor) -> Arrays:
    """Return mean and covariance as NumPy has them."""
    rows = features.numpy()
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


def by_eigenvalues(first: Arrays, second: Arrays) -> float:
    """torch-fidelity's own function."""
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    one, two = ({"mu": mean, "sigma": covariance} for mean, covariance in (first, second))
    return float(fid_statistics_to_metric(one, two, False)["frechet_inception_distance"])


def by_matrix_root(first: Arrays, second: Arrays) -> float:
    """The formula with SciPy's root, as pytorch-fid and clean-fid have it."""
    from scipy.linalg import sqrtm

    difference = first[0] - second[0]
    root = sqrtm(first[1] @ second[1]).real
    return float(difference @ difference + np.trace(first[1] + second[1] - 2 * root))


def from_features(distance: Callable[[Arrays, Arrays], float]) -> Callable[..., float]:
    """Return the whole way of a NumPy route."""
    return lambda first, second: distance(arrays(first), arrays(second))


ROUTES = {
    OURS: Route("rondel", Moments.of, Moments.distance, frechet_distance),
    "torch-fidelity": Route(
        "torch-fidelity", arrays, by_eigenvalues, from_features(by_eigenvalues)
    ),
    "SciPy sqrtm": Route("scipy", arrays, by_matrix_root, from_features(by_matrix_root)),
}


def version_of(package: str) -> str:
    """Return the installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
