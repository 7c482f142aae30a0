"""read_image_folder on good, unusual and damaged files."""

import builtins
import os
import re
import runpy
import struct
import subprocess
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skdigits import SoftmaxRegression
from skdigits.datasets import read_image_folder
from skdigits.preprocessing import DigitNormalizer

FUZZ = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "fuzz.py"))
SUFFIXES = sorted(FUZZ["SUFFIXES"])


def write(path, pixels, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


def test_digits_come_back_pixel_by_pixel(tmp_path, rng):
    pixels = rng.integers(256, size=(12, 5, 7), dtype=np.uint8)
    for i, image in enumerate(pixels):
        write(tmp_path / str(11 - i % 3) / f"{i:03}.png", image)

    found = read_image_folder(tmp_path)
    assert found.image_shape == (5, 7)
    assert found.data.dtype == np.uint8
    assert found.target.dtype == np.int64
    assert found.target_names.tolist() == [9, 10, 11]
    for row, filename, label in zip(
        found.data, found.filenames, found.target, strict=True
    ):
        i = int(filename[-7:-4])
        np.testing.assert_array_equal(row.reshape(5, 7), pixels[i])
        assert label == 11 - i % 3


def test_names_that_are_no_numbers_stay_names(tmp_path):
    for label in ("cat", "7"):
        write(tmp_path / label / "one.png", np.zeros((2, 2), np.uint8))
    (tmp_path / ".cache").mkdir()
    (tmp_path / "readme.txt").write_text("not a class")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    assert read_image_folder(tmp_path).target.tolist() == ["7", "cat"]


def test_colours_become_grey(tmp_path):
    write(tmp_path / "0" / "red.png", np.full((2, 2, 3), [255, 0, 0], np.uint8), "RGB")
    # 76 = 0.299 · 255
    assert read_image_folder(str(tmp_path)).data.tolist() == [[76] * 4]


def test_sixteen_bits_become_eight(tmp_path):
    write(tmp_path / "0" / "deep.png", np.array([[0, 257, 65535]], np.uint16), "I;16")
    (tmp_path / "0" / "deep.pgm").write_bytes(
        b"P5 3 1 65535\n" + bytes([0, 0, 1, 1, 255, 255])
    )
    assert read_image_folder(tmp_path).data.tolist() == [[0, 1, 255]] * 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode, tmp_path):
    picture = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    picture.putpixel((1, 0), (0, 0, 0, 255))
    (tmp_path / "0").mkdir()
    picture.convert(mode).save(tmp_path / "0" / "strokes.png")
    assert read_image_folder(tmp_path).data.tolist() == [[255, 0, 255]]


def test_floats_and_animations_are_errors(tmp_path):
    write(tmp_path / "0" / "float.tiff", np.zeros((2, 2), np.float32), "F")
    with pytest.raises(
        ValueError, match=r"float.tiff: expected one picture of 8 or 16 bits"
    ):
        read_image_folder(tmp_path)

    (tmp_path / "0" / "float.tiff").unlink()
    frames = [Image.new("L", (2, 2), value) for value in (0, 255)]
    frames[0].save(tmp_path / "0" / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(
        ValueError, match=r"a.gif: expected one picture .* found 2 of mode"
    ):
        read_image_folder(tmp_path)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["1", "-1", "10"], [-1, 1, 10]),
        (["01", "1"], ["01", "1"]),
        (["1", "a"], ["1", "a"]),
        (["9" * 20], ["9" * 20]),
    ],
)
def test_numbers_are_numbers_as_they_are_written(names, expected, tmp_path):
    for name in names:
        write(tmp_path / name / "one.png", np.zeros((2, 2), np.uint8))
    assert read_image_folder(tmp_path).target_names.tolist() == expected


def test_an_image_of_another_size_is_an_error(tmp_path):
    write(tmp_path / "0" / "a.png", np.zeros((4, 6), np.uint8))
    write(tmp_path / "1" / "b.png", np.zeros((4, 5), np.uint8))
    message = "expected an image of 6 x 4 pixels, the size of"
    with pytest.raises(ValueError, match=message) as error:
        read_image_folder(tmp_path)
    assert str(tmp_path / "1" / "b.png") in str(error.value)
    assert "found 5 x 4 pixels" in str(error.value)
    assert "Pass as_list=True" in str(error.value)


