"""Files and folders: found, recognised, decoded, or refused with what to do next."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rondel.errors import DataError, RondelError, UsageError
from rondel_text.data.formats.format import FORMATS
from rondel_text.data.reading import read_rows, recognise, split_of


def refused(path: Path, **options: str) -> str:
    with pytest.raises(RondelError) as caught:
        read_rows(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


def write(path: Path, text: str = "Hallo", *, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


LETTER = "\ufeff\r\n\r\nLiebe Zoë,\r\n\r\nbis  bald\u2028— wirklich.\r\n  \r\n\r\nDein 🐸\r\n\r\n"


def test_a_plain_text_is_one_document_by_default(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path / "letter.txt", LETTER))
    assert [*rows] == [{"text": "Liebe Zoë,\n\nbis  bald\u2028— wirklich.\n  \n\nDein 🐸"}]
    assert list(rows.numbers) == [3]


def test_plain_text_is_parted_at_lines_or_at_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "letter.txt", LETTER.replace("bis ", "Tee\r\nbis "))
    by_line = read_rows(path, documents="line")
    assert by_line["text"] == ["Liebe Zoë,", "Tee", "bis  bald\u2028— wirklich.", "Dein 🐸"]
    assert list(by_line.numbers) == [3, 5, 6, 9]
    by_block = read_rows(path, documents="blank")
    assert by_block["text"] == ["Liebe Zoë,", "Tee\nbis  bald\u2028— wirklich.", "Dein 🐸"]
    assert list(by_block.numbers) == [3, 5, 9]


def test_documents_that_do_not_exist_or_fit_are_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "a.txt"), documents="page") == (
        "documents='page' is unknown. Known are file, line, blank."
    )
    assert refused(write(tmp_path / "a.csv", "a\nb"), documents="line") == (
        "documents='line' does not fit CSV, which has rows of its own. "
        "Leave it out, or say format='text'."
    )


def test_a_format_that_is_named_overrides_what_is_recognised(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,b\n")
    assert recognise(path) == "csv"
    assert read_rows(path, format="text")["text"] == ["text,label\na,b"]
    assert read_rows(path, format="text", documents="line")["text"] == ["text,label", "a,b"]


def test_an_unknown_format_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    known = (
        "Known are conllu, conll2003, prodigy, doccano, labelstudio, squad, jsonl, json, csv, tsv, "
        "parquet, text."
    )
    with pytest.raises(UsageError):
        read_rows(tmp_path, format="doccanno")
    assert refused(tmp_path, format="doccanno") == (
        f"there is no text format 'doccanno'. Did you mean 'doccano'? {known}"
    )
    assert refused(tmp_path, format="xml") == f"there is no text format 'xml'. {known}"


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "train.csv")
    write(tmp_path / "other.txt")
    missing = tmp_path / "trian.csv"
    assert refused(missing) == (
        f"{missing}: there is no such file or folder. Did you mean 'train.csv'?"
    )
    missing = tmp_path / "zzz"
    assert refused(missing) == (
        f"{missing}: there is no such file or folder. The folder has other.txt, train.csv."
    )
    missing = tmp_path / "nowhere" / "train.csv"
    assert refused(missing) == (
        f"{missing}: there is no such file or folder. "
        f"There is no folder {str(missing.parent)!r} either."
    )
    (tmp_path / "hollow").mkdir()
    missing = tmp_path / "hollow" / "train.csv"
    assert refused(missing) == f"{missing}: there is no such file or folder. The folder is empty."


def test_a_file_of_no_known_format_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.docx")
    assert refused(path) == (
        f"{path}: is of no format that is known here. Name its format: one of {', '.join(FORMATS)}."
    )


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", "text,label\nb,1\n")
    write(tmp_path / "a" / "z.csv", "text\nz\n")
    write(tmp_path / "README.md", "not data")
    write(tmp_path / "LICENSE.txt", "not data")
    write(tmp_path / ".cache" / "c.txt", "not data")
    rows = read_rows(tmp_path)
    assert recognise(tmp_path) == "csv"
    assert [*rows] == [{"text": "z", "label": None}, {"text": "b", "label": "1"}]
    assert list(rows.files) == [str(tmp_path / "a" / "z.csv"), str(tmp_path / "b.csv")]
    assert rows.where(1) == f"{tmp_path / 'b.csv'}:2"


def test_a_folder_of_two_formats_needs_the_name_of_one(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "eins")
    write(tmp_path / "b.txt", "zwei")
    write(tmp_path / "labels.csv", "text\nb\n")
    assert refused(tmp_path) == (
        f"{tmp_path}: holds files of 2 formats: text (2, like a.txt), csv (1, like labels.csv). "
        "Name the format to read, or one file."
    )
    assert read_rows(tmp_path, format="text")["text"] == ["eins", "zwei"]


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        f"{tmp_path}: holds no file of a known format. "
        "It holds no files: name a file, or another folder."
    )
    for name in "abcdef":
        write(tmp_path / f"{name}.png")
    assert refused(tmp_path, format="parquet") == (
        f"{tmp_path}: holds no file of parquet (.parquet, .pq). It holds a.png, b.png, c.png, "
        "d.png, e.png, ...: name a file, or another folder."
    )


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.csv", "train"),
        ("valid.txt", "valid"),
        ("validation.jsonl", "valid"),
        ("dev.tsv", "valid"),
        ("val.json", "valid"),
        ("test.parquet", "test"),
        ("Training_Set.csv", "train"),
        ("en_ewt-ud-dev.conllu", "valid"),
        ("train-00000-of-00002.parquet", "train"),
        ("eng.testa", "valid"),
        ("eng.testb", "test"),
        ("eng.train", "train"),
        ("latest.csv", None),
        ("devices.csv", None),
        ("train_test.csv", None),
        ("reviews.csv", None),
    ],
)
def test_a_split_is_recognised_in_a_name(name: str, split: str | None) -> None:
    assert split_of(Path("test/train") / name) == split


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt", "a.conll", "a.conllu"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "")
    assert refused(path) == f"{path}: the file is empty. Export or download it again."
    write(path, "\ufeff \r\n\t\r\n")
    assert refused(path) == (
        f"{path}: the file holds nothing but blanks. Export or download it again."
    )


@pytest.mark.parametrize(
    ("encoding", "text", "guess", "byte", "offset", "line"),
    [
        ("cp1252", "a\nb \u201cZürich\u201d", "CP1252", 0x93, 4, 2),
        ("latin-1", "a\nb\nZürich", "LATIN1", 0xFC, 5, 3),
        ("utf-16", "Zürich", "UTF-16", 0xFF, 0, 1),
        ("utf-32", "Zürich", "UTF-32", 0xFF, 0, 1),
    ],
)
def test_another_encoding_is_refused_with_a_command_that_converts_it(
    tmp_path: Path, encoding: str, text: str, guess: str, byte: int, offset: int, line: int
) -> None:
    path = write(tmp_path / "my file.txt", text, encoding=encoding)
    converted = tmp_path / "my file.utf8.txt"
    command = f"iconv -f {guess} -t UTF-8 '{path}' > '{converted}'"
    assert refused(path) == (
        f"{path}:{line}: is not UTF-8: byte 0x{byte:02x} at offset {offset}. "
        f"It looks like {guess}: convert it with `{command}`."
    )
    if shutil.which("iconv"):
        subprocess.run(command, shell=True, check=True)
        assert read_rows(converted)["text"] == [text]


def test_bytes_that_are_undefined_in_cp1252_are_taken_for_latin1(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\xe9 \x81")
    assert "It looks like LATIN1: " in refused(path)


def test_one_bad_byte_in_utf8_is_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text\nZürich\n".encode() + b"caf\xe9\n")
    assert refused(path) == (
        f"{path}:3: is not UTF-8: byte 0xe9 at offset 16. The text before is UTF-8, so a part is "
        "damaged or was pasted from elsewhere: correct it, or leave such bytes out with "
        f"`iconv -c -f UTF-8 -t UTF-8 {path} > {tmp_path / 'a.utf8.csv'}`."
    )


def test_a_nul_byte_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\na\nb\0c\n")
    assert refused(path) == (
        f"{path}:3: holds a NUL byte at offset 8. The file is damaged or binary: export it again, "
        f"or remove these bytes with `tr -d '\\000' < {shlex.quote(str(path))}`."
    )


@pytest.mark.parametrize("guess", ["UTF-16LE", "UTF-16BE"])
def test_utf16_without_a_mark_is_guessed_from_its_nul_bytes(tmp_path: Path, guess: str) -> None:
    path = write(tmp_path / "a.txt", "some letters", encoding=guess)
    offset = 0 if guess == "UTF-16BE" else 1
    assert refused(path) == (
        f"{path}:1: holds a NUL byte at offset {offset}. "
        f"It looks like {guess}: convert it with `iconv -f {guess} -t UTF-8 {path}`."
    )


@pytest.mark.parametrize(
    ("magic", "kind"),
    [
        (b"PK\x03\x04", "zip"),
        (b"\x1f\x8b", "gzip"),
        (b"BZh9", "bzip2"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ],
)
def test_a_compressed_file_is_refused(tmp_path: Path, magic: bytes, kind: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(magic + b"\0\xff")
    assert refused(path) == f"{path}: is a {kind} file. Unpack it first, then name the result."


def test_a_file_that_cannot_be_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path / "a.txt")
    monkeypatch.setattr(Path, "read_bytes", fail)
    assert refused(path) == (
        f"{path}: cannot be read: Permission denied. "
        "Check that it is a file and that you may read it."
    )


def test_readers_import_nothing_heavy() -> None:
    code = (
        "import sys, rondel_text.data.reading\n"
        "print([name for name in ('torch', 'pandas', 'pyarrow', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_format_that_is_refused_says_so_as_data_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", "\0")
    for name in FORMATS:
        with pytest.raises(DataError):
            read_rows(path, format=name)
