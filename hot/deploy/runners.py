"""The scripts of ten lines that run a bundle's model without hot, one a format."""

_ONNX = '''\
"""Print the label of an image: python run.py IMAGE.npy (uint8 CHW, HWC or HW)."""
import json, pathlib, sys
import numpy as np, onnxruntime

here = pathlib.Path(__file__).resolve().parent
about = json.loads((here / "manifest.json").read_text(encoding="utf-8"))
session = onnxruntime.InferenceSession(str(here / "model.onnx"), providers=["CPUExecutionProvider"])
n, c, h, w = about["input_shape"]
image = np.load(sys.argv[1])
image = image.transpose(2, 0, 1) if image.shape == (h, w, c) else image.reshape(c, h, w)
mean, std = (np.array(about[key], np.float32).reshape(c, 1, 1) for key in ("mean", "std"))
x = (image.astype(np.float32) / np.float32(about["pixel_range"][1]) - mean) / std
scores = session.run(None, {session.get_inputs()[0].name: x[None]})[0][0]
print(about["labels"][int(scores.argmax())])
'''

_TFLITE = '''\
"""Print the label of an image: python run.py IMAGE.npy (uint8 CHW, HWC or HW)."""
import json, pathlib, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

here = pathlib.Path(__file__).resolve().parent
about = json.loads((here / "manifest.json").read_text(encoding="utf-8"))
model = Interpreter(str(here / "model.tflite"))
model.allocate_tensors()
(into,), (out,) = model.get_input_details(), model.get_output_details()
n, c, h, w = about["input_shape"]
image = np.load(sys.argv[1])
image = image.transpose(2, 0, 1) if image.shape == (h, w, c) else image.reshape(c, h, w)
mean, std = (np.array(about[key], np.float32).reshape(c, 1, 1) for key in ("mean", "std"))
x = (image.astype(np.float32) / np.float32(about["pixel_range"][1]) - mean) / std
x, (scale, zero) = x.transpose(1, 2, 0)[None], into["quantization"]
if scale:
    ends = np.iinfo(into["dtype"])
    x = np.clip(np.rint(x / scale) + zero, ends.min, ends.max)
model.set_tensor(into["index"], x.astype(into["dtype"]))
model.invoke()
print(about["labels"][int(model.get_tensor(out["index"])[0].argmax())])
'''

RUNNERS: dict[str, str] = {"onnx": _ONNX, "tflite": _TFLITE}
