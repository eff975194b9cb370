"""URLs that stand where a label file names an image; they are taken apart, never opened."""

from __future__ import annotations

import re
from urllib.parse import unquote

_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_PATH = re.compile(r"[^?#]*")


def is_url(name: str) -> bool:
    """Tell whether a name begins with a scheme, as ``https://`` or ``s3://``."""
    return _HOST.match(name) is not None


def url_path(url: str) -> str:
    """Return the path within a URL, or of one without a host, with ``%20`` spelled out.

    Unlike the parser of the standard library it has an answer for everything.
    """
    path = _PATH.match(_HOST.sub("", url, count=1))
    return unquote(path[0]) if path else ""
