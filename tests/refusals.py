"""What a refusal of the command line looks like: one sentence, exit code 2, no result."""

from __future__ import annotations


def refused(result, *got):
    code, out, err = result
    assert code == 2 and out == "" and "Traceback" not in err, err
    assert len(err.strip().splitlines()) == 1, err
    assert all(words in err for words in got), err