def test_images_of_several_sizes_are_a_list(tmp_path, rng):
    images = {
        "3/a.png": rng.integers(256, size=(4, 6), dtype=np.uint8),
        "3/b.png": rng.integers(256, size=(9, 5), dtype=np.uint8),
        "7/a.png": rng.integers(256, size=(1, 1), dtype=np.uint8),
    }
    for name, pixels in images.items():
        write(tmp_path / name, pixels)

    found = read_image_folder(tmp_path, as_list=True)
    assert found.image_shape is None
    assert found.target.tolist() == [3, 3, 7]
    assert found.filenames == [str(tmp_path / name) for name in images]
    for image, pixels in zip(found.data, images.values(), strict=True):
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, pixels)


def test_a_list_of_one_size_holds_the_same_images(tmp_path, rng):
    for label in "012":
        write(tmp_path / label / "a.png", rng.integers(256, size=(4, 6), dtype="u1"))
    rows = read_image_folder(tmp_path)
    images = read_image_folder(tmp_path, as_list=True)
    np.testing.assert_array_equal(np.stack(images.data), rows.data.reshape(3, 4, 6))
    assert rows.pop("data").shape == (3, 24)
    del images["data"]
    assert repr(images) == repr(rows)


def photograph(digit, scale, colours, orientation):
    """An enlarged digit on coloured paper, stored as the phone was held."""
    paper, ink = np.array(colours)
    strength = np.pad(np.kron(digit, np.ones((scale, scale))), 2 * scale)
    pixels = paper + (ink - paper) * strength[:, :, np.newaxis]
    turn = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
    picture = Image.fromarray(pixels.astype(np.uint8))
    if turn[orientation] is not None:
        picture = picture.transpose(turn[orientation])
    picture.getexif()[0x0112] = orientation
    return picture


def test_a_folder_of_photographs_is_read_by_a_pipeline(tmp_path, digits):
    """Several sizes, formats, colours and orientations; files may not say the label."""
    X, y = digits
    model = make_pipeline(
        DigitNormalizer(size=12, digit_size=8),
        SoftmaxRegression(0.1, solver="adam", max_iter=20, tol=None, random_state=0),
    )
    small = (X * 255).astype(np.uint8).reshape(-1, 8, 8)
    model.fit(small[:1000], y[:1000])

    looks = [
        (7, [(236, 228, 205), (40, 45, 90)], 1, "png"),
        (10, [(255, 255, 255), (0, 0, 0)], 6, "jpg"),
        (13, [(20, 60, 20), (250, 250, 240)], 3, "tif"),
    ]
    for n, (digit, label) in enumerate(zip(X[1000:1150], y[1000:1150], strict=True)):
        scale, colours, orientation, suffix = looks[n % 3]
        picture = photograph(digit.reshape(8, 8), scale, colours, orientation)
        path = tmp_path / str(label) / f"{n}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        picture.save(path, exif=picture.getexif(), quality=95)

    found = read_image_folder(tmp_path, as_list=True)
    assert {image.shape for image in found.data} == {(84, 84), (120, 120), (156, 156)}
    expected = model.score(small[1000:1150], y[1000:1150])
    assert expected > 0.85
    assert model.score(found.data, found.target) >= expected - 0.02

    # What fits to arrays fits to a list, and scikit-learn divides it.
    pages, new, labels, truth = train_test_split(
        found.data, found.target, test_size=50, random_state=0
    )
    model.fit(pages, labels)
    assert model.score(new, truth) > 0.6


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_damaged_image_is_an_error(content, tmp_path, rng):
    path = tmp_path / "0" / "a.png"
    write(path, rng.integers(256, size=(28, 28), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected an image")):
        read_image_folder(tmp_path)


@pytest.mark.parametrize(
    ("file_format", "name", "settings"),
    [
        ("PPM", "a.pgm", {}),
        ("TIFF", "a.tif", {}),
        ("TIFF", "a.tiff", {"compression": "tiff_adobe_deflate"}),
        ("PNG", "a.png", {}),
        ("JPEG", "a.jpg", {}),
        ("BMP", "a.bmp", {}),
        ("GIF", "a.gif", {}),
        ("WEBP", "a.webp", {"lossless": True}),
    ],
)
def test_a_file_that_is_cut_short_is_named(file_format, name, settings, tmp_path, rng):
    path = tmp_path / "0" / name
    path.parent.mkdir()
    picture = Image.fromarray(rng.integers(256, size=(20, 30), dtype=np.uint8))
    picture.save(path, file_format, **settings)
    whole = path.read_bytes()
    assert read_image_folder(tmp_path).image_shape == (20, 30)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))}: expected an image"):
        read_image_folder(tmp_path)


def test_an_eps_file_of_another_name_starts_no_program(tmp_path):
    path = tmp_path / "0" / "a.png"
    path.parent.mkdir()
    Image.new("RGB", (3, 2)).save(path, "EPS")
    started = FUZZ["watch"]()
    n_before = len(started)
    with pytest.raises(ValueError, match=r"a.png: expected an image that Pillow can r"):
        read_image_folder(tmp_path)
    assert len(started) == n_before


