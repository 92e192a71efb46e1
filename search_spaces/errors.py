"""The one exception for faults that the user can mend."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used.

    Its message is one sentence that names the file or option, says what was wrong and what would
    be right. The command line prints it and exits with code 2.
    """
