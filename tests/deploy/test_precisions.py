import pytest

from hot.deploy import check_precision, usual_precisions
from hot.errors import DeviceError
from hot.records import MEASURES, DeviceInfo


def make_info(precisions, format="onnx"):
    return DeviceInfo("board", MEASURES, precisions, {}, (format,))


@pytest.mark.parametrize(
    ("precisions", "usual"),
    [
        (("fp32", "fp16", "int16", "int8"), ("fp32", "int8")),
        (("fp32",), ("fp32",)),
        (("int8", "int16"), ("int8",)),
        (("fp16",), ("fp16",)),
    ],
)
def test_fp32_and_int8_are_usual_as_far_as_the_device_has_them(precisions, usual):
    assert usual_precisions(make_info(precisions)) == usual


def test_a_precision_that_the_format_cannot_hold_is_refused():
    info = make_info(("fp32", "fp16"), "tflite")
    check_precision(info, "fp32")
    with pytest.raises(DeviceError, match="does not run 'fp16'; it runs fp32: choose"):
        check_precision(info, "fp16")