def test_lab_is_as_bright_as_its_colours(tmp_path, rng):
    colours = Image.fromarray(rng.integers(256, size=(9, 7, 3), dtype=np.uint8))
    srgb = ImageCms.createProfile("sRGB")
    lab = ImageCms.createProfile("LAB")
    picture = ImageCms.profileToProfile(colours, srgb, lab, outputMode="LAB")
    (tmp_path / "0").mkdir()
    picture.save(tmp_path / "0" / "a.tif")
    found = read_image_folder(tmp_path).data.reshape(9, 7).astype(int)
    # Eight bits of LAB are coarser than those of colours.
    assert abs(found - np.asarray(colours.convert("L"))).max() < 16
    assert np.ptp(found) > 150


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "0").mkdir()
    with pytest.raises(ValueError, match="but found no image"):
        read_image_folder(tmp_path)


def test_without_pillow_the_cure_is_named(tmp_path, monkeypatch):
    write(tmp_path / "0" / "a.png", np.zeros((2, 2), np.uint8))
    real = builtins.__import__

    def no_pillow(name, *rest):
        if name == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_pillow)
    with pytest.raises(ImportError, match=r"pip install pillow$"):
        read_image_folder(tmp_path)


BLANK = np.zeros((2, 2), np.uint8)


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".pbm", ".avif"])
def test_no_picture_is_left_out_for_its_name(suffix, tmp_path):
    write(tmp_path / "0" / f"one{suffix}", np.full((4, 4), 255, np.uint8))
    assert read_image_folder(tmp_path).data.tolist() == [[255] * 16]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.heic", "found .heic, .* pip install pillow-heif, .*heif_opener.* to PNG"),
        ("a.HIF", "found .hif, .* pip install pillow-heif"),
        ("a.svg", "in one of the formats .avif, .bmp, .* found .svg. Convert it to"),
        ("a.dng", "found .dng. Convert it to PNG, or move it out of the folder"),
    ],
)
def test_pictures_that_cannot_be_read_are_named(name, message, tmp_path):
    write(tmp_path / "0" / "first.png", BLANK)
    (tmp_path / "0" / name).write_bytes(b"anything")
    message = re.escape(str(tmp_path / "0" / name)) + ": .*" + message
    with pytest.raises(ValueError, match=message):
        read_image_folder(tmp_path)


def test_heic_is_read_once_pillow_can(tmp_path, monkeypatch):
    """pillow-heif registers a format of this name; PNG stands in for it."""
    write(tmp_path / "0" / "first.png", np.full((2, 2), 7, np.uint8))
    (tmp_path / "0" / "first.png").rename(tmp_path / "0" / "first.heic")
    monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])
    assert read_image_folder(tmp_path).data.tolist() == [[7] * 4]


@pytest.mark.parametrize("above", [".", "mnist_png"])
def test_the_folder_to_pass_is_named(above, tmp_path):
    for part in ("training", "testing"):
        write(tmp_path / above / part / "7" / "one.png", BLANK)
    with pytest.raises(ValueError, match="found images deeper, below") as error:
        read_image_folder(tmp_path)
    (cure,) = re.findall(r"read_image_folder\('(.*)'\)", str(error.value))
    assert read_image_folder(cure).target.tolist() == [7]
    assert str(tmp_path / above / "training") in str(error.value)


def test_a_class_is_no_folder_of_classes(tmp_path):
    write(tmp_path / "7" / "one.png", BLANK)
    with pytest.raises(ValueError, match="if 7 is a class, pass") as error:
        read_image_folder(tmp_path / "7")
    assert str(error.value).endswith(f"pass {tmp_path}.")


@pytest.mark.parametrize("name", ["8/readme.txt", "stray.png", "7/more/two.png"])
def test_what_is_left_out_is_told(name, tmp_path):
    """A class without images, and images beside and below those of the classes."""
    write(tmp_path / "7" / "one.png", BLANK)
    if name.endswith("png"):
        write(tmp_path / name, BLANK)
    else:
        (tmp_path / "8").mkdir()
        (tmp_path / name).write_text("not yet")
    named = re.escape(str(tmp_path / name.rpartition("/")[0]))
    with pytest.warns(UserWarning, match=rf"{named}.*: expected only folders") as found:
        assert read_image_folder(tmp_path).target.tolist() == [7]
    assert found[0].filename == __file__


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "pages" / "7" / "one.png", BLANK)
    assert read_image_folder("~/pages").target.tolist() == [7]


