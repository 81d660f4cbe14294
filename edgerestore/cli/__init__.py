"""The command line: one file per verb, each a few lines over the library.

Nothing but typer is imported before a verb runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from edgerestore.cli import (
    bench,
    build,
    bundles,
    catalogue,
    data,
    decide,
    demo,
    evaluate,
    gate,
    profile,
    prune,
    report,
    restore,
    sensitivity,
    train,
)
from edgerestore.errors import AccuracyError, EdgeRestoreError

EXIT_INTERRUPTED = 130
EXIT_BAD_INPUT = 3
INTERRUPTED = "interrupted; nothing half-written was left"

HOST_PACKAGES = ("nncf", "onnx", "onnxruntime", "onnxscript", "openvino", "safetensors", "torch")
"""What the host ring imports; a device that only executes bundles may lack them all."""

app = typer.Typer(
    name="edgerestore",
    help="From a PyTorch image-restoration transformer to a verified artifact on the device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

VERBS = (
    demo,
    catalogue,
    data,
    train,
    prune,
    build,
    bundles,
    restore,
    evaluate,
    bench,
    profile,
    sensitivity,
    decide,
    gate,
    report,
)
for verb in VERBS:
    verb.register(app)


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; any position.")
    ] = False,
) -> None:
    """Reads the options that come before a verb."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code; errors become one line on stderr."""
    # A polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments or bool(os.environ.get("EDGERESTORE_DEBUG"))
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(arguments, standalone_mode=False)
        if code == EXIT_INTERRUPTED:
            # What typer makes of KeyboardInterrupt, without a word to anybody.
            raise KeyboardInterrupt
    except (KeyboardInterrupt, typer.Abort):
        return _fail(INTERRUPTED, EXIT_INTERRUPTED)
    except typer.TyperException as error:
        return _fail(error.format_message(), EXIT_BAD_INPUT)
    except EdgeRestoreError as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, AccuracyError) and error.details:
            print(error.details, file=sys.stderr)
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output, `head` for one, has left: nobody is there to be told.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return EXIT_INTERRUPTED
    except OSError as error:
        if debug:
            traceback.print_exc()
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", EXIT_BAD_INPUT)
    except (ImportError, SystemError) as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            # Ctrl-C while a C extension was being loaded.
            return _fail(INTERRUPTED, EXIT_INTERRUPTED)
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        if debug or name not in HOST_PACKAGES:
            raise
        return _fail(f"this needs {name}: pip install 'edgerestore[host]'", EXIT_BAD_INPUT)
    except MemoryError:
        return _fail("out of memory; use a smaller tile or image", EXIT_BAD_INPUT)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"edgerestore: {' '.join(message.split())}", file=sys.stderr)
    return code


def run() -> None:
    """The console script."""
    sys.exit(main())
