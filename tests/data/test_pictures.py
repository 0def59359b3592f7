from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prunecli.data.decoding import UnreadableImage, to_pixels
from prunecli.data.pictures import PictureFiles, decode, for_each
from prunecli.errors import InputRefused


def written(folder: Path, count: int) -> tuple[np.ndarray, PictureFiles]:
    blocks = np.random.RandomState(0).randint(0, 256, (count, 4, 5, 3)).astype(np.uint8)
    for index, block in enumerate(blocks):
        Image.fromarray(block).save(folder / f"{index}.png")
    return blocks, PictureFiles([str(folder / f"{index}.png") for index in range(count)])


def whole(image: Image.Image, place: int) -> np.ndarray:
    return to_pixels(image, shape=(3, 4, 5), exact=True, name=str(place))


def test_files_keep_their_order_and_their_pixels(tmp_path: Path) -> None:
    # More files than one task of the pool takes.
    blocks, files = written(tmp_path, 600)
    heard: list[tuple[str, int, int]] = []
    found = decode(
        files,
        range(600),
        whole,
        shape=(3, 4, 5),
        progress=lambda stage, done, total, figures=None: heard.append((stage, done, total)),
        stage="decode train",
    )
    assert torch.equal(found, torch.from_numpy(blocks).permute(0, 3, 1, 2))
    assert heard[-1] == ("decode train", 600, 600)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_rows_may_come_in_any_order_and_twice(tmp_path: Path) -> None:
    blocks, files = written(tmp_path, 5)
    found = decode(files, [4, 0, 4], whole, shape=(3, 4, 5))
    assert (found.permute(0, 2, 3, 1).numpy() == blocks[[4, 0, 4]]).all()
    assert decode(files, [], whole, shape=(3, 4, 5)).shape == (0, 3, 4, 5)


def test_the_first_that_cannot_be_read_is_raised_or_all_are_noted(tmp_path: Path) -> None:
    blocks, files = written(tmp_path, 40)
    for index in (7, 31):
        (tmp_path / f"{index}.png").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"7\.png"):
        decode(files, range(40), whole, shape=(3, 4, 5))
    bad: dict[int, str] = {}
    found = decode(files, range(40), whole, shape=(3, 4, 5), bad=bad)
    assert sorted(bad) == [7, 31]
    good = [index for index in range(40) if index not in bad]
    assert (found.permute(0, 2, 3, 1).numpy()[good] == blocks[good]).all()


def test_an_image_of_another_shape_is_no_unreadable_one(tmp_path: Path) -> None:
    _, files = written(tmp_path, 2)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(InputRefused, match="3x9x9 where the first image is 3x4x5"):
        decode(files, range(2), whole, shape=(3, 4, 5), bad={})


def test_one_thread_where_several_may_not_read() -> None:
    seen: set[int] = set()
    for_each(500, lambda place: seen.add(threading.get_ident()), concurrent=False, stage="s")
    assert seen == {threading.get_ident()}


def test_several_threads_where_they_may() -> None:
    done: list[int] = []
    seen: set[int] = set()

    def work(place: int) -> None:
        seen.add(threading.get_ident())
        done.append(place)

    for_each(500, work, concurrent=True, stage="s")
    assert sorted(done) == list(range(500))
    assert threading.get_ident() not in seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_decodes_too(tmp_path: Path) -> None:
    _, files = written(tmp_path, 8)
    decode(files, range(8), whole, shape=(3, 4, 5))
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that waits for threads it does not have ends
        try:
            os._exit(0 if decode(files, range(8), whole, shape=(3, 4, 5)).shape[0] == 8 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
