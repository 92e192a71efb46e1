"""The one exception for faults that the user can fix, and short texts of other exceptions."""

from __future__ import annotations

import errno


class InputError(ValueError):
    """Something the user gave cannot be used.

    Its message is one sentence that names the file or option, says what was wrong and what would
    be right. The command line prints it and exits with code 2.
    """


def reason(fault: OSError) -> str:
    """Return what the system says was wrong, in a few words for such a sentence."""
    return "no space is left" if fault.errno == errno.ENOSPC else fault.strerror or str(fault)


def first_line(fault: BaseException, most: int = 300) -> str:
    """Return the first line of a message, or the exception's type where it has none."""
    return (str(fault).strip() or type(fault).__name__).splitlines()[0][:most]


def one_line(fault: BaseException, most: int = 300) -> str:
    """Return a message with its lines joined, at most so many characters."""
    return " ".join(str(fault).split())[:most]
