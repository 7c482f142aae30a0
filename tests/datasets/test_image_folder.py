"""read_image_folder on good, unusual and damaged files."""

import builtins
import re

import numpy as np
import pytest
from PIL import Image

from skdigits.datasets import read_image_folder


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


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_damaged_image_is_an_error(content, tmp_path, rng):
    path = tmp_path / "0" / "a.png"
    write(path, rng.integers(256, size=(28, 28), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected an image")):
        read_image_folder(tmp_path)


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
    with pytest.raises(ImportError, match=re.escape("pip install 'skdigits[images]'")):
        read_image_folder(tmp_path)
