"""Spaces of many timm and torchvision models: slots, choices, random networks that run as ONNX.

Of every model three random architectures are built, run, exported, compared with torch in ONNX
Runtime, and measured on a device. Weights are random. Models that are done are not repeated.

Example: python scripts/bench_backbones.py --out scripts/results/backbones.json
"""

import argparse
import json
import math
import tempfile
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from hot.devices import Device, make_device
from hot.errors import HotError
from hot.export import export_onnx
from hot.files import write_json
from hot.lut.methods import SETTINGS
from hot.nn import build, example, seeded, space_from_model
from hot.records import provenance
from hot.space import Architecture, Space

N_NETWORKS = 3
# Family by model; the number after a name is a resolution other than the default.
MODELS = {
    "torchvision/alexnet": "AlexNet",
    "torchvision/vgg11": "VGG",
    "torchvision/vgg11_bn": "VGG",
    "torchvision/resnet18": "ResNet",
    "torchvision/resnet50": "ResNet",
    "torchvision/resnext50_32x4d": "ResNeXt",
    "torchvision/wide_resnet50_2": "Wide ResNet",
    "torchvision/mobilenet_v2": "MobileNet",
    "torchvision/mobilenet_v3_small": "MobileNet",
    "torchvision/mobilenet_v3_large": "MobileNet",
    "torchvision/mnasnet0_5": "MNASNet",
    "torchvision/efficientnet_b0": "EfficientNet",
    "torchvision/efficientnet_v2_s": "EfficientNetV2",
    "torchvision/regnet_y_400mf": "RegNet",
    "torchvision/regnet_x_400mf": "RegNet",
    "torchvision/convnext_tiny": "ConvNeXt",
    "torchvision/shufflenet_v2_x1_0": "ShuffleNet",
    "torchvision/squeezenet1_1": "SqueezeNet",
    "torchvision/googlenet": "Inception",
    "torchvision/inception_v3@128": "Inception",
    "torchvision/densenet121": "DenseNet",
    "torchvision/swin_t": "Swin",
    "torchvision/maxvit_t@224": "MaxViT",
    "timm/mobilenetv1_100": "MobileNet",
    "timm/mobilenetv3_small_050": "MobileNet",
    "timm/mobilenetv4_conv_small": "MobileNetV4",
    "timm/mobilenetv4_hybrid_medium": "MobileNetV4",
    "timm/efficientnet_lite0": "EfficientNet",
    "timm/tf_efficientnet_b0": "EfficientNet",
    "timm/tinynet_a": "TinyNet",
    "timm/mixnet_s": "MixNet",
    "timm/fbnetc_100": "FBNet",
    "timm/hardcorenas_a": "HardCoReNAS",
    "timm/lcnet_050": "LCNet",
    "timm/ghostnet_100": "GhostNet",
    "timm/resnet10t": "ResNet",
    "timm/resnet26d": "ResNet",
    "timm/seresnet18": "SE-ResNet",
    "timm/ecaresnet26t": "ECA-ResNet",
    "timm/skresnet18": "SKNet",
    "timm/res2net50_14w_8s": "Res2Net",
    "timm/resnest14d": "ResNeSt",
    "timm/resnetv2_50": "ResNetV2",
    "timm/regnetx_002": "RegNet",
    "timm/regnety_002": "RegNet",
    "timm/repvgg_a0": "RepVGG",
    "timm/mobileone_s0": "MobileOne",
    "timm/convnext_atto": "ConvNeXt",
    "timm/convnextv2_atto": "ConvNeXt",
    "timm/darknet53": "DarkNet",
    "timm/cspresnet50": "CSPNet",
    "timm/cspdarknet53": "CSPNet",
    "timm/dla34": "DLA",
    "timm/hrnet_w18_small": "HRNet",
    "timm/vovnet39a": "VoVNet",
    "timm/hgnetv2_b0": "HGNet",
    "timm/xception41": "Xception",
    "timm/rexnet_100": "ReXNet",
    "timm/nf_resnet26": "NFNet",
    "timm/selecsls42b": "SelecSLS",
    "timm/starnet_s1": "StarNet",
    "timm/repvit_m0_9": "RepViT",
    "timm/fastvit_t8": "FastViT",
    "timm/efficientvit_b0": "EfficientViT",
    "timm/edgenext_xx_small": "EdgeNeXt",
    "timm/inception_next_atto": "InceptionNeXt",
    "timm/mobilevit_xxs": "MobileViT",
    "timm/efficientformerv2_s0@224": "EfficientFormer",
    "timm/poolformer_s12": "PoolFormer",
    "timm/coatnet_nano_rw_224@224": "CoAtNet",
    "timm/levit_128s@224": "LeViT",
    "timm/vit_tiny_patch16_224@224": "ViT",
}  # fmt: skip


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    device = make_device(options.device)
    kept = json.loads(options.out.read_text())["results"] if options.out.is_file() else []
    done = {row["model"]: row for row in kept}
    for entry in options.models or MODELS:
        name, _, side = entry.partition("@")
        if name in done:
            continue
        row = _row(entry, name, int(side or options.resolution), device, options.seed)
        done[name] = row
        print(
            f"{name}: {row.get('n_slots', 0)} slots, {row.get('reason') or row['seconds']}",
            flush=True,
        )
        _write(options, device, list(done.values()))
    _write(options, device, list(done.values()))


