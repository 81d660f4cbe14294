"""ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.backends.base import Backend, Conditions, options_of, runtime_errors

if TYPE_CHECKING:
    from pathlib import Path

    from edgerestore.bundle import Bundle

NAME = "onnxruntime"
OPTIONS = frozenset({"session.intra_op.allow_spinning", "session.set_denormal_as_zero"})


class OrtSession:
    """An ONNX file opened by ONNX Runtime."""

    def __init__(self, bundle: Bundle, conditions: Conditions) -> None:
        self.streams = conditions.streams
        # Callers compute in their own threads, beside which a session's would only wait.
        threads = 1 if self.streams > 1 else conditions.threads
        self._session = inference_session(bundle, threads)
        _meet_numpy()
        self._input = bundle.manifest.contract.input_name
        self._outputs = [bundle.manifest.contract.output_name]

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`edgerestore.backends.base.Session`."""
        with runtime_errors(NAME, "running", Exception):
            (result,) = self._session.run(self._outputs, {self._input: images})
        return np.asarray(result, np.float32)

    def close(self) -> None:
        """Frees the session."""
        del self._session


def _meet_numpy() -> None:
    """Before callers meet there; see what OpenVINO's session does of the same name."""
    import onnxruntime

    onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32))


def inference_session(bundle: Bundle, threads: int, profile: Path | None = None) -> Any:
    """The runtime's own session as ours run it.

    With ``profile`` it times its operators; what it writes when profiling ends begins with
    that path.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        # It logs an error of its own where a profile ends without a model.
        options.log_severity_level = 4
        options.profile_file_prefix = str(profile)
    for key, value in options_of(bundle).items():
        options.add_session_config_entry(key, value)
    with runtime_errors(NAME, f"opening {bundle.model_file}", Exception):
        return onnxruntime.InferenceSession(
            bundle.model_file, options, providers=["CPUExecutionProvider"]
        )


BACKEND = Backend(
    name=NAME,
    package="onnxruntime",
    distribution="onnxruntime",
    extra="ort",
    open=OrtSession,
    options=OPTIONS,
)
