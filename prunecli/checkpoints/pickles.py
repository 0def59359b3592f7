"""Files of torch.save: looked through, then opened by torch's safe reader; run only when trusted."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from prunecli.checkpoints.archive import MAX_PICKLE_BYTES, checked_members, pickle_of
from prunecli.checkpoints.opcodes import BrokenPickleError, Named, Scan, scan_pickle, unprunable
from prunecli.checkpoints.sniff import TORCH_ZIP
from prunecli.checkpoints.source import Source
from prunecli.checkpoints.wording import counted, listed, shown
from prunecli.errors import InputRefused, WorkFailed, WrongUse

# A legacy file is five pickles in a row: magic number, protocol, system, the object, the storage keys.
_LEGACY_PICKLES = 5
_DIGEST = re.compile(r"[0-9a-f]{64}")


def load_pickled(source: Source, *, sha256: str, trust_pickle: str | None) -> tuple[object, bool]:
    """The object that torch.save wrote to `source`, and whether code of the file was run for it.

    Without `trust_pickle` only tensors and plain values are built. With it, a file that needs more is run
    when its sha256 is the one given. Raises InputRefused; WrongUse when `trust_pickle` is no sha256.
    """
    if trust_pickle is not None and not _DIGEST.fullmatch(trust_pickle.lower()):
        raise WrongUse(
            "--trust-pickle takes the sha256 of the file: 64 hexadecimal digits",
            hints=[f"given: {shown(trust_pickle)}", f"get it with: sha256sum {source.name}"],
        )
    scans = _scans(source)
    refusal = _refusal(source, scans, sha256=sha256)
    if refusal is None:
        return _load_weights(source), False
    if trust_pickle is None:
        raise refusal
    return _run_trusted(source, trust_pickle.lower()), True


def _scans(source: Source) -> list[Scan]:
    try:
        if source.kind == TORCH_ZIP:
            return [scan_pickle(pickle_of(source, checked_members(source)))]
        return _legacy_scans(source)
    except BrokenPickleError as error:
        raise InputRefused(
            f"{source.name} {error}",
            hints=[f"the file has {source.size:,} bytes; compare with the original and download it again"],
        ) from error


def _legacy_scans(source: Source) -> list[Scan]:
    source.file.seek(0)
    head = source.file.read(MAX_PICKLE_BYTES)
    scans = [scan_pickle(head)]
    while len(scans) < _LEGACY_PICKLES:
        scans.append(scan_pickle(head, start=scans[-1].end))
    claimed = max(scan.largest_storage for scan in scans)
    if claimed > source.size:
        raise BrokenPickleError(f"claims a tensor of {claimed:,} numbers but ends at {source.size:,} bytes")
    return scans


def _refusal(source: Source, scans: list[Scan], *, sha256: str) -> InputRefused | None:
    unsafe = [named for scan in scans for named in scan.unsafe]
    if unsafe:
        return _would_run(source, unsafe, sha256)
    for named in (named for scan in scans for named in scan.globals):
        what = unprunable(named.spelled)
        if what is not None:
            where = f"the tensor {shown(named.after)}" if named.after else "a tensor"
            raise InputRefused(
                f"{source.name}: {where} is {what}, which cannot be pruned",
                hints=["prune the dense floating-point checkpoint, then convert the result"],
            )
    foreign = next((scan.foreign for scan in scans if scan.foreign), None)
    if foreign is not None:
        return InputRefused(
            f"{source.name} uses the pickle opcode {foreign}, which the safe reader does not know",
            hints=[
                "save it again where it was made, with torch.save's own pickle protocol (2)",
                f"or, if you trust it, let it run: --trust-pickle {sha256}",
            ],
        )
    return None


def _would_run(source: Source, unsafe: list[Named], sha256: str) -> InputRefused:
    names = [named.dotted for named in unsafe]
    first = unsafe[0]
    whole = any(".modules." in name or name.startswith(("torch.nn", "torchvision.models")) for name in names)
    what = "holds a whole pickled model" if whole else "holds more than weights"
    return InputRefused(
        f"{source.name} {what}: it would run {shown(first.dotted)} (named at byte {first.offset:,})",
        hints=[
            f"in all it would run {counted(len(names), 'name')}: {listed(names, most=6)}",
            "safer: where it was made, torch.save(model.state_dict(), 'weights.pt') and give that file",
            f"only if you trust its maker: --trust-pickle {sha256}",
        ],
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence: torch's warnings speak of its own switches; what a user needs is said by the refusals here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _invariants() -> AbstractContextManager[None]:
    # A sparse tensor of bad indices is refused by its name, but must not be able to crash before that.
    guard: AbstractContextManager[None] = torch.sparse.check_sparse_tensor_invariants(enable=True)  # type: ignore[no-untyped-call]
    return guard


def _load_weights(source: Source) -> object:
    source.file.seek(0)
    try:
        with _quietly(), _invariants():
            loaded: object = torch.load(source.file, map_location="cpu", weights_only=True, mmap=False)
    except MemoryError as error:
        raise WorkFailed(f"not enough memory to open {source.name} ({source.size:,} bytes)") from error
    except Exception as error:
        # torch's text is not passed on: for many broken files it advises to switch the check off.
        raise InputRefused(
            f"{source.name} is damaged or cut off: torch's safe reader gave up ({type(error).__name__})",
            hints=[f"the file has {source.size:,} bytes; compare with the original and download it again"],
        ) from error
    return loaded


def _run_trusted(source: Source, trusted: str) -> object:
    """Run the file's pickle. The bytes that run are the very ones that were hashed."""
    source.file.seek(0)
    content = source.file.read()
    own = hashlib.sha256(content).hexdigest()
    if own != trusted:
        raise InputRefused(
            f"{source.name} is not the file that --trust-pickle names, so nothing of it was run",
            hints=[f"given: {trusted}", f"its own: {own}"],
        )
    try:
        with _quietly():
            loaded: object = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=False, mmap=False
            )
    except MemoryError as error:
        raise WorkFailed(f"not enough memory to open {source.name} ({source.size:,} bytes)") from error
    except (ImportError, AttributeError) as error:
        raise InputRefused(
            f"{source.name} needs code that is not here: {shown(error)}",
            hints=["install the package it comes from, or put its folder on PYTHONPATH"],
        ) from error
    except Exception as error:
        raise InputRefused(
            f"{source.name} was trusted and run, and failed: {type(error).__name__}: {shown(error)}"
        ) from error
    return loaded
