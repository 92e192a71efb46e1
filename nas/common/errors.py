"""The one exception for faults that the user can mend, and words for it."""

from __future__ import annotations

import errno


class InputError(ValueError):
    """Something the user gave cannot be used.

    Its message is one sentence that names the file or option, says what was wrong and what would
    be right. The command line prints it and exits with code 2.
    """


def reason(fault: OSError) -> str:
    """What the system says was wrong, in a few words for such a sentence."""
    return "no space is left" if fault.errno == errno.ENOSPC else fault.strerror or str(fault)
