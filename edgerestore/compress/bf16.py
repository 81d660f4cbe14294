"""OpenVINO models that run in BF16 but for some modules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from edgerestore.compress.quantization.products import matches, module_of

PRODUCTS = ("Convolution", "GroupConvolution", "MatMul")
FUSED = ("Add", "Gelu", "Multiply", "PRelu", "Relu", "Sigmoid", "Subtract")
"""Element-wise operators that run within the product before them, in its type: one in BF16
behind a product in FP32 is refused by OpenVINO 2026.4 with 'object is not initialized'."""
MARK = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16"}
"""What OpenVINO writes into an IR itself for operators that it must not compute in less than
their own type; its CPU plugin keeps these out of BF16 as well. Its Python API cannot set it."""


def keep_in_fp32(file: Path, patterns: Sequence[str]) -> list[str]:
    """Marks what OpenVINO leaves in FP32 of an IR that runs in BF16, in place.

    ``patterns`` are over names of modules; what runs within their products is kept with them.
    The first and the last convolution matter most: an image's grey levels are no numbers of
    BF16. The plugin forgets the mark where it makes a fully connected layer of a product.
    Returns the modules that were found, sorted.
    """
    tree = ET.parse(file)
    layers = {layer.get("id", ""): layer for layer in tree.iterfind("layers/layer")}
    readers = defaultdict(list)
    for edge in tree.iterfind("edges/edge"):
        readers[edge.get("from-layer")].append(edge.get("to-layer", ""))
    owners = {number: layer.get("name", "").partition("/")[0] for number, layer in layers.items()}
    products = [
        number
        for number, layer in layers.items()
        if layer.get("type") in PRODUCTS and matches(owners[number], patterns)
    ]
    kept: set[str] = set()
    waiting = list(products)
    while waiting:
        number = waiting.pop()
        if number not in kept:
            kept.add(number)
            waiting += [n for n in readers[number] if layers[n].get("type") in FUSED]
    for number in kept:
        _mark(layers[number])
    tree.write(file, encoding="utf-8", xml_declaration=True)
    return sorted({module_of(owners[number]) for number in products})


def _mark(layer: ET.Element) -> None:
    notes = layer.find("rt_info")
    if notes is None:
        notes = ET.Element("rt_info")
        layer.insert(0 if layer.find("data") is None else 1, notes)
    ET.SubElement(notes, "attribute", MARK)
