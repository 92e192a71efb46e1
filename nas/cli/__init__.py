"""The command line ``nas``: parsing, progress bars, tables and exit codes; no work of its own."""

from __future__ import annotations

import io
import os
import sys
from functools import partial


def main() -> None:
    """Run ``nas`` on the process's arguments and exit.

    Exit codes: 0 done; 1 an error of the program; 2 something the user gave cannot be used, told
    in one sentence on stderr; 130 interrupted by Ctrl+C, 143 by SIGTERM, 129 by SIGHUP, which end
    the work alike. ``--debug``, anywhere on the line, or ``NAS_DEBUG`` shows the traceback as well.

    A search runs in a child process, which is started again when it dies:
    `nas.cli.child_process`.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be text
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
    from nas.cli.errors import INTERRUPTED, heard_as_interrupts, sentence_for

    with heard_as_interrupts() as stop:
        try:
            app(args=arguments, prog_name="nas")
        except SystemExit as end:
            if end.code == INTERRUPTED:  # the form in which Typer hands Ctrl+C over
                print("nas: interrupted; the same command continues.", file=sys.stderr)
                sys.exit(stop.exit_code)
            raise
        except Exception as error:
            sentence = sentence_for(error)
            if debug or sentence is None:
                raise
            print(f"nas: {sentence}", file=sys.stderr)
            sys.exit(2)
