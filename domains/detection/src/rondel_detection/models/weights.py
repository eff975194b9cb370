"""Weights from a file into a detector, by name, with a report of what fitted.

Files are safetensors: of a bundle of ours, of torchvision's detectors, or of a bare backbone.
Nothing is fetched unless the source says ``hub:``.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rondel.checkpoint import read_checkpoint
from rondel.errors import DataError, UsageError
from rondel_detection.models.hub import HUB, hub_tensors

State = Mapping[str, Tensor]
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle")
DEPTH = 4
"""Parts of a prefix that may be another one in the file than in the detector."""
SHARE = 0.1
"""Of all names, that have a prefix worth trying."""
SHOWN = 3
OLD_NAMES = (
    (r"(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
    (r"(fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
    (r"(head\.\w+_head\.conv)\.0\.(weight|bias)$", r"\1.0.0.\2"),
    (r"(head\.\w+_head\.conv)\.2\.(weight|bias)$", r"\1.1.0.\2"),
    (r"(head\.\w+_head\.conv)\.4\.(weight|bias)$", r"\1.2.0.\2"),
    (r"(head\.\w+_head\.conv)\.6\.(weight|bias)$", r"\1.3.0.\2"),
    (r"mask_head\.mask_fcn1\.(weight|bias)$", r"mask_head.0.0.\1"),
    (r"mask_head\.mask_fcn2\.(weight|bias)$", r"mask_head.1.0.\1"),
    (r"mask_head\.mask_fcn3\.(weight|bias)$", r"mask_head.2.0.\1"),
    (r"mask_head\.mask_fcn4\.(weight|bias)$", r"mask_head.3.0.\1"),
)
"""Names in torchvision's older files, and what they are called today."""
MANIFEST, TENSORS = "manifest.json", "tensors.safetensors"
"""Of a bundle."""
COUNTER = "num_batches_tracked"
"""Of batch normalisation in training; no detector needs it."""


@dataclass(frozen=True)
class Reshaped:
    """A tensor that both have, in different shapes: mostly the head of other classes."""

    name: str
    in_file: tuple[int, ...]
    in_detector: tuple[int, ...]

    def __str__(self) -> str:
        """Name it with both shapes."""
        return f"{self.name} {list(self.in_file)} -> {list(self.in_detector)}"


@dataclass(frozen=True)
class WeightsReport:
    """What became of the tensors of a file; names are those of the detector unless noted.

    Args:
        source: Where they came from.
        matched: Tensors of the detector that were filled.
        missing: Those that the file does not have; they stay as they were.
        reshaped: Those that the file has in another shape; they stay as they were.
        left_over: Tensors of the file, by its names, that the detector has no place for.
    """

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    reshaped: tuple[Reshaped, ...]
    left_over: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line per kind, with the first names of each."""
        total = len(self.matched) + len(self.missing) + len(self.reshaped)
        lines = [f"{self.source}: {len(self.matched)} of {total} tensors loaded"]
        kinds: tuple[tuple[str, tuple[object, ...]], ...] = (
            ("of another shape, left as they were", self.reshaped),
            ("not in the file, left as they were", self.missing),
            ("in the file, of no use here", self.left_over),
        )
        lines += [f"  {len(names)} {kind}: {first_of(names)}" for kind, names in kinds if names]
        return "\n".join(lines)


def load_weights(detector: nn.Module, source: str | Path) -> WeightsReport:
    """Fill a detector with the tensors of a file, as far as names and shapes agree.

    Args:
        detector: It is changed in place; what does not fit stays as it was.
        source: A .safetensors file; a bundle, or a run with one; a folder with one such file; or
            ``hub:NAME`` for the weights that torchvision offers for download.

    Raises:
        UsageError: There is nothing there, it is a pickle, or its normalisation is another one.
        DataError: The file is damaged, or nothing in it fits.
    """
    tensors = read_tensors(str(source))
    own = detector.state_dict()
    names = translate(tensors, own)
    check_norm(names.values(), own, str(source))
    fitting = {
        place: name
        for name, place in names.items()
        if place in own and tensors[name].shape == own[place].shape
    }
    if not fitting:
        raise nothing_fits(tensors, own, str(source))
    with torch.no_grad():
        for place, name in fitting.items():
            own[place].copy_(tensors[name])  # own holds the memory of the parameters
    reshaped = [
        Reshaped(place, tuple(tensors[name].shape), tuple(own[place].shape))
        for name, place in names.items()
        if place in own and place not in fitting
    ]
    known = {*fitting, *(entry.name for entry in reshaped)}
    return WeightsReport(
        source=str(source),
        matched=tuple(name for name in own if name in fitting),
        missing=tuple(name for name in own if name not in known),
        reshaped=tuple(reshaped),
        left_over=tuple(name for name, place in names.items() if place not in own),
    )


# -- reading ---------------------------------------------------------------------------------------


def read_tensors(source: str) -> State:
    """Return the tensors of a source by the names they have there.

    Raises:
        UsageError: There is nothing there, or it is a pickle.
        DataError: It is damaged.
    """
    if source.startswith(HUB):
        return hub_tensors(source)
    path = Path(source)
    if not path.exists():
        raise UsageError(
            "there is no such file or folder",
            where=f"model.weights={source}",
            hint="Name a .safetensors file or a bundle; 'hub:NAME' downloads on request.",
        )
    if path.suffix in PICKLES:
        raise pickled(path)
    if path.name == TENSORS and (path.parent / MANIFEST).exists():
        path = path.parent  # the layout of the tensors stands in the manifest
    return read_folder(path) if path.is_dir() else read_file(path)


def read_folder(path: Path) -> State:
    """Return the tensors of a bundle, of a run's bundle, or of the one file in a folder."""
    for folder in (path, path / "bundle"):
        if (folder / MANIFEST).exists() and (folder / TENSORS).exists():
            _, tree = read_checkpoint(folder)
            weights = tree.get("weights", {})
            return {f"{part}.{name}": t for part in weights for name, t in weights[part].items()}
    files = sorted(path.glob("*.safetensors"))
    if len(files) == 1:
        return read_file(files[0])
    found = f"{len(files)} .safetensors files" if files else "no .safetensors file"
    raise UsageError(
        f"the folder is no bundle and has {found}",
        where=f"model.weights={path}",
        hint="Name the file itself.",
    )


