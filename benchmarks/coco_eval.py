"""Claim: rondel's COCO evaluator gives pycocotools' arrays bit for bit at less than a hundredth of its time.

CPU time and peak memory of evaluating boxes on a made-up set with the numbers of COCO's val2017
(`coco_like.py`), each evaluator in a fresh process with one thread, in alternation. All start from
the same columns in memory, which is what a training loop has: *load* is what an evaluator needs to
take them in, *evaluate* is matching and accumulating. Memory is the peak of the process less that of
one that only reads the columns. Precision, recall and scores are compared in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from coco_like import CLASSES, IMAGES, Scene, make_scene
from ratios import Ratio, print_table, write_json
from workers import run_worker

SCRIPT = Path(__file__).resolve()
ARRAYS = ("precision", "recall", "scores")
BASELINE = "pycocotools"
COLUMNS = "columns.npz"
Arrays = Mapping[str, np.ndarray]


@dataclass
class Row:
    """The measurements of one evaluator, round by round."""

    label: str
    version: str
    load_s: list[float] = field(default_factory=list)
    evaluate_s: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    equal: bool = True
    largest_difference: float = 0.0
    failure: str = ""

    @property
    def total_s(self) -> list[float]:
        """Return load and evaluate together."""
        return [a + b for a, b in zip(self.load_s, self.evaluate_s, strict=True)]


def main() -> None:
    """Measure in alternation, compare the arrays, print, store; exit 1 if rondel's differ."""
    options = parse_options()
    if options.worker:
        work(options)
        return
    rows = [Row(name, version_of(package)) for name, (package, _) in EVALUATORS.items()]
    empty_mb: list[float] = []
    with tempfile.TemporaryDirectory(prefix="rondel-bench-") as folder:
        # made here and read by the workers, so that making them is in nobody's peak of memory
        np.savez(Path(folder) / COLUMNS, **vars(make_scene(options.images, seed=options.seed)))
        for _ in range(options.rounds):
            empty_mb.append(ask("columns only", Path(folder))["peak_mb"])
            for row in rows:
                measure(row, options, Path(folder))
    numbers = json.dumps(options.summary) if options.summary else ""
    print(f"{options.images} images, {options.rounds} rounds; {numbers}\n")
    report(rows, median(empty_mb))
    settings = {"images": options.images, "seed": options.seed, "rounds": options.rounds}
    settings |= {"columns_only_mb": empty_mb, "summary": options.summary}
    write_json(options.json, settings=settings, rows=rows)
    if any(row.label == "rondel" and (row.failure or not row.equal) for row in rows):
        raise SystemExit("rondel's arrays are not those of pycocotools")


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=IMAGES, help=f"images ({IMAGES})")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--seed", type=int, default=0, help="of the made-up set (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.set_defaults(summary=None)
    return parser.parse_args()


def measure(row: Row, options: argparse.Namespace, folder: Path) -> None:
    """Run one evaluator in a process of its own and compare its arrays with pycocotools'."""
    if row.failure:
        return
    content = ask(row.label, folder)
    row.failure = content.get("failure", "")
    if row.failure:
        return
    row.load_s.append(content["load_s"])
    row.evaluate_s.append(content["evaluate_s"])
    row.peak_mb.append(content["peak_mb"])
    reference = folder / f"{BASELINE}.npz"
    if row.label == BASELINE:
        options.summary = content["summary"]
    if reference.exists():
        compare(row, folder / f"{row.label}.npz", reference)


def ask(name: str, folder: Path) -> dict[str, Any]:
    """Return what a worker measured, or why it did not."""
    answer = run_worker(SCRIPT, [name, "--folder", str(folder)], timeout_s=1800)
    if answer.content is None:
        return {"failure": answer.reason, "peak_mb": 0.0}
    content: dict[str, Any] = answer.content
    return content


def compare(row: Row, found: Path, reference: Path) -> None:
    """Note whether all arrays are equal, and how far they are apart."""
    with np.load(found) as mine, np.load(reference) as theirs:
        for name in ARRAYS:
            row.equal &= np.array_equal(mine[name], theirs[name])
            difference = float(np.abs(mine[name] - theirs[name]).max())
            row.largest_difference = max(row.largest_difference, difference)


def report(rows: list[Row], empty_mb: float) -> None:
    """Print the table."""
    base = next(row for row in rows if row.label == BASELINE)
    table = []
    for row in rows:
        if row.failure:
            table.append((f"{row.label}: not run, {row.failure}", *[""] * 7))
            continue
        own, theirs = (median(one.peak_mb) - empty_mb for one in (row, base))
        table.append(
            (
                f"{row.label} {row.version}",
                f"{median(row.load_s):.2f}",
                f"{median(row.evaluate_s):.2f}",
                Ratio.of(base.evaluate_s, row.evaluate_s) if base.evaluate_s else "",
                Ratio.of(base.total_s, row.total_s) if base.evaluate_s else "",
                f"{own:.0f}",
                f"{own / theirs:.3f}",
                "yes" if row.equal else f"no, up to {row.largest_difference:.1e}",
            )
        )
    header = (
        *("evaluator", "load CPU s", "evaluate CPU s", "times faster: evaluate", "with load"),
        *("peak MB above columns", "of pycocotools'", "arrays equal"),
    )
    print_table(header, table)


# -- what runs in a process of its own -------------------------------------------------------


def work(options: argparse.Namespace) -> None:
    """Read the columns, evaluate, and answer with times, memory and arrays."""
    with np.load(options.folder / COLUMNS) as columns:
        scene = Scene(
            **{name: column if column.ndim else column.item() for name, column in columns.items()}
        )
    content: dict[str, Any] = {}
    if options.worker in EVALUATORS:
        try:
            load, evaluate = EVALUATORS[options.worker][1]()
        except ImportError as error:
            content["failure"] = str(error)
        else:
            content = timed(scene, load, evaluate, options.folder / f"{options.worker}.npz")
    content.setdefault("peak_mb", peak_mb())
    options.answer.write_text(json.dumps(content))


Load = Callable[[Scene], Any]
Evaluate = Callable[[Any], Arrays]


def timed(scene: Scene, load: Load, evaluate: Evaluate, file: Path) -> dict[str, Any]:
    """Return times and memory of an evaluation, and store its arrays."""
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.process_time()
        loaded = load(scene)
        middle = time.process_time()
        arrays = evaluate(loaded)
        stop = time.process_time()
    peak = peak_mb()
    np.savez(file, **{name: arrays[name] for name in ARRAYS})
    precision = arrays["precision"][..., 0, -1]
    summary = {
        name: float(values[values > -1].mean())
        for name, values in (("map", precision), ("map50", precision[0]), ("map75", precision[5]))
    }
    return {
        "load_s": middle - start,
        "evaluate_s": stop - middle,
        "peak_mb": peak,
        "summary": summary,
    }


def peak_mb() -> float:
    """Return the largest memory this process ever had."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count the memory of the parent as well, from before the exec
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def use_rondel() -> tuple[Load, Evaluate]:
    """Return how rondel loads and evaluates."""
    from rondel_detection.metrics.coco import evaluate
    from rondel_detection.metrics.columns import Detections, GroundTruth

    def load(scene: Scene) -> Any:
        truth = GroundTruth.of(
            scene.truth_image,
            scene.truth_xywh,
            scene.truth_label,
            crowd=scene.truth_crowd,
            area=scene.truth_area,
        )
        found = Detections.of(scene.image, scene.xywh, scene.label, scene.score)
        return truth, found, scene.images, scene.classes

    def run(loaded: Any) -> Arrays:
        truth, found, images, classes = loaded
        result = evaluate(truth, found, images=images, classes=classes)
        return {name: getattr(result, name) for name in ARRAYS}

    return load, run


def use_pycocotools() -> tuple[Load, Evaluate]:
    """Return how pycocotools loads and evaluates."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def load(scene: Scene) -> Any:
        truth = COCO()
        truth.dataset = dataset_of(scene)
        truth.createIndex()
        return truth, truth.loadRes(results_of(scene))

    def run(loaded: Any) -> Arrays:
        evaluation = COCOeval(*loaded, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        return dict(evaluation.eval)

    return load, run


def use_faster_coco_eval() -> tuple[Load, Evaluate]:
    """Return how faster-coco-eval loads and evaluates."""
    from faster_coco_eval import COCO, COCOeval_faster

    def load(scene: Scene) -> Any:
        truth = COCO(dataset_of(scene))
        return truth, truth.loadRes(results_of(scene))

    def run(loaded: Any) -> Arrays:
        evaluation = COCOeval_faster(*loaded, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        return dict(evaluation.eval)

    return load, run


def dataset_of(scene: Scene) -> dict[str, Any]:
    """Return the objects as COCO has them; ids start at 1, because 0 is no match to pycocotools."""
    columns = (
        scene.truth_image.tolist(),
        scene.truth_xywh.tolist(),
        scene.truth_label.tolist(),
        scene.truth_crowd.astype(int).tolist(),
        scene.truth_area.tolist(),
    )
    annotations = [
        {
            "id": row + 1,
            "image_id": image + 1,
            "category_id": label + 1,
            "bbox": box,
            "area": area,
            "iscrowd": crowd,
        }
        for row, (image, box, label, crowd, area) in enumerate(zip(*columns, strict=True))
    ]
    return {
        "info": {},
        "images": [
            {"id": row + 1, "width": 640, "height": 480} for row in range(int(scene.images))
        ],
        "categories": [{"id": row + 1, "name": f"class {row}"} for row in range(CLASSES)],
        "annotations": annotations,
    }


def results_of(scene: Scene) -> list[dict[str, Any]]:
    """Return the detections as COCO has them."""
    columns = (scene.image, scene.xywh, scene.label, scene.score)
    return [
        {"image_id": image + 1, "bbox": box, "category_id": label + 1, "score": score}
        for image, box, label, score in zip(*(column.tolist() for column in columns), strict=True)
    ]


EVALUATORS: dict[str, tuple[str, Callable[[], tuple[Load, Evaluate]]]] = {
    "pycocotools": ("pycocotools", use_pycocotools),
    "rondel": ("rondel-detection", use_rondel),
    "faster-coco-eval": ("faster-coco-eval", use_faster_coco_eval),
}
"""By name: the package that has the version, and how it is used."""


def version_of(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
