"""Labelled images for training and evaluation: opened by name, decoded once or left on disk, split by seed.

The public face is `open_data`, the three records it hands out (`Split`, `TrainingData`, `DataSet`),
`ImageFiles` and `normalise`. Nothing here imports torch until images are wanted.
"""

from __future__ import annotations

from prunecli.data.contract import DATA_SOURCES, DataParts, DataRequest, DataSource, data_source
from prunecli.data.files import ImageFiles
from prunecli.data.opening import open_data
from prunecli.data.pixels import normalise
from prunecli.data.shapes import ImageShape
from prunecli.data.splits import DataSet, Split, TrainingData

__all__ = [
    "DATA_SOURCES",
    "DataParts",
    "DataRequest",
    "DataSet",
    "DataSource",
    "ImageFiles",
    "ImageShape",
    "Split",
    "TrainingData",
    "data_source",
    "normalise",
    "open_data",
]
