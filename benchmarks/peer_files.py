"""Every candidate's file of one network: ours and what others make of the same weights.

What a tool refuses, and why, is kept beside the files, so that its row can say so.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import peers

from edgerestore.errors import InputError
from edgerestore.recipe.scalars import PrecisionName

if TYPE_CHECKING:
    from torch import nn

    from edgerestore.pipeline.job import Builder

CROPS = 24
"""Of a paper configuration: with more, the largest would take each tool hours."""
LONGEST_REASON = 240
REFUSED = ".refused"
"""Behind a file's name: why there is no such file."""


def write_missing(folder: Path, model: str, wanted: Collection[str]) -> None:
    """Writes what is missing of a network's files, those that were refused before left out."""
    missing = [
        name
        for name in MAKERS
        if name in wanted and not (folder / name).exists() and refusal(folder / name) is None
    ]
    if not missing:
        return
    network = Network(model, folder)
    for name in missing:
        print(f"{model}: writing {name}", flush=True)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            MAKERS[name](network, path)
        except Exception as error:  # noqa: BLE001 - what peers raise has no common base
            refuse(path, str(error) or type(error).__name__)
            print(f"{model}: {name}: {refusal(path)}", flush=True)


def refuse(path: Path, reason: str) -> None:
    """Notes in one line why there is no such file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = " ".join(reason.split())[:LONGEST_REASON]
    path.with_name(path.name + REFUSED).write_text(said + "\n", encoding="utf-8")


def refusal(path: Path) -> str | None:
    """Why a file could not be made; None where it was, or was not tried."""
    note = path.with_name(path.name + REFUSED)
    return note.read_text(encoding="utf-8").strip() if note.exists() else None


def file_bytes(path: Path) -> int:
    """Size of a graph with its weights, wherever its format keeps them."""
    beside = {path, path.with_suffix(".bin"), path.with_name(path.name + ".data")}
    return sum(part.stat().st_size for part in beside if part.exists())


class Network:
    """A network with its shipped weights, or a paper configuration with made-up ones.

    Every tool gets the same crops of its calibration set.
    """

    def __init__(self, model: str, folder: Path) -> None:
        import torch

        from edgerestore.calibration import crops, read_set
        from edgerestore.networks import build_network, find_model
        from edgerestore.networks.weights import load_network

        torch.manual_seed(0)
        self.folder, self.spec = folder, find_model(model)
        trained = self.spec.weights is not None
        network = load_network(self.spec) if trained else build_network(self.spec)
        self.network = network.requires_grad_(False)
        self.pictures = read_set(self.spec.pictures)
        every = crops(self.pictures.images, self.spec.tile)
        few = np.linspace(0, len(every) - 1, CROPS).astype(int)
        self.crops = every if trained else every[few]
        folder.mkdir(parents=True, exist_ok=True)
        with torch.inference_mode():
            expected = self.network(torch.tensor(self.crops[:1])).numpy()
        peers.write_expected(folder, self.crops[:1], expected)

    def write_weights(self, path: Path) -> None:
        """For PyTorch, eager and compiled, and for our build."""
        from edgerestore.networks.weights import save_weights

        save_weights(path, self.spec, self.network.state_dict(), {})

    def write_plain(self, path: Path) -> None:
        """The network as it is published, without our rewrites."""
        from edgerestore.export.onnx import plain_onnx_from_module, save_onnx

        save_onnx(plain_onnx_from_module(self.network, self.spec.tile), path)

    def write_ours(self, path: Path, target: str, precision: PrecisionName) -> None:
        """As 'edgerestore build' does, kept whatever it loses."""
        from edgerestore.pipeline.request import find_target

        chosen = find_target(target)
        bundle = self._builder.on(chosen).build(chosen, precision)
        bundle.path.rename(path.parent)

    @functools.cached_property
    def _builder(self) -> Builder:
        from edgerestore.calibration import CalibrationImages
        from edgerestore.pipeline.job import builder_of
        from edgerestore.pipeline.request import job_from

        job = job_from(
            self.spec.name,
            targets=list({target for target, _ in OURS.values()}),
            precisions=["int8"],
            weights=self.folder / peers.WEIGHTS,
            out=self.folder,
        )
        job = dataclasses.replace(job, refuses=False)
        if self.spec.weights is None:
            # Made-up weights restore nothing that could be scored.
            images = [
                np.rint(255 * crop.transpose(1, 2, 0)).astype(np.uint8) for crop in self.crops
            ]
            crops = CalibrationImages(self.pictures.name, self.pictures.sha256, images)
            job = dataclasses.replace(job, evaluation=[], evaluation_name="", calibration=crops)
        return builder_of(job)

    def write_stock(self, path: Path, *, transformer: bool) -> None:
        """nncf.quantize on the plain export."""
        import nncf
        import openvino

        nncf.set_log_level(logging.ERROR)
        model = openvino.Core().read_model(path.parent / "plain.onnx")
        data = nncf.Dataset([crop[None] for crop in self.crops])
        kind = nncf.ModelType.TRANSFORMER if transformer else None
        openvino.save_model(nncf.quantize(model, data, model_type=kind), path)

    def write_static(self, path: Path) -> None:
        """ONNX Runtime's quantize_static on the plain export."""
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self, crops: Any) -> None:
                self._left = iter(crops)

            def get_next(self) -> dict[str, Any] | None:
                crop = next(self._left, None)
                return None if crop is None else {"input": crop[None]}

        quantize_static(
            path.parent / "plain.onnx",
            path,
            Reader(self.crops),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )

    def write_compressor(self, path: Path) -> None:
        """Intel Neural Compressor's static INT8 for PyTorch, to be compiled by inductor."""
        os.environ["LOGLEVEL"] = "ERROR"
        import torch
        from neural_compressor.torch.export import export
        from neural_compressor.torch.quantization import (
            convert,
            get_default_static_config,
            prepare,
        )

        example = (torch.tensor(self.crops[:1]),)
        with torch.no_grad():
            observed = prepare(
                export(self.network, example), quant_config=get_default_static_config()
            )
            for crop in self.crops:
                observed(torch.tensor(crop[None]))
            quantized = torch.export.export(convert(observed), example)
        torch.export.save(quantized, path)

    def write_ncnn(self, path: Path, *, deployable: bool) -> None:
        """The form of ncnn, by pnnx. Raises InputError for operators that ncnn has no layer of."""
        import pnnx
        import torch

        from edgerestore.compress.rewrites import deployable as deployable_form

        network: nn.Module = deployable_form(self.network)[0] if deployable else self.network
        example = torch.tensor(self.crops[:1])
        traced = path.with_name("traced.pt")
        with torch.no_grad():
            graph = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(graph, traced)
        shape = ",".join(map(str, example.shape))
        command = [pnnx.EXEC_PATH, traced.name, f"inputshape=[{shape}]", "fp16=0"]
        subprocess.run(command, cwd=path.parent, capture_output=True, check=True)
        made = [path.with_name(f"traced.ncnn.{kind}") for kind in ("param", "bin")]
        lacking = Counter(
            line.split()[0]
            for line in made[0].read_text(encoding="utf-8").splitlines()[2:]
            # ncnn's layers have plain names; what pnnx could not turn into one keeps torch's.
            if "." in line.split()[0] or "::" in line.split()[0]
        )
        if lacking:
            shutil.rmtree(path.parent)
            path.parent.mkdir()
            listed = ", ".join(f"{name} ({times})" for name, times in sorted(lacking.items()))
            raise InputError(f"pnnx leaves operators that ncnn has no layer of: {listed}")
        for file, suffix in zip(made, (".param", ".bin"), strict=True):
            file.rename(path.with_suffix(suffix))
        for other in path.parent.glob("traced*"):
            other.unlink()


OURS: dict[str, tuple[str, PrecisionName]] = {
    "ours/model.xml": ("x86-openvino", "int8"),
    "ours-ort/model.onnx": ("x86-onnxruntime", "int8"),
    "ours-bf16/model.xml": ("x86-openvino", "bf16"),
    "ours-fp32/model.xml": ("x86-openvino", "fp32"),
}
"""Target and precision of each of our files; its bundle lies around it."""

MAKERS: dict[str, Callable[[Network, Path], None]] = {
    peers.WEIGHTS: Network.write_weights,
    "plain.onnx": Network.write_plain,
    "stock.xml": lambda network, path: network.write_stock(path, transformer=False),
    "stock-transformer.xml": lambda network, path: network.write_stock(path, transformer=True),
    "static.onnx": Network.write_static,
    "compressor.pt2": Network.write_compressor,
    "ncnn/plain.param": lambda network, path: network.write_ncnn(path, deployable=False),
    "ncnn-ours/deployable.param": lambda network, path: network.write_ncnn(path, deployable=True),
    **{
        file: functools.partial(Network.write_ours, target=target, precision=precision)
        for file, (target, precision) in OURS.items()
    },
}
"""In the order in which they are made."""
