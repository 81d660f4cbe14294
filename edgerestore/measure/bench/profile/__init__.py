"""Where a bundle's time goes, as the runtime's own profiler tells it.

``openvino``, ``onnxruntime`` and ``tensorrt``, which asks its engine's ``inspector``, read what
their runtime says; ``operators`` holds it in terms that all share, ``groups`` adds it up and
``words`` says what it means.
"""

from edgerestore.measure.bench.profile.reading import Profile, profile_bundle

__all__ = ["Profile", "profile_bundle"]
