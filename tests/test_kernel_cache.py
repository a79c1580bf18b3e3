"""Compiled kernels are kept for these very sources, and only where they can be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from closedloop import kernel_cache

LEAF = "from closedloop.online import robust; import numpy as np; print(robust.is_number(1.0))"


def kept(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.nb*"))


def run(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", LEAF], env=os.environ | {"NUMBA_CACHE_DIR": str(folder)}, check=True)


def test_what_is_compiled_is_kept_and_used_again(tmp_path: Path) -> None:
    run(tmp_path)
    first = {file: file.stat().st_mtime_ns for file in kept(tmp_path)}
    assert first
    run(tmp_path)
    assert {file: file.stat().st_mtime_ns for file in kept(tmp_path)} == first


def test_what_a_power_cut_left_is_thrown_away(tmp_path: Path) -> None:
    run(tmp_path)
    for file in kept(tmp_path):
        file.write_bytes(b"")
    run(tmp_path)
    assert all(file.stat().st_size for file in kept(tmp_path))


def test_other_sources_have_a_place_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    shutil.copytree(kernel_cache._PACKAGE, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    here = kernel_cache.place()
    monkeypatch.setattr(kernel_cache, "_PACKAGE", tmp_path / "copy")
    assert kernel_cache.place() == here
    with (tmp_path / "copy" / "online" / "robust.py").open("a") as file:
        file.write("# one letter more")
    assert kernel_cache.place() != here


def test_without_a_place_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert kernel_cache.place() is None


def test_what_no_start_has_used_for_long_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    old, young = tmp_path / "closedloop-kernels" / "old", tmp_path / "closedloop-kernels" / "young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "used").touch()
    os.utime(old / "used", (0, 0))
    assert kernel_cache.place() is not None
    assert not old.exists()
    assert young.exists()
