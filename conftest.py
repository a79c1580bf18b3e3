"""What all tests share: the fault list that they report to. See tests/fault_table.py and docs/faults.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fault_table import Report, Table, renewed

_TABLE = pytest.StashKey[Table]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the table goes."""
    parser.addoption("--fault-table", metavar="PAGE", help="write what was injected into the table of this page")


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is reported yet."""
    config.stash[_TABLE] = Table()


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Callable[[Report], None]:
    """Takes a test's report of a fault that it injected; fails it for spurious light or silent loss."""
    return request.config.stash[_TABLE].add


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Rewrite the table, if asked to; rows of what was not injected in this run stay."""
    page, table = session.config.getoption("--fault-table"), session.config.stash[_TABLE]
    if page and table.reports:
        path = Path(page)
        path.write_text(renewed(path.read_text(encoding="utf-8"), table.rows()), encoding="utf-8")
