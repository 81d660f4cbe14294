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
AGAIN_S = 0.01
"""After which an interrupt that Python dropped comes again: by then the destructor is left."""

HOST_PACKAGES = ("nncf", "onnx", "onnxruntime", "onnxscript", "openvino", "safetensors", "torch")
"""What the host ring imports; a device that only executes bundles may lack them all."""

app = typer.Typer(
    name="edgerestore",
    help="From a PyTorch image-restoration network to a verified artifact on the device.",
    context_settings={"help_option_names": ["-h", "--help"]},
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


def _show_version(asked: bool) -> None:
    if asked:
        from edgerestore import __version__

        typer.echo(f"edgerestore {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; any position.")
    ] = False,
) -> None:
    """Reads the options that come before a verb."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code; errors become one line on stderr."""
    interrupts: list[int] = []

    def interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    # A polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, interrupt)
    # A shell's background job is deaf to Ctrl-C, and stays so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, interrupt)
        sys.unraisablehook = _interrupt_again
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments or bool(os.environ.get("EDGERESTORE_DEBUG"))
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(arguments, standalone_mode=False)
        if code == EXIT_INTERRUPTED:
            # What typer makes of KeyboardInterrupt, without a word to anybody.
            raise KeyboardInterrupt
    except (KeyboardInterrupt, typer.Abort):
        # Python remembers an interrupt that left executed text, as dataclasses are made of, and
        # would end by the signal itself; it forgets with the next text.
        exec("")
        return _fail(INTERRUPTED, EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output, `head` for one, has left: nobody is there to be told.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return EXIT_INTERRUPTED
    except Exception as error:
        # Interrupted while it was being imported, a library fails with an error of its own,
        # at once or later.
        answer = (INTERRUPTED, EXIT_INTERRUPTED) if interrupts else _answer(error)
        if answer is None:
            raise
        if debug:
            traceback.print_exc()
        if isinstance(error, AccuracyError) and error.details:
            print(error.details, file=sys.stderr)
        return _fail(*answer)
    return code if isinstance(code, int) else 0


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in a destructor, and with it a Ctrl-C that comes just then."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        sys.__unraisablehook__(lost)


def _answer(error: Exception) -> tuple[str, int] | None:
    """Line and exit code for an error; none for a fault of the program's own."""
    if isinstance(error, typer.TyperException):
        return error.format_message(), EXIT_BAD_INPUT
    if isinstance(error, EdgeRestoreError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}", EXIT_BAD_INPUT
    if isinstance(error, ModuleNotFoundError) and error.name in HOST_PACKAGES:
        return f"this needs {error.name}: pip install 'edgerestore[host]'", EXIT_BAD_INPUT
    if isinstance(error, MemoryError):
        return "out of memory; use a smaller tile or image", EXIT_BAD_INPUT
    return None


def _fail(message: str, code: int) -> int:
    print(f"edgerestore: {' '.join(message.split())}", file=sys.stderr)
    return code


def run() -> None:
    """The console script."""
    sys.exit(main())
