"""The process that runs a search dies, or is asked to end: what the command makes of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import children, gone

ROOT = Path(__file__).parents[1]
DEATH = "nas: the process that runs the search died (SIGABRT); continuing: attempt {} of 5."

BEGIN = """
import os, signal, sys, threading, time
from pathlib import Path
from nas.cli.child_process import progressed, supervised

signal.signal(signal.SIGINT, signal.default_int_handler)
starts = Path("starts")

def count():
    with starts.open("a") as lines:
        lines.write("x")
    return starts.stat().st_size

"""


def start(program: str, folder: Path, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"start_new_session": True, **options},
    )


def ran(program: str, folder: Path) -> tuple[int, str, list[str]]:
    command = start(program, folder)
    out, err = command.communicate(timeout=60)
    return command.returncode, out, err.splitlines()


def test_a_work_that_dies_without_progress_is_given_up_and_names_what_was_written(tmp_path):
    code, out, said = ran(
        "def work():\n"
        "    count()\n"
        "    os.write(2, b'*** Check failed: native ***')\n"
        "    os.abort()\n"
        "supervised(work)",
        tmp_path,
    )
    assert (code, out) == (1, "")
    assert (tmp_path / "starts").stat().st_size == 5
    assert said[:-1] == [DEATH.format(attempt) for attempt in (2, 3, 4, 5)]
    end = re.fullmatch(
        r"nas: the process that runs the search died 5 times without a new trial \(SIGABRT\); "
        r"the output of native code is in (.*); nothing is lost, the same command continues\.",
        said[-1],
    )
    written = Path(end[1]).read_text()
    assert written.count("*** Check failed: native ***") == 5 and "Fatal Python error" in written


def test_an_end_by_native_code_is_a_death_and_progress_starts_the_count_again(tmp_path):
    code, out, said = ran(
        "def work():\n"
        "    if count() == 12:\n"
        "        print('done')\n"
        "        sys.exit()\n"
        "    if starts.stat().st_size % 4 == 0:\n"
        "        progressed()\n"
        "    os._exit(1)\n"
        "supervised(work)",
        tmp_path,
    )
    assert (code, out) == (0, "done\n")
    assert [line[-len("attempt N of 5.") :] for line in said] == [
        f"attempt {attempt} of 5." for attempt in (2, 3, 4, 2, 3, 4, 5, 2, 3, 4, 5)
    ]
    assert {line.partition("; ")[0] for line in said} == {
        "nas: the process that runs the search died (exit code 1)"
    }
    assert not list(tmp_path.glob("*.log"))


def test_a_work_that_died_began_when_it_first_did(tmp_path):
    code, out, _ = ran(
        "from nas.cli.child_process import began\n"
        "def work():\n"
        "    time.sleep(0.05)\n"
        "    print(began(), began() <= time.monotonic() - 0.05 * (count() - 1), flush=True)\n"
        "    if starts.stat().st_size < 3:\n"
        "        os.abort()\n"
        "supervised(work)",
        tmp_path,
    )
    words = out.split()
    assert code == 0 and len(words) == 6
    assert len(set(words[::2])) == 1 and set(words[1::2]) == {"True"}


@pytest.mark.parametrize(
    ("end", "code", "got"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("raise ValueError('ours')", 1, "ValueError: ours"),
        ("", 0, ""),
    ],
)
def test_a_work_that_ends_in_order_is_done_once(tmp_path, end, code, got):
    work = f"def work():\n    count()\n    print('result')\n    {end}\n"
    ended, out, said = ran(work + "supervised(work)\nprint('never here')", tmp_path)
    assert (ended, out) == (code, "result\n")
    assert (said[-1] if said else "") == got
    assert (tmp_path / "starts").stat().st_size == 1


def test_what_is_printed_once_stays_so_when_the_process_dies_at_its_very_end(tmp_path):
    work = "def work():\n    print('result')\n    atexit.register(os.abort)\n    sys.exit(2)\n"
    assert ran(f"import atexit\n{work}supervised(work)", tmp_path) == (2, "result\n", [])


def test_where_threads_run_the_work_is_done_in_this_process(tmp_path):
    code, out, _ = ran(
        "threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n"
        "me = os.getpid()\n"
        "supervised(lambda: print(os.getpid() == me))\n"
        "print('and returns')",
        tmp_path,
    )
    assert (code, out) == (0, "True\nand returns\n")


SEARCH = """
import studies.search
from nas.cli import main

def search(settings, on_event, progress, began):
    print("searching", flush=True)
    {}

studies.search.search = search
sys.argv = ["nas", "search"]
main()
"""
SLEEPING = SEARCH.format("time.sleep(60)")
CRASHING = SEARCH.format(
    "\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        os.abort()"
)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("program", [SLEEPING, CRASHING], ids=["in order", "dies of it"])
def test_a_search_that_is_asked_to_end_is_not_started_again(tmp_path, how, program):
    command = start(program, tmp_path)
    assert command.stdout.readline() == "searching\n"
    (child,) = children(command.pid)
    os.killpg(command.pid, how)  # as a terminal does: the child is in its own process group
    out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (128 + how, "")
    assert err == "nas: interrupted; the same command continues.\n"
    assert gone({child}, within_s=5)


def test_ctrl_z_pauses_the_search_too(tmp_path):
    program = SEARCH.format("print(input(), flush=True); time.sleep(60)")
    command = start(
        program,
        tmp_path,
        stdin=subprocess.PIPE,
        start_new_session=False,
        preexec_fn=os.setpgrp,  # a job of this session, as a shell's: others are not stopped
    )
    assert command.stdout.readline() == "searching\n"
    (child,) = children(command.pid)
    command.send_signal(signal.SIGTSTP)
    assert became("T", command.pid) and became("T", child)
    command.send_signal(signal.SIGCONT)
    command.stdin.write("continued\n")
    command.stdin.flush()
    assert command.stdout.readline() == "continued\n"
    command.send_signal(signal.SIGINT)
    assert command.wait(30) == 130


def became(state: str, pid: int) -> bool:
    for _ in range(100):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == state:
            return True
        time.sleep(0.05)
    return False


def test_a_search_ends_with_a_command_that_is_killed(tmp_path):
    command = start(SLEEPING, tmp_path)
    assert command.stdout.readline() == "searching\n"
    (child,) = children(command.pid)
    command.kill()
    assert command.communicate(timeout=30) == ("", "")  # nobody holds the pipes any more
    assert gone({child}, within_s=5)
