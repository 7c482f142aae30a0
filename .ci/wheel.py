"""Test a wheel alone: with what it requires, and nothing else.

    python .ci/wheel.py build/package/skdigits-….whl

Makes an environment with the wheel and links to the packages it requires, which this
Python has. There, every module is imported and every classifier fitted.
"""

import importlib
import pickle
import pkgutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import distribution, distributions
from pathlib import Path

# Modules of extras, and what the error has to name.
EXTRAS = {"skdigits.onnx": "pip install skl2onnx onnxruntime"}


def required(one, found):
    """Add the distributions that one requires, by name, without extras."""
    from packaging.requirements import Requirement

    for line in one.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        wanted = marker is None or marker.evaluate({"extra": ""})
        if wanted and requirement.name not in found:
            found[requirement.name] = distribution(requirement.name)
            required(found[requirement.name], found)
    return found


def link(installed, folder):
    """Link all that distributions have installed into a folder."""
    for one in installed:
        for name in {file.parts[0] for file in one.files or ()}:
            place = folder / name
            if name not in ("..", "__pycache__") and not place.exists():
                place.symlink_to(one.locate_file(name))


def outside(wheel):
    """Make the environment, and run this script in it."""
    environment = Path(wheel).resolve().parent / "environment"
    venv.create(environment, clear=True, symlinks=True)
    paths = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", paths))
    zipfile.ZipFile(wheel).extractall(packages)
    (own,) = distributions(path=[str(packages)])
    link(required(own, {}).values(), packages)

    python = Path(sysconfig.get_path("scripts", "venv", paths), "python")
    command = [python, "-I", Path(__file__).resolve()]
    subprocess.run(command, check=True, cwd=environment)


def inside():
    """Import every module of the wheel, and fit every classifier."""
    import numpy as np
    from sklearn.datasets import load_digits

    import skdigits
    from skdigits.draw import page
    from skdigits.model_selection import BatchedGridSearchCV

    assert Path(skdigits.__file__).is_relative_to(sys.prefix), skdigits.__file__
    names = [one.name for one in pkgutil.walk_packages(skdigits.__path__, "skdigits.")]
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            if EXTRAS.get(name, "an extra that has no name") not in str(error):
                raise

    X, y = load_digits(return_X_y=True)
    pixels = (X * 15).astype(np.uint8)
    settings = {"max_iter": 5, "tol": None, "random_state": 0}
    search = BatchedGridSearchCV(
        skdigits.SoftmaxRegression(**settings), {"learning_rate_init": [0.01, 0.1]}
    )
    for model in (
        skdigits.TemplateMatchingClassifier(),
        skdigits.MLPClassifierTorch(**settings | {"learning_rate_init": 0.01}),
        skdigits.ConvNetClassifier((8,), max_iter=3, random_state=0),
        search,
    ):
        model.fit(pixels[:1200], y[:1200])
        again = pickle.loads(pickle.dumps(model))
        assert again.score(pixels[1200:], y[1200:]) > 0.8, model

    # What the page consists of is no module, and has to be in the wheel all the same.
    assert "touch-action" in page(model.best_estimator_)
    print(f"The wheel alone: {len(names)} modules import, and every classifier learns.")


if __name__ == "__main__":
    outside(*sys.argv[1:]) if len(sys.argv) > 1 else inside()
