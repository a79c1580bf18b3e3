"""The short forms of what firmware/proofs/ does: each property of the light holds, and each seeded mistake is noticed.

The proof itself takes too long for every run; here its lemmas are proved and the contracts are read. See its README.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROOFS = Path(__file__).parents[1] / "firmware" / "proofs"


def make(target: str, build: Path, *tools: str, **variables: str) -> str:
    """What a target of the proofs' Makefile prints. Skips where a tool is absent, except in CI."""
    absent = [tool for tool in ("make", *tools) if shutil.which(tool) is None]
    if absent and os.environ.get("CI"):
        pytest.fail(f"not here: {', '.join(absent)}")
    if absent:
        pytest.skip(f"not here: {', '.join(absent)}")
    settings = [f"{name}={value}" for name, value in {"BUILD": str(build), **variables}.items()]
    command = ["make", "-s", "-C", str(PROOFS), target, *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_every_reachable_state_keeps_every_property_of_the_light(tmp_path: Path) -> None:
    said = make("search", tmp_path, "cc")
    assert said.count("every property holds") == 2
    assert "every edge as asked" in said


def test_every_seeded_mistake_is_noticed_or_harmless(tmp_path: Path) -> None:
    said = make("mutants", tmp_path, "cc", "python3")
    figures = re.search(r"(\d+) mutants, (\d+) of them harmless, 0 wrong", said)
    assert figures is not None
    assert int(figures[1]) - int(figures[2]) >= 25


def test_the_fuzzers_break_neither_codec_nor_stimulator(tmp_path: Path) -> None:
    said = make("fuzz", tmp_path, "clang", "python3", FUZZ_SECONDS="20")
    assert said.count("nothing broken") == 2


def test_a_flood_of_spoiled_bytes_forges_and_loses_nothing(tmp_path: Path) -> None:
    said = make("flood", tmp_path, "cc", FLOOD_BYTES="10000000")
    assert "0 forged (0.0000 by chance), 0 forged messages, 0 lost, 0 miscounted" in said
    assert int(re.findall(r"(\d+) damaged", said)[0]) > 50_000


@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("make")), reason="no C compiler here")
@pytest.mark.parametrize(
    ("right", "wrong", "noticed"),
    [
        ("framing->crc == SOUND", "(framing->crc ^ SOUND) < 0xFFFFFFF0UL", "forged"),
        ("framing->crc == SOUND", "(uint8_t)framing->crc == (uint8_t)SOUND", "forged"),
        ("framing->length >= SHORTEST", "framing->length > SHORTEST", "lost"),
        ("    framing->skipping = 0;", "", "lost"),
        ("if (framing->length >= LONGEST)", "if (0)", "AddressSanitizer|runtime error"),
    ],
)
def test_the_flood_notices_a_codec_that_is_wrong(tmp_path: Path, right: str, wrong: str, noticed: str) -> None:
    core = shutil.copytree(PROOFS.parent / "core", tmp_path / "core")
    code = (core / "framing.c").read_text()
    assert right in code
    (core / "framing.c").write_text(code.replace(right, wrong))
    settings = [f"BUILD={tmp_path / 'build'}", f"CORE={core}", "FLOOD_BYTES=3000000"]
    command = ["make", "-s", "-C", str(PROOFS), "flood", *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    counted = rf"[1-9]\d* {noticed}" if noticed in ("forged", "lost") else noticed
    assert re.search(counted, done.stdout + done.stderr), done.stdout + done.stderr


def test_the_sums_of_the_proof_are_proved_and_its_contracts_are_understood(tmp_path: Path) -> None:
    said = make("prove-short", tmp_path, "frama-c", "z3", "cvc4", "python3")
    assert re.search(r"sums: (\d+)/\1 goals proved", said)
    assert re.search(r"interlock: (\d+)/\1 goals proved", said)
