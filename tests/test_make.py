"""The Makefile installs torch without CUDA where no GPU is, and works offline."""

import os
import platform
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PIP = """#!/bin/sh
echo "called $*"
exit {code}
"""


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def install(tmp_path):
    """Run the step with a pip that succeeds or not; return what both print."""

    def run(code=0, gpu=False, installed=False):
        environment = tmp_path / "environment"
        packages = environment / "lib/python3.11/site-packages"
        (packages / "torch" if installed else packages).mkdir(parents=True)
        script(environment / "bin/python", PIP.format(code=code))
        if gpu:
            script(tmp_path / "tools/nvidia-smi", "#!/bin/sh\n")

        makefile = tmp_path / "Makefile"
        rule = f"try:\n\t$(call INSTALL_TORCH,{environment})\n\t@echo went on\n"
        makefile.write_text(f"include {ROOT / 'Makefile'}\n{rule}")
        path = f"{tmp_path / 'tools'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["make", "-s", "-f", makefile, "try"],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        *lines, last = done.stdout.splitlines()
        assert last == "went on"
        return lines

    return run


pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="elsewhere, indexes have torch without CUDA only",
)


def test_the_size_is_named_before_the_download(install):
    said, called = install()
    assert "200 MB to download without CUDA, 3 GB with it" in said
    assert called.startswith("called -m pip install")
    assert "--no-deps" in called
    assert called.endswith("/whl/cpu torch")


def test_an_index_that_fails_is_no_obstacle(install):
    said, called, failed = install(code=1)
    assert "200 MB" in said
    assert called.endswith("/whl/cpu torch")
    assert "/whl/cpu does not answer" in failed


def test_a_gpu_gets_cuda(install):
    (said,) = install(gpu=True)
    assert "3 GB with it, as a GPU needs" in said


def test_an_installed_torch_stays(install):
    assert install(installed=True) == []
