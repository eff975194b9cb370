"""The embedded text sets: the same each time, nothing in both splits, roles as a reader sees them."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from rondel.errors import DataError
from rondel_text.data.rows import Rows
from rondel_text.demo import code_tokens, docstrings, library, topics
from rondel_text.demo.split import held_out, split_rows

HEAD = '''
@functools.wraps(inner)
def join(first, *rest, sep=None):
    """Join."""
    global count
    import os.path as path, sys
    first.count = sep.count(first, sep=len(rest))
    return rest(first) if count else sep[-1]
'''
HEAD_ROLES = """
@ operator, functools decorator, . punctuation, wraps decorator, ( punctuation, inner variable,
) punctuation, def keyword, join function, ( punctuation, first parameter, , punctuation,
* operator, rest parameter, , punctuation, sep parameter, = operator, None literal, ) punctuation,
: punctuation, '...' literal, global keyword, count variable, import keyword, os import,
. punctuation, path import, as keyword, path import, , punctuation, sys import, first parameter_use,
. punctuation, count attribute, = operator, sep parameter_use, . punctuation, count call, ( punctuation,
first parameter_use, , punctuation, sep keyword_argument, = operator, len call, ( punctuation,
rest parameter_use, ) punctuation, ) punctuation, return keyword, rest call, ( punctuation,
first parameter_use, ) punctuation, if keyword, count variable, else keyword, sep parameter_use,
[ punctuation, - operator, 1 literal, ] punctuation
"""
BODY = """
async def nested(first):
    class Inner(Base):
        size = first
    with open(first) as file:
        await file
    return lambda sep=first: sep.first.rest(2.5, sep, other)
