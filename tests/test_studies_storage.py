"""URLs: where studies live, and what never leaves them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.common.errors import InputError
from studies.storage.store import Store, masked, sqlite_file


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:pa55@host/db", "postgresql://user:***@host/db"),
        ("postgresql+psycopg://u:p:a@host:5432/db", "postgresql+psycopg://u:***@host:5432/db"),
        ("postgresql://u:p%40ss@host", "postgresql://u:***@host"),
        ("postgresql://u:p@ss@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:p/ss@host/db", "postgresql://u:***@host/db"),
        ("mysql://host/db?user=u&password=pa55", "mysql://host/db?user=u&password=***"),
        ("https://:token@mlflow.example", "https://:***@mlflow.example"),
        ("sqlite:///studies.db", "sqlite:///studies.db"),
        ("http://localhost:5000", "http://localhost:5000"),
    ],
)
def test_secrets_are_masked_wherever_a_url_stands(url, shown):
    assert masked(url) == shown
    assert masked(f"cannot reach {url} (refused)") == f"cannot reach {shown} (refused)"


def test_an_sqlite_url_names_its_file():
    assert sqlite_file("sqlite:///a/b.db") == Path("a/b.db")
    assert sqlite_file("sqlite:////tmp/b.db?timeout=3") == Path("/tmp/b.db")
    assert sqlite_file("postgresql://host/b.db") is None


def test_files_lie_beside_the_database_or_with_the_users_data(tmp_path, monkeypatch):
    assert Store("sqlite:///a/b.db").folder("s") == Path("a/b-files/s")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = Store("postgresql://u:secret@host/db").folder("s")
    assert folder.is_relative_to(tmp_path) and folder.name == "s"
    assert Store("postgresql://u:changed@host/db").folder("s") == folder


def test_a_store_shows_no_secret():
    store = Store.parse("postgresql://u:s3cret@host/db")
    assert "s3cret" not in f"{store} {store!r}" and str(store) == "postgresql://u:***@host/db"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("studies.db", "is not a database URL: write for instance sqlite:///studies.db"),
        ("sqlite:///missing/studies.db", "there is no folder"),
    ],
)
def test_what_is_not_a_store_is_refused(url, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        Store.parse(url)