def _row(entry: str, name: str, side: int, device: Device, seed: int) -> dict[str, object]:
    start = time.perf_counter()
    row: dict[str, object] = {"model": name, "family": MODELS.get(entry, ""), "resolution": side}
    try:
        space = space_from_model(name, side, weights="none")
        row |= _describe(space)
        rng = np.random.default_rng(seed)
        row["networks"] = [_network(space, space.sample(rng), device) for _ in range(N_NETWORKS)]
        row["original"] = _network(space, space.original, device)
    except HotError as error:
        row["reason"] = str(error)
    row["seconds"] = round(time.perf_counter() - start, 1)
    return row


def _describe(space: Space) -> dict[str, object]:
    n_choices = [len(slot.choices) for slot in space.slots]
    least, most = space.macs_range()
    counts = space.counts(space.original)
    blocks = Counter(
        layer.original.name for slot in space.slots for layer in slot.layers if layer.original
    )
    refused = Counter(reason for _, reason in space.backbone.refused) if space.backbone else {}
    return {
        "n_slots": len(space.slots),
        "n_choices": [min(n_choices), int(np.median(n_choices)), max(n_choices)],
        "log10_size": round(math.log10(space.size), 1),
        "blocks": dict(blocks),
        "refused": dict(refused),
        "activation": space.rules.activation,
        "macs": counts.macs,
        "params": counts.params,
        "fixed_macs_share": round(space.fixed_counts.macs / counts.macs, 4),
        "macs_range": [least, most],
    }


def _network(space: Space, architecture: Architecture, device: Device) -> dict[str, object]:
    with seeded(0):
        module = build(space, architecture).eval()
        image = example(space.stem_input)
        scores = module(image).numpy()
    with tempfile.TemporaryDirectory() as folder:
        artifact = export_onnx(module, space.stem_input, Path(folder) / "network.onnx")
        session = onnxruntime.InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
        (got,) = session.run(None, {"input": image.numpy()})
        measured = device.measure(artifact, replace(SETTINGS, max_remeasure=1))
    counts = space.counts(architecture)
    n_params = sum(p.numel() for p in module.parameters())
    error = float(np.abs(got - scores).max() / max(float(np.abs(scores).max()), 1e-12))
    return {
        "architecture": architecture.short,
        "macs": counts.macs,
        "params": counts.params,
        "is_count_exact": n_params == counts.params,
        "onnx_error": error,
        "latency_ms": measured.latency_ms,
        "failure": measured.failure,
    }


def _write(options: argparse.Namespace, device: Device, rows: list[dict[str, object]]) -> None:
    able = [row for row in rows if "networks" in row]
    document = {
        "command": "python scripts/bench_backbones.py --out scripts/results/backbones.json",
        "options": {"resolution": options.resolution, "seed": options.seed},
        "device": asdict(device.describe()),
        "provenance": asdict(provenance()),
        "n_models": len(rows),
        "n_done": len(able),
        "n_families_done": len({row["family"] for row in able}),
        "results": rows,
    }
    write_json(options.out, document)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="NAME or NAME@RESOLUTION; all by default")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("scripts/results/backbones.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
