"""Where a bundle's time goes, as the runtime's own profiler tells it.

``openvino`` and ``onnxruntime`` read what their runtime says, ``operators`` holds it in terms
that both share, ``groups`` adds it up and ``words`` says what it means.
"""

from edgerestore.bench.profile.reading import Profile, profile_bundle

__all__ = ["Profile", "profile_bundle"]
