"""Journals for tests: without the flushes that a slow disk takes most of a test's time for."""

import sqlite3

import pytest

CONNECT = sqlite3.connect


class Unflushed(sqlite3.Connection):
    """A connection that never waits for the disk."""

    def execute(self, sql, *values):
        return super().execute(sql.replace("synchronous = NORMAL", "synchronous = OFF"), *values)


def unflush(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing outlasts a power cut, which no test brings about."""

    def connect(*args, factory=Unflushed, **options):
        return CONNECT(*args, factory=factory, **options)

    monkeypatch.setattr("sqlite3.connect", connect)
    monkeypatch.setattr("os.fsync", lambda handle: None)
