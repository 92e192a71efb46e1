"""What every test shares."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

# The tensors here are tiny: a second thread only waits, and on a busy machine it spins.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Ray's workers would wait for the other half of the tests: they run at nice 15.
os.environ.setdefault("RAY_worker_niceness", "0")

# Commands under test hear what a terminal's do, also where the tests run in the background or by
# nohup, which ignore these, and so would everything that is started from here.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _usual)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run long trainings too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        skipped = pytest.mark.skip(reason="long training; run with --slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skipped)


@pytest.fixture
def own_place(tmp_path, monkeypatch):
    """A folder of its own to work in, which holds its cache too."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def pair_set(tmp_path_factory):
    """Photographs to train on and held-out ones, with a cache of their own."""
    from photos import photo_set

    folder = tmp_path_factory.mktemp("photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(folder / "cache"))
        yield photo_set(folder)


@pytest.fixture(scope="module")
def small_study(tmp_path_factory):
    """A folder with a prepared set, a recipe, and a study of three trained candidates."""
    from promoting import make_study

    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(folder / "cache"))
        make_study(folder)
        yield folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """The tables of a study's database, which take a second to make and none to copy."""
    import optuna
    from quick_search import settings

    from studies.core.study import open_study

    first = settings(tmp_path_factory.mktemp("empty"), name="first")
    with open_study(first):
        pass
    with first.store.open() as database:  # closed before it is copied, or its log holds a part
        optuna.delete_study(study_name=first.name, storage=database)
    return first.store.file


@pytest.fixture
def own_database(tmp_path, empty_database):
    """The database that a quick search in ``tmp_path`` finds, without a study."""
    shutil.copy(empty_database, tmp_path)


@pytest.fixture
def nas(monkeypatch, capsys):
    """Run ``nas`` in this process: (exit code, stdout, stderr)."""

    from nas.cli import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["nas", *map(str, arguments)])
        # What a child process prints would not be captured.
        monkeypatch.setattr("nas.cli.child_process.supervised", lambda work: work())
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out, shown.err

    return run
