"""The sample models that ship with the package; finding them loads no torch."""

from __future__ import annotations

from pathlib import Path

from prunecli.errors import InputRefused

_PACKAGE = Path(__file__).resolve().parents[1]

# In a wheel the samples lie inside the package, in a checkout beside it.
PLACES = (_PACKAGE / "sample_models", _PACKAGE.parent / "sample_models")


def sample_models() -> dict[str, Path]:
    """Name (the file's stem) to path of every bundled `.safetensors` file, by name; may be empty."""
    for place in PLACES:
        found = {path.stem: path for path in sorted(place.glob("*.safetensors"))}
        if found:
            return found
    return {}


def default_sample() -> Path:
    """The sample that is taken when no checkpoint is given: the residual one, else the first by name.

    Raises InputRefused when the installation holds none.
    """
    samples = sample_models()
    if not samples:
        raise InputRefused(
            "no checkpoint was given and this installation holds no sample model",
            hints=["give one: prunecli inspect PATH", "in a checkout: python sample_models/make_samples.py"],
        )
    residual = (path for name, path in samples.items() if "resnet" in name)
    return next(residual, next(iter(samples.values())))
