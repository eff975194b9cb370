"""The embedded pairs of names and sentences: the same each time, each text once."""

from __future__ import annotations

import pytest

from rondel_text.demo import library, titles

SOURCE = '''
"""A module."""

class HTTPResponse2:
    """What a server
    sends. It is long.
    """

    def get_payload(self):
        """Return what the answer holds (e.g. bytes)"""

    def short(self):
        """Too short."""

    class Inner:
        def readline(self):
            """Read one line from it

            until there is none.
            """

    def silent(self): ...

if True:
    def lonely():
        """Names of one word say little."""
    async def do_it():
        """Do what it says at once! Really."""
'''


def test_a_pair_is_a_name_in_words_and_the_first_sentence() -> None:
    found = list(titles.pairs(library.Source.of(SOURCE, file="hand.py")))
    assert [(pair.title, pair.sentence, pair.line) for pair in found] == [
        ("http response 2", "What a server sends.", 4),
        ("http response 2 get payload", "Return what the answer holds (e.g. bytes)", 9),
        ("inner readline", "Read one line from it", 16),
        ("do it", "Do what it says at once!", 27),
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("HTTPResponse", "http response"),
        ("__get_payload2__", "get payload 2"),
        ("getHTTPCode", "get http code"),
        ("ABC", "abc"),
        ("_", ""),
    ],
)
def test_names_are_written_out(name: str, words: str) -> None:
    assert titles.words_of(name) == words


def test_every_text_stands_in_one_pair_on_one_side() -> None:
    rows = titles.load()
    train, valid = titles.split(rows)
    assert len(rows) == len(train) + len(valid) > 2000
    assert 0.15 < len(valid) / len(rows) < 0.25
    for column in ("text", "pair"):
        texts = [text.lower() for text in rows[column]]
        assert len(set(texts)) == len(texts)
        assert all(" " in text for text in texts)


def test_pairs_come_from_the_line_that_they_name() -> None:
    rows = titles.load()
    for row in range(0, len(rows), 101):
        file, number = rows.where(row).rsplit(":", 1)
        source = (library.home() / file).read_text(encoding="utf-8").splitlines()
        line = source[int(number) - 1]
        assert rows["text"][row].endswith(
            titles.words_of(line.split("(")[0].split()[-1].strip(":"))
        )
