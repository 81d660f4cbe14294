"""What a runtime reaches at best on this machine: multiplying, and moving memory.

``openvino`` and ``onnxruntime`` make a product of two large matrices and a scaling of a large
array, ``onnx_bytes`` writes ONNX without its package, and ``serving`` is the measured process.
"""
