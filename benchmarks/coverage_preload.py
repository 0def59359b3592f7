"""What the processes of `coverage.py` have imported before they start, and no more."""

import logging
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from prunecli.torchvision_import import load_torchvision

    load_torchvision()
    import timm
    import torch_pruning

__all__ = ["timm", "torch_pruning"]
logging.disable(logging.CRITICAL)
