"""How much memory a process holds, and the most that it held: from the system, on Linux."""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")
REFERENCES = Path("/proc/self/clear_refs")
FORGET_THE_PEAK = "5"


def resident_bytes() -> int | None:
    """What the process has in memory now; None where the system does not say."""
    return _field("VmRSS")


def forget_the_peak() -> bool:
    """Let the peak begin anew from what is held now; False where the system has no such thing."""
    try:
        REFERENCES.write_text(FORGET_THE_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes() -> int | None:
    """The most that the process had in memory since the peak was forgotten; None where it is not said."""
    return _field("VmHWM")


def _field(name: str) -> int | None:
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    kibibytes = next(found, None)
    return None if kibibytes is None else int(kibibytes) << 10