"""
BODY_ROLES = """
async keyword, def keyword, nested function, ( punctuation, first parameter, ) punctuation,
: punctuation, class keyword, Inner class, ( punctuation, Base variable, ) punctuation,
: punctuation, size variable, = operator, first parameter_use, with keyword, open call, ( punctuation,
first parameter_use, ) punctuation, as keyword, file variable, : punctuation, await keyword,
file variable, return keyword, lambda keyword, sep parameter, = operator,
first parameter_use, : punctuation, sep parameter_use, . punctuation, first attribute, . punctuation, rest call,
( punctuation, 2.5 literal, , punctuation, sep parameter_use, , punctuation, other variable,
) punctuation
"""


def snippets(text: str) -> list[code_tokens.Snippet]:
    return list(code_tokens.snippets(library.Source.of(text, file="hand.py")))


@pytest.fixture(scope="module")
def documented() -> Rows:
    return docstrings.load()


@pytest.fixture(scope="module")
def code() -> Rows:
    return code_tokens.load()


def test_another_process_reads_the_same_docstrings() -> None:
    program = (
        "from rondel_text.demo.docstrings import distinct, docstrings;"
        "from rondel_text.demo.library import home;"
        "print(list(distinct(docstrings('mailbox', home()))))"
    )
    mine = list(docstrings.distinct(docstrings.docstrings("mailbox", library.home())))
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert other.stdout.strip() == str(mine)


def test_what_a_caller_does_to_a_set_is_not_seen_by_the_next(code: Rows) -> None:
    code_tokens.load()["words"][0].clear()
    assert list(code_tokens.load()["words"][0]) == list(code["words"][0])


def test_docstrings_come_from_the_line_that_they_name(documented: Rows) -> None:
    for row in range(0, len(documented), 97):
        file, number = documented.where(row).rsplit(":", 1)
        source = (library.home() / file).read_text(encoding="utf-8").splitlines()
        first = documented["text"][row].split()[0]
        assert first in " ".join(source[int(number) - 1 : int(number) + 2])


def test_docstrings_are_thousands_in_classes_of_which_none_is_rare(documented: Rows) -> None:
    counts = Counter(documented["label"])
    assert len(documented) > 2500
    assert set(counts) == set(library.PACKAGES)
    assert min(counts.values()) >= 60
    assert max(counts.values()) < 0.15 * len(documented)


def test_a_class_is_in_both_splits_of_the_docstrings_by_about_its_share(documented: Rows) -> None:
    train, validation = docstrings.split(documented)
    assert len(train) + len(validation) == len(documented)
    assert 0.17 < len(validation) / len(documented) < 0.23
    counts = Counter(documented["label"])
    for label, count in Counter(validation["label"]).items():
        assert 0.08 < count / counts[label] < 0.35, label
    assert set(validation["label"]) == set(counts)


def test_no_docstring_is_in_both_splits_even_up_to_case_and_digits(documented: Rows) -> None:
    train, validation = docstrings.split(documented)

    def letters(rows: Rows) -> set[str]:
        return {"".join(re.findall("[a-z]", text.lower())) for text in rows["text"]}

    assert not letters(train) & letters(validation)
    assert len(letters(documented)) > 0.99 * len(documented)


def test_masked_docstrings_do_not_name_their_package_and_are_split_alike(documented: Rows) -> None:
    masked = docstrings.load(masked=True)
    shares = docstrings.own_name_share(documented)
    assert 0.5 < shares["turtle"] < 0.75  # turtle's docs speak of turtles; the report must say so
    assert set(docstrings.own_name_share(masked).values()) == {0.0}
    assert "___" in " ".join(masked["text"])
    numbers = [rows.numbers for rows in docstrings.split(documented)]
    assert [rows.numbers for rows in docstrings.split(masked)] == numbers


def test_a_docstring_of_two_packages_is_left_out() -> None:
    def made(text: str, label: str) -> docstrings.Docstring:
        return docstrings.Docstring(text, label, "x.py", 1)

    once, again = made("Close the file now.", "io"), made("Close  the FILE, now!", "io")
    shared = [made("Return it as text.", "io"), made("return it as text", "email")]
    assert list(docstrings.distinct([once, *shared, again])) == [once]


@pytest.mark.parametrize(("text", "roles"), [(HEAD, HEAD_ROLES), (BODY, BODY_ROLES)])
def test_roles_of_a_function_are_those_that_a_reader_sees(text: str, roles: str) -> None:
    (snippet,) = snippets(text)
    wanted = [tuple(pair.split(" ")) for pair in re.split(r"(?<=\w), ", " ".join(roles.split()))]
    assert list(zip(snippet.words, snippet.tags, strict=True)) == wanted


def test_a_long_class_is_taken_apart_and_special_syntax_is_left_out() -> None:
    method = "    def f{}(self):\n        return self.a + self.b\n"
    formatted = "    def g(self):\n        return f'{self.a} and {self.b}'\n"
    foreign = "    def h(self):\n        return self.name == 'é' or self.other\n"
    body = "".join(method.format(i) for i in range(10)) + formatted + foreign
    found = snippets("class Long:\n" + body)
    assert [one.words[1] for one in found] == [f"f{i}" for i in range(10)]
    assert snippets("class Short:\n" + method.format(1))[0].tags[1] == "class"
    assert found[3].line == 8


def test_code_has_a_known_tag_for_every_token_and_fits_the_length(code: Rows) -> None:
    assert len(code) > 3500
    for words, tags in zip(code["words"], code["tags"], strict=True):
        assert code_tokens.FEWEST <= len(words) == len(tags) <= code_tokens.MOST
    counts = Counter(itertools.chain.from_iterable(code["tags"]))
    assert set(counts) == set(code_tokens.TAGS)
    assert min(counts.values()) > 100


def test_no_code_is_in_both_splits(code: Rows) -> None:
    train, validation = code_tokens.split(code)
    assert 0.17 < len(validation) / len(code) < 0.23
    parts = [{tuple(words) for words in part["words"]} for part in (train, validation)]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == len(code)


def test_the_role_of_a_name_is_not_told_by_the_name_alone(code: Rows) -> None:
    roles: dict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in zip(code["words"], code["tags"], strict=True):
        for word, tag in zip(words, tags, strict=True):
            roles[word][tag] += 1
    names = [seen for word, seen in roles.items() if word.isidentifier() and "keyword" not in seen]
    usual = sum(max(seen.values()) for seen in names) / sum(map(Counter.total, names))
    assert usual < 0.75  # though the best tag of each name is looked up in the very same rows


def test_topics_hold_out_some_whole_topics() -> None:
    rows = topics.load()
    train, validation = topics.split(rows)
    sizes = [sum(map(len, part["text"])) for part in (train, validation)]
    assert len(rows) > 45
    assert sum(sizes) > 300_000
    assert 0.05 < sizes[1] / sum(sizes) < 0.2
    assert not set(train["topic"]) & set(validation["topic"])


def test_no_paragraph_of_the_topics_is_in_both_splits() -> None:
    def paragraphs(rows: Rows) -> set[str]:
        found = (" ".join(part.split()) for text in rows["text"] for part in text.split("\n\n"))
        return {paragraph for paragraph in found if len(paragraph.split()) > 5}

    train, validation = topics.split(topics.load())
    assert not paragraphs(train) & paragraphs(validation)
    whole = topics.reference()  # the check can fail: the topics as they come do repeat themselves
    assert paragraphs(Rows.of({"text": [whole["while"]]}, name="")) <= paragraphs(
        Rows.of({"text": [whole["compound"]]}, name="")
    )


def test_a_repeated_paragraph_stays_with_the_longest_topic() -> None:
    shared = "A paragraph of more than five words."
    given = {"short": f"{shared}\n\nExample:", "long": f"Example:\n\n{shared}\n\nAnd one more."}
    kept = dict(topics.without_repeats(given))
    assert kept == {"long": given["long"] + "\n", "short": "Example:\n"}


def test_equal_contents_are_split_alike_and_the_share_is_kept() -> None:
    rows = Rows.of({"n": list(range(4000))}, name="numbers")
    train, validation = split_rows(rows, [str(n % 2000) for n in rows["n"]], share=0.25)
    assert not {n % 2000 for n in train["n"]} & {n % 2000 for n in validation["n"]}
    assert 0.22 < len(validation) / 4000 < 0.28
    assert [held_out(text, share=0.25) for text in ("a", "b", "c", "d", "e", "f")] == FIRST_SIX


FIRST_SIX = [False, False, True, False, True, True]
"""By the digest: a change of it would move every split there is."""


@pytest.mark.parametrize("read", [docstrings.read, code_tokens.read])
def test_a_library_without_sources_is_an_error_that_says_what_to_do(
    read: object, tmp_path: Path
) -> None:
    (tmp_path / "asyncio").mkdir()
    (tmp_path / "asyncio" / "events.pyc").touch()
    with pytest.raises(
        DataError, match=r"source of .*'asyncio' is missing.* without its \.py"
    ) as e:
        read(tmp_path)  # type: ignore[operator]
    assert str(tmp_path) in str(e.value)


def test_missing_topics_are_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match=r"pydoc_data\.topics.* is missing.*whole standard library"):
        topics.reference()