def read_file(path: Path) -> State:
    """Return the tensors of a safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"cannot be read as safetensors ({error})",
            where=str(path),
            hint="Is it complete? Copy or convert it again.",
        ) from error


def pickled(path: Path) -> UsageError:
    """Describe a file that would run code, and how to convert it."""
    return UsageError(
        f"{path.suffix} files are pickles, which can run any code when they are read",
        where=f"model.weights={path}",
        hint='Convert it once, where you trust it: python -c "import torch; from '
        f"safetensors.torch import save_file; save_file({{k: v.contiguous() for k, v in "
        f"torch.load('{path.name}', weights_only=True).items()}}, '{path.stem}.safetensors')\"",
    )


# -- names -----------------------------------------------------------------------------------------


def translate(tensors: State, own: State) -> dict[str, str]:
    """Return the name in the detector for every tensor of a file, whether there is one or not.

    The two differ by a prefix: a backbone alone lacks ``model.backbone.body.``, other trainers add
    ``module.``. The pair of prefixes that makes most tensors fit is taken.
    """
    names = [name for name in tensors if not name.endswith(COUNTER)]
    pairs = [(strip, add) for strip in prefixes(names) for add in prefixes(list(own))]

    def fit(pair: tuple[str, str]) -> tuple[int, int, int]:
        strip, add = pair
        places = [(n, add + n[len(strip) :]) for n in names if n.startswith(strip)]
        known = [(name, place) for name, place in places if place in own]
        same = sum(tensors[name].shape == own[place].shape for name, place in known)
        return same, len(known), -len(strip + add)

    strip, add = max(pairs, key=fit)
    return {name: placed(name, strip, add, own) for name in names}


def prefixes(names: Sequence[str]) -> list[str]:
    """Return the beginnings that many names share, the empty one among them."""
    found = Counter(
        ".".join(name.split(".")[:depth]) + "."
        for name in names
        for depth in range(1, min(DEPTH, name.count(".")) + 1)
    )
    return ["", *sorted(prefix for prefix in found if found[prefix] >= SHARE * len(names))]


def placed(name: str, strip: str, add: str, own: State) -> str:
    """Return the name with another prefix, in today's words; '' if it has another prefix."""
    if not name.startswith(strip):
        return ""
    place = add + name[len(strip) :]
    if place in own:
        return place
    for old, new in OLD_NAMES:
        renamed = re.sub(old, new, place)
        if renamed in own:
            return renamed
    return place


# -- what is wrong ---------------------------------------------------------------------------------


def check_norm(places: Iterable[str], own: State, source: str) -> None:
    """Raise if the file normalises over the batch and the detector over groups, or the reverse."""
    given = set(places)
    theirs = {place.removesuffix("running_mean") for place in given if "running_mean" in place}
    ours = {place.removesuffix("running_mean") for place in own if "running_mean" in place}
    shared = {place.removesuffix("weight") for place in given & set(own) if "weight" in place}
    if (theirs - ours) & shared:
        raise UsageError(
            "the weights have the statistics of batch normalisation, the detector has groups",
            where=f"model.weights={source}",
            hint="Set model.norm=frozen.",
        )
    if (ours - theirs) & shared:
        raise UsageError(
            "the weights lack the statistics of batch normalisation that the detector keeps",
            where=f"model.weights={source}",
            hint="Set model.norm=group.",
        )


def nothing_fits(tensors: State, own: State, source: str) -> DataError:
    """Describe a file of another model by the nearest pair of names."""
    pairs = (
        (name, close[0])
        for name in tensors
        for close in [difflib.get_close_matches(name, own, n=1)]
        if close
    )
    nearest = next(pairs, None)
    if nearest is None:
        told = f"It has {first_of(tuple(tensors)) or 'no tensor'}, the detector {next(iter(own))}."
    else:
        theirs, ours = (
            list(state[name].shape) for state, name in zip((tensors, own), nearest, strict=True)
        )
        told = f"The nearest are {nearest[0]} {theirs} there and {nearest[1]} {ours} here."
    return DataError(
        "no tensor fits the detector",
        where=f"model.weights={source}",
        hint=f"{told} Are model.name and model.backbone those of the file?",
    )


def first_of(names: tuple[object, ...]) -> str:
    """Return the first few names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(str(name) for name in names[:SHOWN]) + more
