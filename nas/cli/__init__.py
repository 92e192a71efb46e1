"""Command line ``nas``: options, progress bars, tables and exit codes."""

from __future__ import annotations

import io
import os
import sys
from functools import partial


def main() -> None:
    """Run ``nas`` with the arguments of the process, and exit.

    Exit codes: 0 success; 1 an error of the program; 2 an error of the user, with one sentence on
    stderr; 130 interrupted by Ctrl+C, 143 by SIGTERM, 129 by SIGHUP. ``--debug``, anywhere on the
    command line, or ``NAS_DEBUG`` also shows the traceback.

    A search runs in a child process, which is restarted if it dies: `nas.cli.child_process`.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be valid text
        sys.stdout.reconfigure(errors="backslashreplace")
    debug = len(arguments) < len(sys.argv) - 1 or bool(os.environ.get("NAS_DEBUG"))
    run = partial(_run, arguments, debug)
    if arguments[:1] == ["search"] and not {"--dry-run", "--help", "-h"} & {*arguments}:
        from nas.cli.child_process import supervised

        supervised(run)
    else:
        run()


def _run(arguments: list[str], debug: bool) -> None:
    from nas.cli.app import app
    from nas.cli.errors import INTERRUPTED, sentence_for, signals_as_interrupts

    with signals_as_interrupts() as stop:
        try:
            app(args=arguments, prog_name="nas")
        except SystemExit as end:
            if end.code == INTERRUPTED:  # how Typer reports Ctrl+C
                print("nas: interrupted; the same command continues.", file=sys.stderr)
                sys.exit(stop.exit_code)
            raise
        except Exception as error:
            sentence = sentence_for(error)
            if debug or sentence is None:
                raise
            print(f"nas: {sentence}", file=sys.stderr)
            sys.exit(2)
