"""CoNLL-2003 and CoNLL-U become sentences; a line that does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondel.errors import DataError
from rondel_text.data.reading import read_rows, recognise


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def refused(path: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(written(path, text))
    return str(caught.value)


NEWS = """-DOCSTART- -X- -X- O

EU NNP B-NP I-ORG
rejects VBZ B-VP O
German JJ B-NP I-MISC
call NN I-NP O

Peter NNP B-NP I-PER
Blackburn NNP I-NP I-PER
-DOCSTART- -X- -X- O
Zürich\tNNP  B-NP I-LOC


"""
UD = (
    "# newdoc id = d1\n# sent_id = 1\n# text_en = Let's go.\n# text = Vámonos al mar 🌊.\n"
    "1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tVamos\tir\tVERB\tVMM\tMood=Imp|Number=Plur\t0\troot\t_\t_\n"
    "2\tnos\tnosotros\tPRON\tPP\tCase=Acc\t1\tobj\t_\t_\n"
    "3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_\n"
    "4\tel\tel\tDET\t_\tDefinite=Def\t5\tdet\t_\t_\n"
    "5\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\t_\n"
    "5.1\tva\tir\tVERB\t_\t_\t_\t_\t_\t_\n"
    "6\t🌊\t🌊\tSYM\t_\t_\t1\tdep\t_\tSpaceAfter=No\n"
    "7\t.\t.\tPUNCT\t_\t_\t1\tpunct\t_\t_\n"
    "\n"
    "# a comment alone\n\n"
    "1\t20 000\t20000\tNUM\t_\t_\t0\troot\t_\t_\n\n\n"
)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["eng.train", "train.txt", "a.conll", "b.iob"])
def test_conll2003_gives_words_and_the_last_column(tmp_path: Path, name: str, end: str) -> None:
    path = written(tmp_path / name, NEWS.replace("\n", end))
    rows = read_rows(path)
    assert recognise(path) == "conll2003"
    assert [*rows] == [
        {"words": ["EU", "rejects", "German", "call"], "tags": ["I-ORG", "O", "I-MISC", "O"]},
        {"words": ["Peter", "Blackburn"], "tags": ["I-PER", "I-PER"]},
        {"words": ["Zürich"], "tags": ["I-LOC"]},
    ]
    assert list(rows.numbers) == [3, 8, 11]


def test_two_columns_without_docstart_are_recognised(tmp_path: Path) -> None:
    path = written(tmp_path / "train.tsv", "IL-2\tB\ngene\tI\n\nthe\tO\n")
    assert next(iter(read_rows(path))) == {"words": ["IL-2", "gene"], "tags": ["B", "I"]}


def test_a_no_break_space_does_not_part_a_word(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "a.conll", "20\u00a0000 O\n\u3000 O\n"))
    assert rows["words"][0] == ["20\u00a0000", "\u3000"]


@pytest.mark.parametrize(("line", "count"), [("German JJ I-MISC", 3), ("New York NNP B-NP O", 5)])
def test_conll2003_with_another_number_of_columns_is_refused(
    tmp_path: Path, line: str, count: int
) -> None:
    path = tmp_path / "a.conll"
    assert refused(path, f"-DOCSTART- O\n\nEU NNP B-NP I-ORG\n\n{line}\n") == (
        f"{path}:5: the number of columns is {count}, in line 3 it is 4. "
        "Is a blank line missing, or a blank within a word?"
    )


def test_conll2003_without_tags_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    assert refused(path, "\nEU\nrejects\n") == (
        f"{path}:2: the line has one column. "
        "A line has a word and, in its last column, a tag, with blanks or tabs between."
    )


def test_conll2003_without_sentences_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    assert refused(path, "-DOCSTART- -X- O O\n\n") == (
        f"{path}: has no rows. It was read as CoNLL-2003: look at how it was exported."
    )


WORD = st.text(st.characters(exclude_characters=" \t\n\r\0", exclude_categories=["Cs"]), min_size=1)
PAIRS = st.lists(
    st.tuples(
        WORD.filter(lambda word: not word.startswith(("-DOCSTART-", "\ufeff"))),
        st.sampled_from(["O", "B-PER", "I-PER", "I-LOC"]),
    ),
    min_size=1,
    max_size=5,
)


@given(
    st.lists(PAIRS, min_size=1, max_size=5),
    st.sampled_from([" ", "\t", " _ ", "  "]),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_written_sentences_are_read_back(
    tmp_path: Path, sentences: list[list[tuple[str, str]]], gap: str, end: str
) -> None:
    text = (end * 2).join(
        end.join(f"{word}{gap}{tag}" for word, tag in sentence) for sentence in sentences
    )
    rows = read_rows(written(tmp_path / "a.conll", text))
    assert [list(zip(row["words"], row["tags"], strict=True)) for row in rows] == sentences


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["es_ancora-ud-train.conllu", "a.conll", "b.txt"])
def test_conllu_gives_the_syntactic_words(tmp_path: Path, name: str, end: str) -> None:
    path = written(tmp_path / name, UD.replace("\n", end))
    rows = read_rows(path)
    assert recognise(path) == "conllu"
    assert [*rows] == [
        {
            "words": ["Vamos", "nos", "a", "el", "mar", "🌊", "."],
            "tags": ["VERB", "PRON", "ADP", "DET", "NOUN", "SYM", "PUNCT"],
            "xpos": ["VMM", "PP", "_", "_", "_", "_", "_"],
            "lemmas": ["ir", "nosotros", "a", "el", "mar", "🌊", "."],
            "feats": ["Mood=Imp|Number=Plur", "Case=Acc", "_", "Definite=Def", "_", "_", "_"],
            "text": "Vámonos al mar 🌊.",
        },
        {
            "words": ["20 000"],
            "tags": ["NUM"],
            "xpos": ["_"],
            "lemmas": ["20000"],
            "feats": ["_"],
            "text": None,
        },
    ]
    assert list(rows.numbers) == [1, 18]


def test_conllu_with_blanks_for_tabs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    assert refused(path, "# text = a\n1 a a X _ _ 0 root _ _\n") == (
        f"{path}:2: the number of columns is 1, not 10. "
        "CoNLL-U has ten columns with one tab between them, '_' for an empty one."
    )


@pytest.mark.parametrize("identifier", ["1", "3", "x", "02", "²"])
def test_conllu_with_a_word_out_of_order_is_refused(tmp_path: Path, identifier: str) -> None:
    path = tmp_path / "a.conllu"
    rest = "\tX\t_\t_\t0\troot\t_\t_\n"
    assert refused(path, f"1\tein\tein{rest}{identifier}\tHaus\tHaus{rest}") == (
        f"{path}:2: the id of the word 'Haus' is {identifier!r}, not '2'. "
        "Words are counted from 1; a blank line stands between two sentences."
    )
