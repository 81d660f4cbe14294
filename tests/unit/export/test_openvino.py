"""What a device's compiler would refuse, found without the device."""

from __future__ import annotations

import numpy as np
import pytest

from edgerestore.errors import EdgeRestoreError
from edgerestore.export.openvino import refuse_operators
from edgerestore.recipe import Target, read_toml
from edgerestore.shipped import shipped_toml

pytestmark = pytest.mark.needs_backend("openvino")

NPU = read_toml(shipped_toml("targets", "intel-npu"), Target)


def model(height: int = 8):
    import openvino
    from openvino import opset15 as opset

    image = opset.parameter([1, 3, height, 8], np.float32)
    # What is computed of constants alone is none of the device's business.
    sides = opset.concat([opset.constant([24]), opset.range(8, 9, 1, "i64")], 0)
    flat = opset.reshape(opset.relu(image), sides, False) if height > 0 else opset.relu(image)
    return openvino.Model([opset.softmax(flat, 1)], [image])


def test_graph_of_known_operators_is_taken() -> None:
    refuse_operators(model(), NPU.operators, NPU.executes_on)


def test_operator_that_the_device_lacks_is_named_in_one_line() -> None:
    from openvino import Model
    from openvino import opset15 as opset

    image = opset.parameter([1, 12, 16], np.float32)
    folded = opset.col2im(image, opset.constant([5, 5]), opset.constant([2, 2]))
    with pytest.raises(EdgeRestoreError, match=r"Intel NPU has no Col2Im \(1\): .* another target"):
        refuse_operators(Model([folded], [image]), NPU.operators, NPU.executes_on)


def test_dynamic_shapes_are_refused() -> None:
    with pytest.raises(EdgeRestoreError, match="Intel NPU takes static shapes only"):
        refuse_operators(model(height=-1), NPU.operators, NPU.executes_on)
