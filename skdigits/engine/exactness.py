"""Settings of torch within which oneDNN and cuDNN compute float32 as such.

A precision of float32 in torch follows a more general one where none is set: that of a
library or, above it, that of torch. What follows has to follow later, too, so it is
never restored as if it had been set.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch

from skdigits.engine.process import ProcessSetting

backends: Any = torch.backends  # their types are torch's own
onednn: Any = backends.mkldnn
cudnn: Any = backends.cudnn

# Values within a block. torch has an older and a newer switch for TF32.
EXACT = {
    "enabled": True,
    "benchmark": False,
    "deterministic": True,
    "fp32_precision": "ieee",
    "allow_tf32": False,
}
EXACT_PRECISIONS = {"none", "ieee"}


class Setting(NamedTuple):
    """A setting of torch: what has it, its name, its value."""

    owner: Any
    name: str
    value: Any


def exact_onednn() -> AbstractContextManager[None]:
    """Let oneDNN, on the CPU, compute float32 in full precision."""
    return _ONEDNN.changed_by(_exact)


def exact_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Let cuDNN be deterministic, and compute float32 as such instead of as TF32."""
    if device.type == "cpu":
        return nullcontext()
    return _CUDNN.changed_by(_exact)


def _of_onednn() -> list[Setting]:
    """Return the settings of oneDNN that are to change."""
    settings = [Setting(onednn, "enabled", onednn.enabled)]
    for operation in (onednn.matmul, onednn.conv):
        if operation.fp32_precision not in EXACT_PRECISIONS:
            own = own_precision(backends, onednn, operation)
            settings.append(Setting(operation, "fp32_precision", own))
    return settings


def _of_cudnn() -> list[Setting]:
    """Return the settings of cuDNN that are to change."""
    names = ("enabled", "benchmark", "deterministic")
    settings = [Setting(cudnn, name, getattr(cudnn, name)) for name in names]
    # From torch 2.9 on, each operation has a precision, and reading the older flag
    # raises once a user has set one of them.
    conv = getattr(cudnn, "conv", None)
    if conv is None:
        return [*settings, Setting(cudnn, "allow_tf32", cudnn.allow_tf32)]
    if conv.fp32_precision in EXACT_PRECISIONS:
        return settings

    # A default of convolutions, TF32 unless cuDNN has a precision, cannot be restored.
    if follows(backends, cudnn, conv):
        own = own_precision(backends, cudnn)
        return [*settings, Setting(cudnn, "fp32_precision", own)]
    return [*settings, Setting(conv, "fp32_precision", conv.fp32_precision)]


def own_precision(*switches: Any) -> str:
    """Return the precision that the last switch has by itself; "none" if it follows.

    Parameters
    ----------
    *switches : object
        Owners of an ``fp32_precision``, which is "ieee" in none of them by itself or by
        what it follows. Each may follow the one before it.
    """
    found: str = switches[-1].fp32_precision
    return "none" if found == "none" or follows(*switches) else found


def follows(*switches: Any) -> bool:
    """Return whether the last switch, which is not exact, follows the one before it."""
    *above, switch = switches
    if not above or above[-1].fp32_precision not in ("none", switch.fp32_precision):
        return False

    before = [own_precision(*above[: n + 1]) for n in range(len(above))]
    above[-1].fp32_precision = "ieee"
    found: bool = switch.fp32_precision == "ieee"
    # The most general one last: torch 2.13 writes it where oneDNN's is meant.
    for one, value in zip(reversed(above), reversed(before), strict=True):
        one.fp32_precision = value
    return found


def _exact(before: list[Setting]) -> list[Setting]:
    return [setting._replace(value=EXACT[setting.name]) for setting in before]


def _write(settings: list[Setting]) -> None:
    for setting in settings:
        setattr(setting.owner, setting.name, setting.value)


_ONEDNN = ProcessSetting(_of_onednn, _write)
_CUDNN = ProcessSetting(_of_cudnn, _write)
