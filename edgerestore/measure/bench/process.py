"""A worker as the harness sees it: ask, wait, and never leave it running."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

import edgerestore
from edgerestore.errors import MissingPartError
from edgerestore.measure.bench.protocol import Refused, Reply, Request


class WorkerProcess:
    """A child that speaks the protocol on its standard input and output.

    It has a session of its own, so Ctrl-C reaches only the harness, which then ends it; and
    it reads its input's end when the harness dies, so it never outlives the harness.
    """

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._decoder: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
        # A file, not a pipe: nobody reads it until the end, and a full pipe would block.
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,
                env=child_environment(),
            )
        except OSError as error:
            self._complaints.close()
            raise MissingPartError(f"{command[0]}: cannot start: {error.strerror}") from error
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, request: Request) -> Reply:
        """Sends a request and waits for the reply."""
        self.send(request)
        return self.receive()

    def send(self, request: Request) -> None:
        """Sends a request; what goes wrong shows in ``receive``."""
        assert self._child.stdin
        # A pipe that is closed belongs to a worker that has ended: its last line is None.
        with contextlib.suppress(OSError, ValueError):
            self._child.stdin.write(msgspec.json.encode(request) + b"\n")
            self._child.stdin.flush()

    def receive(self) -> Reply:
        """Waits for the reply; death, silence and nonsense become a refusal."""
        try:
            line = None if self._complaints.closed else self._lines.get(timeout=self._timeout_s)
        except queue.Empty:
            return Refused(status="failed", reason=f"no answer for {self._timeout_s:.0f} s")
        if line is None:
            # Whoever asks again shall hear it at once.
            self._lines.put(None)
            return Refused(status="failed", reason=self._epitaph())
        try:
            return self._decoder.decode(line)
        except msgspec.MsgspecError:
            return Refused(status="failed", reason="the worker's answer is not of the protocol")

    def kill(self) -> None:
        """Ends the worker and waits for it; a second call does nothing."""
        if self._complaints.closed:
            return
        assert self._child.stdin
        assert self._child.stdout
        self._end()
        # Short, because a grandchild that left the session may hold the pipe for ever.
        self._reader.join(timeout=5)
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        self._child.stdout.close()
        self._complaints.close()

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _end(self) -> None:
        if self._child.poll() is None:
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, signal.SIGKILL)
            else:
                self._child.kill()
        self._child.wait()

    def _epitaph(self) -> str:
        if self._complaints.closed:
            return "the worker has ended"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=5)
        self._end()
        self._complaints.seek(0)
        return f"the worker {how_it_ended(self._child.returncode, self._complaints.read())}"


def how_it_ended(code: int, complaints: bytes) -> str:
    """Of a child: its exit code or signal, and the last line of its standard error."""
    lines = complaints.decode(errors="replace").strip().splitlines()
    how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
    return how + (f": {lines[-1].strip()[:200]}" if lines else "")


def child_environment() -> dict[str, str]:
    """Ours, with this package importable even where it runs from a checkout elsewhere."""
    root = Path(edgerestore.__file__).parents[1]
    if root.name in ("site-packages", "dist-packages"):
        # Installed: found anyway, and on PYTHONPATH its neighbours would hide the library's own.
        return dict(os.environ)
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*([known] if known else []), str(root)])}
