"""Which exceptions are the user's to mend, and how they are told in one sentence."""

from __future__ import annotations

import errno

from search_spaces.errors import InputError

_ADVICE = {
    errno.ENOSPC: "there is no space left on the disk; free some and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EACCES: "permission denied; choose a place you may write to, or change its permissions",
    errno.EPERM: "permission denied; choose a place you may write to, or change its permissions",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EMFILE: "too many open files; raise the limit with 'ulimit -n 4096'",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def sentence_for(error: BaseException) -> str | None:
    """One sentence for an exception the user can mend; None for an error of the program."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _ADVICE:
        where = f"{error.filename}: " if error.filename else ""
        return where + _ADVICE[error.errno]
    return None
