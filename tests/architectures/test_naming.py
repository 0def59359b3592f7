"""Names: listed without torch, resolved with and without their source, suggested when wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from prunecli.architectures import known_names, resolve
from prunecli.errors import InputRefused


def test_names_are_listed_without_torch():
    code = (
        "import sys; from prunecli.architectures import known_names, resolve; names = known_names();"
        "resolve('torchvision/resnet50'); resolve('timm/resnet50');"
        "heavy = {'torch', 'torchvision', 'timm', 'transformers'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy or len(names) < 1000 else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_every_name_has_one_line_with_a_source():
    for name, line in known_names().items():
        assert "/" in name
        assert line
        assert "\n" not in line
    assert known_names()["torchvision/resnet50"].endswith("(He et al. 2016, arXiv:1512.03385)")


def test_default_shapes_follow_the_family():
    shapes = {
        "torchvision/resnet50": (3, 224, 224),
        "torchvision/inception_v3": (3, 299, 299),
        "torchvision/quantized_inception_v3": (3, 299, 299),
        "torchvision/r3d_18": (3, 16, 112, 112),
        "torchvision/efficientnet_v2_s": (3, 384, 384),
        "timm/resnet50": (3, 224, 224),
        "transformers/bert": (128,),
    }
    assert {name: resolve(name).input_shape for name in shapes} == shapes
    assert resolve("timm/vit_tiny_patch16_224", arguments={"img_size": 96}).input_shape == (3, 96, 96)
    assert resolve("timm/resnet18", arguments={"in_chans": 1}).input_shape == (1, 224, 224)


def test_input_shape_of_the_user_is_kept():
    assert resolve("torchvision/resnet18", input_shape=(3, 64, 64)).input_shape == (3, 64, 64)
    assert resolve("timm/resnet18", input_shape=(1, 64, 64)).arguments == {"in_chans": 1}


def test_a_name_without_its_source_serves_where_it_means_one_network():
    assert resolve("resnet56").name == "cifar/resnet56"
    assert resolve("resnet50").name == "torchvision/resnet50"
    with pytest.raises(InputRefused, match="'vgg16_bn' means several networks") as refused:
        resolve("vgg16_bn")
    assert refused.value.hints[0].startswith(
        "say which: --arch cifar/vgg16_bn or --arch torchvision/vgg16_bn"
    )


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("cifar/resnet21", "cifar/resnet20"),
        ("vgg16bn", "cifar/vgg16_bn"),
        ("torchvision/resnet500", "resnet50"),
    ],
)
def test_unknown_names_suggest_the_nearest(wrong, near):
    with pytest.raises(InputRefused, match=f"unknown architecture '{wrong}'") as refused:
        resolve(wrong)
    assert near in refused.value.hints[0]
    assert refused.value.exit_code == 3


def test_a_users_file_is_never_run_by_name():
    with pytest.raises(InputRefused) as refused:
        resolve("file/net.py:make")
    assert refused.value.hints == ("give it with: --model PATH/net.py:make",)
