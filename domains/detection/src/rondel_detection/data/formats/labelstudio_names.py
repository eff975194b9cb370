"""The images that Label Studio's tasks name: URLs of uploads, of storages, and plain paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from rondel_detection.data.formats.files import holds, image_names, tail_in
from rondel_detection.data.formats.image_url import is_url, url_path
from rondel_detection.data.images import IMAGE_SUFFIXES
from rondel_detection.data.loss_report import LossReport

_UPLOAD = re.compile(r"[0-9a-f]{8}-(.+)")
"""Label Studio puts eight random hex digits before the name of what is uploaded."""
_LOCAL = re.compile(r"/data/local-files/?\?(?:.*&)?d=([^&]*)")


def image_key(data: Mapping[str, Any]) -> str:
    """Return the key under which a task names its image: 'image', else the first that looks so."""
    named = [key for key, value in data.items() if isinstance(value, str) and value]
    if "image" in named:
        return "image"
    looks = (key for key in named if PurePosixPath(path_of(data[key])).suffix in _SUFFIXES)
    return next(looks, "")


_SUFFIXES = IMAGE_SUFFIXES | {suffix.upper() for suffix in IMAGE_SUFFIXES}


def path_of(url: str) -> str:
    """Return the path within a URL, without the spelling of URLs; a plain path as it is."""
    local = _LOCAL.search(url)
    if local:
        return unquote(local[1]).replace("\\", "/")
    return url_path(url) if is_url(url) or url.startswith("/") else url


class ImageNames:
    """Finds the images of tasks below a folder.

    Args:
        root: The folder.
        losses: Where names are listed that several files have.
    """

    def __init__(self, root: Path, losses: LossReport) -> None:
        self.root = root
        self.losses = losses
        self._named: dict[str, list[str]] | None = None

    def find(self, url: str, place: str) -> str:
        """Return the image of a task, relative to the root.

        Looked for are the name as it stands, the longest end of its path, a file of that name in
        any folder, and then the same without the prefix of an upload. A name that is not found
        is kept: a path as it stands, a URL by its last part.
        """
        if holds(self.root, url):
            return url
        path = path_of(url)
        plain = path == url and not url.startswith("/")
        if plain and ".." in PurePosixPath(url).parts:
            return url
        spelled = unquote(path) if plain else path
        found = tail_in(self.root, spelled)
        if found:
            return found
        base = spelled.rpartition("/")[2]
        upload = _UPLOAD.fullmatch(base)
        for name in (base, *([upload[1]] if upload else [])):
            files = self._by_name().get(name, [])
            if len(files) == 1:
                return files[0]
            if files:
                self.losses.add("several files have the name of an image", place)
        return url if plain else base or url

    def _by_name(self) -> dict[str, list[str]]:
        if self._named is None:
            self._named = {}
            for name in image_names(self.root):
                self._named.setdefault(name.rpartition("/")[2], []).append(name)
        return self._named
