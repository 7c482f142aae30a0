"""The picture of the page to draw on in the README, by Chromium through playwright.

python docs/draw_picture.py [chromium]    # about half a minute
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from skdigits.draw import page
from skdigits.draw._demo import demo_models

PICTURE = Path(__file__).parent / "_static" / "draw.png"
# A stroke in parts of the canvas: a two.
TURNS = np.radians(np.linspace(180, 390, 25))
BOW = np.stack([0.5 + 0.18 * np.cos(TURNS), 0.36 + 0.17 * np.sin(TURNS)], 1)
TWO = [*BOW.tolist(), (0.32, 0.8), (0.7, 0.78)]
SIZE = {"width": 900, "height": 620}
# The first of the two models.
SHOWN = {"x": 0, "y": 0, "width": 900, "height": 556}


def main() -> None:
    convnet, templates = demo_models()
    html = page(convnet, compare=templates)
    browser_path = sys.argv[1] if len(sys.argv) > 1 else None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path)
        tab = browser.new_page(viewport=SIZE)
        tab.set_content(html)
        _draw(tab)
        tab.screenshot(path=PICTURE, clip=SHOWN)
        browser.close()
    _shrink()


def _draw(tab) -> None:
    """Draw the two with the mouse."""
    box = tab.locator("#canvas").bounding_box()
    points = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"])
        for x, y in TWO
    ]
    tab.mouse.move(*points[0])
    tab.mouse.down()
    for point in points[1:]:
        tab.mouse.move(*point, steps=4)
    tab.mouse.up()
    tab.wait_for_timeout(500)


def _shrink() -> None:
    """Store the picture with 64 colours: the page has few."""
    picture = Image.open(PICTURE).convert("RGB")
    picture.quantize(64).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
