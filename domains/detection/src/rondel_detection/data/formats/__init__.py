"""Label formats: one file each, every one of them from and to the same table."""

from __future__ import annotations

from rondel_detection.data.formats.format import FORMATS, Format, Source, find_format, read, write

__all__ = ["FORMATS", "Format", "Source", "find_format", "read", "write"]