def test_values_that_are_no_greys_of_their_file_are_told(tmp_path):
    """8 bits, saved as 16 or 32: read as such, they are black."""
    write(tmp_path / "0" / "a.png", np.array([[0, 255]], np.uint16), "I;16")
    with pytest.warns(UserWarning, match=r"a.png: .* 16 bits, .* none above 255"):
        assert read_image_folder(tmp_path).data.tolist() == [[0, 1]]
    write(tmp_path / "0" / "a.png", np.zeros((1, 2), np.uint16), "I;16")
    assert read_image_folder(tmp_path).data.tolist() == [[0, 0]]

    (tmp_path / "0" / "a.png").unlink()
    write(tmp_path / "0" / "a.tif", np.array([[0, 255]], np.int32), "I")
    with pytest.raises(ValueError, match=r"a.tif: .*found 1 of mode 'I'. Convert it"):
        read_image_folder(tmp_path)


@pytest.mark.parametrize(("tag", "value"), [(258, 12), (262, 0)])
def test_bits_that_pillow_leaves_as_they_are_are_refused(tag, value, tmp_path):
    """Values of 12 bits, and a TIFF file in which 0 is white."""
    path = tmp_path / "0" / "a.tif"
    write(path, np.array([[0, 3, 4000, 9]], np.uint16), "I;16")
    content = bytearray(path.read_bytes())
    entry = content.index(struct.pack("<HHI", tag, 3, 1))
    content[entry + 8 : entry + 10] = struct.pack("<H", value)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a.tif: expected one picture of 8 or 16 bit"):
        read_image_folder(tmp_path)


def test_what_a_person_sees_is_read(tmp_path):
    """White ink on transparency, and a photograph taken upright."""
    strokes = Image.new("RGBA", (3, 1), (255, 255, 255, 0))
    strokes.putpixel((1, 0), (255, 255, 255, 255))
    (tmp_path / "0").mkdir()
    strokes.save(tmp_path / "0" / "strokes.png")
    assert read_image_folder(tmp_path).data.tolist() == [[0, 255, 0]]

    upright = Image.fromarray(np.array([[10, 20, 30]], np.uint8))
    upright.getexif()[0x0112] = 6
    upright.save(tmp_path / "0" / "strokes.png", exif=upright.getexif())
    found = read_image_folder(tmp_path)
    assert found.image_shape == (3, 1)
    assert found.data.tolist() == [[10, 20, 30]]


def test_a_phones_picture_of_several_parts_is_its_first(tmp_path):
    (tmp_path / "0").mkdir()
    first = Image.new("L", (8, 8), 255)
    depth = [Image.new("L", (8, 8), 0)]
    path = tmp_path / "0" / "photo.jpg"
    first.save(path, "MPO", save_all=True, append_images=depth)
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert (read_image_folder(tmp_path).data == 255).all()


def test_a_pipe_is_refused(tmp_path):
    write(tmp_path / "0" / "a.png", BLANK)
    os.mkfifo(tmp_path / "0" / "b.png")
    with pytest.raises(ValueError, match=r"b.png: .* regular file, but found a named"):
        read_image_folder(tmp_path)


def test_a_bomb_is_refused(tmp_path):
    """A PNG of a few bytes that states 30,000 × 30,000 pixels."""

    def chunk(kind, content):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "bomb.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb.png: .*DecompressionBombError"):
        read_image_folder(tmp_path)


def test_every_format_under_every_suffix_is_read_or_named(tmp_path):
    """And no process is started, as Pillow does for an EPS file of any name."""
    written = list(FUZZ["pictures"]())
    assert {"EPS", "PDF", "TIFF", "PNG"} < {picture.format for picture in written}

    started = FUZZ["watch"]()
    with suppress(OSError):
        subprocess.Popen("/no/such/program")
    assert len(started) == 1
    check = FUZZ["check_picture"]
    counts = Counter(
        check(tmp_path, suffix, picture) for picture in written for suffix in SUFFIXES
    )
    assert len(started) == 1
    assert counts["arrays"] > 60 * len(SUFFIXES)
    assert counts["errors"] > 60 * len(SUFFIXES)


def test_mutated_pictures_are_read_or_named(tmp_path, rng):
    """``benchmarks/fuzz.py`` reads 20,000 of them."""
    readable = [p for p in FUZZ["pictures"]() if p.format in FUZZ["READABLE"]]
    contents = [picture.content for picture in readable for _ in range(4)]
    found = [
        FUZZ["read_alone"](tmp_path, ".png", FUZZ["mutated"](content, rng))
        for content in contents
    ]
    n_read = sum(image is not None for image in found)
    assert 0.2 < n_read / len(found) < 0.8
