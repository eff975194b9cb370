"""Formats of text files: one file each, every one of them read into the same table of rows.

``rondel_text.data.reading`` is the way in; ``format.py`` has the table of formats.
"""
