"""Digits that are found on pages of many, and read.

    python benchmarks/digits_on_pages.py               # a quarter of an hour, two cores
    python benchmarks/digits_on_pages.py --pages 2 --model conv.joblib   # a trial

Pages are composed of MNIST's test digits with fixed seeds, see `composed`: lines of
numbers on 1280 × 960 pixels, turned by up to 12°, each digit of the page's size ± 25 %.
The test digits chose nothing: constants were chosen on 10,000 of the training digits,
and the reader is a ConvNet of four epochs behind a DigitNormalizer.

*Found* are the digits whose box shares half of its area with the box of a digit that
was found, and with no other's more; *read* are those of them whose class is right, in
per cent of all digits; *extra* counts what was found besides. *In order* are pages
whose digits follow each other as on the page, with the right breaks of lines. *With a
model*, `find_digits` has the reader as its model; else it cuts by shapes alone. *±* is
twice the standard error over the pages, as the digits of a page share its pen. The
goals are 99 % found and 98.5 % read on every kind of page, 95 % read with a model where
digits touch, and five seconds for a page of 12 million pixels. The script stores its
figures in benchmarks/digits_on_pages.json and writes a section of RESULTS.md.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from accuracy import where
from composed import ALL_KINDS, Page, Place, composed
from pages import KINDS
from reader import reader, test_digits
from report import HERE, enter
from sklearn.pipeline import Pipeline

from skdigits.preprocessing import FoundDigit, find_digits

FOUND = 99.0
READ = 98.5
READ_TOUCHING = 95.0
SECONDS = 5.0


class Counts(NamedTuple):
    """What was found on a page."""

    digits: int
    found: int
    read: int
    extra: int
    in_order: bool
    seconds: float


def matched(places: list[Place], found: list[FoundDigit]) -> dict[int, int]:
    """Return which digit was found at which place, by their boxes."""
    if not places or not found:
        return {}
    known = np.array([place.box for place in places])[:, np.newaxis]
    others = np.array([one.box for one in found])
    low = np.maximum(known[..., :2], others[:, :2])
    high = np.minimum(known[..., 2:], others[:, 2:])
    shared = (high - low).clip(0).prod(-1)
    whole = (known[..., 2:] - known[..., :2]).prod(-1)
    whole = whole + (others[:, 2:] - others[:, :2]).prod(-1) - shared
    part = shared / whole

    best = part.argmax(1)
    return {
        place: int(one)
        for place, one in enumerate(best)
        if part[place, one] >= 0.5 and part[:, one].argmax() == place
    }


def is_in_order(
    places: list[Place], found: list[FoundDigit], pairs: dict[int, int]
) -> bool:
    """Return whether lines are those of the page, one after the other."""
    lines: dict[int, set[int]] = {}
    for place, one in pairs.items():
        lines.setdefault(places[place].row, set()).add(found[one].row)
    rows = [row for each in lines.values() for row in each]
    every = list(pairs.values())
    return every == sorted(every) and len(rows) == len(set(rows)) == len(lines)


def counted(page: Page, model: Pipeline | None, read: Pipeline) -> Counts:
    """Return what is found on a page, and read of it."""
    start = time.perf_counter()
    found = find_digits(page.image, model=model)
    seconds = time.perf_counter() - start

    pairs = matched(page.places, found)
    labels = read.predict([one.cut_out for one in found]) if found else []
    n_read = sum(
        bool(labels[one] == page.places[place].label) for place, one in pairs.items()
    )
    return Counts(
        len(page.places),
        len(pairs),
        n_read,
        len(found) - len(pairs),
        is_in_order(page.places, found, pairs),
        seconds,
    )


def blank_page(rng: np.random.Generator) -> Page:
    return Page(KINDS["clean"](rng, np.zeros((960, 1280)), 0), [])


def lines_of_digits(
    kinds: list[str], n_pages: int, read: Pipeline
) -> dict[str, dict[str, Any]]:
    """Return the sums of all pages of each kind, without and with a model."""
    X, y = test_digits()
    sums: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        each: dict[str, list[Counts]] = {"shapes": [], "model": []}
        for number in range(n_pages):
            rng = np.random.default_rng([number, [*ALL_KINDS, "blank"].index(kind)])
            page = blank_page(rng) if kind == "blank" else composed(kind, rng, X, y)
            each["shapes"].append(counted(page, None, read))
            each["model"].append(counted(page, read, read))
        sums[kind] = {
            name: np.sum(np.array(counts, float), 0).tolist()
            for name, counts in each.items()
        }
        sums[kind]["pages"] = n_pages
        sums[kind]["error"] = standard_error(each["model"])
        print(line(kind, sums[kind]), flush=True)
    return sums


def standard_error(counts: list[Counts]) -> float:
    """Return the standard error over the pages of the part of digits that is read."""
    n_digits = np.array([one.digits for one in counts])
    n_read = np.array([one.read for one in counts])
    if not n_digits.any() or len(counts) < 2:
        return 0.0
    residuals = n_read - n_read.sum() / n_digits.sum() * n_digits
    return float(np.sqrt(len(counts)) * residuals.std(ddof=1) / n_digits.sum())


def seconds_of_a_photograph(read: Pipeline) -> dict[str, float]:
    """Return the time of a page of 12 million pixels, without and with a model."""
    X, y = test_digits()
    image = composed("shadow", np.random.default_rng(0), X, y).image
    large = image.repeat(3, 0).repeat(3, 1)
    large = (
        np.pad(large, [(0, 3024 - 2880), (0, 4032 - 3840)], mode="edge")
        if (image.shape == (960, 1280))
        else np.pad(large, [(0, 4032 - 3840), (0, 3024 - 2880)], mode="edge")
    )

    times = {}
    for name, model in (("shapes", None), ("model", read)):
        every = []
        for _ in range(3):
            start = time.perf_counter()
            find_digits(large, model=model)
            every.append(time.perf_counter() - start)
        times[name] = float(np.median(every))
    return times


def line(kind: str, sums: dict[str, Any]) -> str:
    """Return a row of the table in Markdown."""
    cells = [kind, f"{sums['shapes'][0]:.0f}"]
    for name in ("shapes", "model"):
        n_digits, n_found, n_read, n_extra, n_ordered, _ = sums[name]
        shares = [f"{100 * n / max(n_digits, 1):.2f}" for n in (n_found, n_read)]
        if name == "model":
            shares[1] += f" ± {200 * sums['error']:.2f}"
        if not n_digits:
            shares = ["", ""]
        cells += [*shares, f"{n_extra:.0f}", f"{n_ordered:.0f} of {sums['pages']}"]
    return f"| {' | '.join([*cells, verdict(kind, sums)])} |"


def verdict(kind: str, sums: dict[str, Any]) -> str:
    """Return whether the goals of a kind are reached."""
    if kind == "blank":
        return "✓" if not sums["shapes"][3] + sums["model"][3] else "not reached"
    n_digits, n_found, n_read = sums["model"][:3]
    if kind == "touching":
        return "✓" if 100 * n_read >= READ_TOUCHING * n_digits else "not reached"
    good = 100 * n_found >= FOUND * n_digits and 100 * n_read >= READ * n_digits
    n_digits, n_found, n_read = sums["shapes"][:3]
    good &= 100 * n_found >= FOUND * n_digits and 100 * n_read >= READ * n_digits
    return "✓" if good else "not reached"


def write(known: dict[str, Any]) -> None:
    """Write the section of RESULTS.md."""
    times = known["photograph"]
    quick = max(times.values()) <= SECONDS
    text = [
        "# Digits on pages", "",
        "Made by `python benchmarks/digits_on_pages.py`.", "",
        *(__doc__ or "").split("\n\n", 2)[2].rsplit(" The script", 1)[0].splitlines(),
        "",
        "| | | by shapes | | | | with a model | | | | |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        "| page | digits | found | read | extra | in order | found | read | extra | "
        "in order | goal |",
    ]  # fmt: skip
    text += [line(kind, sums) for kind, sums in known["kinds"].items()]
    text += [
        "",
        f"A page of 12 million pixels takes {times['shapes']:.1f} s, and "
        f"{times['model']:.1f} s with a model {'✓' if quick else 'not reached'}. "
        f"{known['where']}.",
    ]
    enter(text)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--pages", type=int, default=12, help="pages of each kind (default: 12)"
    )
    every = [*ALL_KINDS, "blank"]
    parser.add_argument("--kinds", nargs="+", choices=every, default=every)
    parser.add_argument("--model", type=Path, help="file of a classifier, for trials")
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    return parser.parse_args()


def main() -> None:
    """Measure, and write."""
    asked = parsed()
    read = reader(asked.model)
    known = {
        "kinds": lines_of_digits(asked.kinds, asked.pages, read),
        "photograph": seconds_of_a_photograph(read),
        "where": where(),
    }
    print(known["photograph"])
    if not asked.dry:
        path = HERE / "digits_on_pages.json"
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        write(known)


if __name__ == "__main__":
    main()
