"""Image files: size, pixels, and names that stay inside."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from rondel.errors import DataError
from rondel_detection.data.images import (
    Header,
    inside,
    read_header,
    read_image,
    read_reduced,
)


def gradient(width: int = 24, height: int = 16) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    red, green = x * 255 // (width - 1), y * 255 // (height - 1)
    return Image.fromarray(np.dstack([red, green, 255 - red]).astype(np.uint8))


def pixels(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_every_lossless_kind_is_read_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    gradient().save(path, lossless=True)
    assert read_header(path) == Header(24, 16)
    assert torch.equal(read_image(path), pixels(gradient()))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_pillow_turns_them(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    gradient().save(path, exif=exif)
    with Image.open(path) as picture:
        picture.load()
        expected = ImageOps.exif_transpose(picture)
    found = read_image(path)
    assert torch.equal(found, pixels(expected))
    assert tuple(found.shape) == ((3, 16, 24) if orientation < 5 else (3, 24, 16))
    width, height = expected.size
    assert read_header(path) == Header(width, height, orientation)


def test_a_header_is_read_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    gradient(800, 600).save(path)
    path.write_bytes(path.read_bytes()[:60])
    assert read_header(path) == Header(800, 600)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_other_modes_become_colour(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.png" if mode in ("L", "1", "P") else "a.tif")
    converted = gradient().convert(mode)
    converted.save(path)
    torch.testing.assert_close(
        read_image(path).float(), pixels(converted).float(), atol=2.0, rtol=0
    )


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (4, 2), (200, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    picture.save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png")
    assert found[:, 0, 1].tolist() == [255, 255, 255]
    assert found[:, 0, 0].tolist() == [200, 0, 0]


def test_a_palette_with_a_transparent_entry_becomes_white_there(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.gif", transparency=1)
    assert read_image(tmp_path / "a.gif")[:, 0, :].T.tolist() == [[10, 20, 30], [255, 255, 255]]


def test_sixteen_bits_keep_their_upper_half(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[1, 0].tolist() == [0, 0, 1, 128, 255]


def test_floats_up_to_one_are_scaled_and_others_are_not(tmp_path: Path) -> None:
    for name, values in (("one", [0.0, 0.5, 1.0]), ("byte", [0.0, 100.0, 300.0])):
        Image.fromarray(np.array([values], dtype=np.float32)).save(tmp_path / f"{name}.tif")
    assert read_image(tmp_path / "one.tif")[0, 0].tolist() == [0, 128, 255]
    assert read_image(tmp_path / "byte.tif")[0, 0].tolist() == [0, 100, 255]


def test_a_reduced_jpeg_is_at_least_as_large_as_asked_and_knows_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient(1001, 640).save(path, exif=exif)
    picture, size = read_reduced(path, 200)
    assert size == (1001, 640)
    assert tuple(picture.shape) == (3, 251, 160)
    whole = torch.nn.functional.interpolate(
        read_image(path)[None].float(), (251, 160), mode="area"
    )[0]
    assert (whole - picture).abs().mean() < 3


@pytest.mark.parametrize(("longest", "side"), [(126, 251), (125, 126), (1001, 1001), (4000, 1001)])
def test_the_longest_side_is_never_below_what_was_asked(
    tmp_path: Path, longest: int, side: int
) -> None:
    gradient(1001, 3).save(tmp_path / "a.jpg")
    picture, _ = read_reduced(tmp_path / "a.jpg", longest)
    assert picture.shape[2] >= min(longest, 1001)


def test_a_png_is_not_reduced(tmp_path: Path) -> None:
    gradient(300, 200).save(tmp_path / "a.png")
    picture, size = read_reduced(tmp_path / "a.png", 20)
    assert tuple(picture.shape) == (3, 200, 300)
    assert size == (200, 300)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: there is no such image file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(DataError, match="is a folder, not an image"):
        read_header(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
def test_a_truncated_image_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    gradient(200, 200).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\.{suffix}: the image cannot be read: .*cut off"):
        read_image(path)


def test_a_text_file_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(DataError, match=r"is no image of a kind that is read here \(JPEG, PNG"):
        read_header(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match="The file is empty or damaged"):
        read_header(tmp_path / "b.png")


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def bomb(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 99))


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(60_000))
    assert read_header(path) == Header(60_000, 60_000)
    with pytest.raises(DataError, match=r"bomb\.png: has 60000 x 60000 pixels, more than max_pix"):
        read_image(path)


def test_the_limit_of_pixels_can_be_lowered(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.png")
    with pytest.raises(DataError, match="raise max_pixels if the memory is there"):
        read_image(tmp_path / "a.png", max_pixels=24 * 16 - 1)
    assert read_image(tmp_path / "a.png", max_pixels=24 * 16).shape == (3, 16, 24)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert read_image(tmp_path / "a.jpg").shape == (3, 16, 24)


def test_random_damage_raises_data_errors_only(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    refused: list[tuple[str, str]] = []
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        stream = io.BytesIO()
        gradient().save(stream, kind)
        for trial in range(40):
            data = bytearray(stream.getvalue())
            for place in random.integers(0, len(data), 6):
                data[place] = int(random.integers(256))
            path = tmp_path / f"{trial}.{kind}"
            path.write_bytes(data)
            try:
                read_image(path, max_pixels=10_000)
            except DataError as error:
                refused.append((path.name, str(error)))
    assert len(refused) > 20
    assert all(name in text for name, text in refused)


def test_names_inside_the_folder_are_joined(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b.jpg") == tmp_path / "a/b.jpg"
    assert inside(tmp_path, "a\\b.jpg") == tmp_path / "a/b.jpg"
    assert inside(tmp_path, "a/../b.jpg") == tmp_path / "a/../b.jpg"
    assert inside(tmp_path, str(tmp_path / "b.jpg")) == tmp_path / "b.jpg"


@pytest.mark.parametrize(
    "name", ["../a.jpg", "a/../../b.jpg", "/etc/passwd", "..\\a.jpg", "C:\\photos\\a.jpg"]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out of the folder of the images"):
        inside(tmp_path, name)


@pytest.mark.parametrize("name", ["", "a\0.jpg"])
def test_names_of_no_file_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="is no name of a file"):
        inside(tmp_path, name)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"")
    (root / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DataError, match="leads out"):
        inside(root, "a.jpg")


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(DataError, match=r"there is no such image|cannot be read|leads nowhere"):
        read_header(inside(tmp_path, "a"))
