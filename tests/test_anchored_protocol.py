"""A protocol with an anchor: what its parts take from it, and when it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from anchors import anchor
from sessions import command

from closedloop.anchor import Photometry
from closedloop.errors import ConfigError
from closedloop.protocol import Protocol, load_protocol

DEMO = Path(__file__).parents[1] / "configs" / "protocols" / "demo.yaml"


def written(folder: Path, *, with_anchor: bool = True, features: str = "[{kind: dff}]", detector: str) -> Path:
    """The demo with this chain and detector, and an anchor of the chain that it has."""
    lines = [line for line in DEMO.read_text().splitlines() if not line.startswith(("#", " "))]
    said = {line.partition(":")[0]: line for line in lines if line.partition(":")[2].strip()}
    said |= {"features": f"features: {features}", "detector": "detector: {kind: threshold}"}
    said |= {"policy": "policy: {kind: sham}", "light": "light: {on: 200 ms, level: 50 %}"}
    path = folder / "mine.yaml"
    path.write_text("\n".join(said.values()) + "\n")
    if with_anchor:
        chain = load_protocol(str(path)).model_dump(mode="json")["features"]
        anchor().model_copy(update={"features": tuple(chain)}).save(folder / "anchor.json")
        said["anchor"] = "anchor: anchor.json"
    path.write_text("\n".join((said | {"detector": f"detector: {detector}"}).values()) + "\n")
    return path


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_protocol(str(path))
    (problem,) = caught.value.problems
    return problem


def test_an_anchor_of_another_chain_is_refused_with_that_chain(tmp_path: Path) -> None:
    path = written(tmp_path, detector="{kind: threshold}")
    path.write_text(path.read_text().replace("{kind: dff}", "{kind: dff, baseline: 30 s}"))
    assert "are those of another chain of features (dff)" in refused(path)


@pytest.mark.parametrize(
    "parts",
    [
        {"features": "[{kind: dff}, {kind: whiten, model: anchor}]", "detector": "{kind: cusum}"},
        {"detector": "{kind: cusum, features: [{kind: dff}, {kind: whiten, model: anchor}]}"},
        {"detector": "{kind: any, of: [{kind: threshold}, {kind: state}]}"},
    ],
)
def test_what_only_an_anchor_can_say_is_not_left_open(tmp_path: Path, parts: dict[str, str]) -> None:
    assert "compares with the animal's anchor, and there is none" in refused(
        written(tmp_path, with_anchor=False, **parts)
    )


def test_a_chain_of_its_own_is_anchored_too(tmp_path: Path) -> None:
    own = "[{kind: dff}, {kind: whiten, model: anchor}]"
    protocol = load_protocol(str(written(tmp_path, detector=f"{{kind: cusum, features: {own}}}")))
    whiten: Any = protocol.anchored_parts()[1].features[1]
    assert whiten.coefficients == anchor().noise.coefficients
    assert protocol.rate_problems(anchor().noise.rate) == []
    (problem,) = protocol.rate_problems(2 * anchor().noise.rate)
    assert "readings/s" in problem


@pytest.mark.parametrize(
    "detector",
    [
        "{kind: cusum, features: [{kind: dff}, {kind: lowpass}, {kind: whiten, model: anchor}]}",
        "{kind: any, of: [{kind: threshold}, {kind: matched_filter, model: anchor, features: [{kind: isosbestic}]}]}",
    ],
)
def test_an_anchors_noise_is_not_that_of_another_chain(tmp_path: Path, detector: str) -> None:
    assert "is not the chain that the anchor tells of (dff)" in refused(written(tmp_path, detector=detector))


def test_the_dark_offsets_are_those_of_the_day(tmp_path: Path) -> None:
    ratio = "{kind: state, level: {smallest: 50 %}}"
    protocol = load_protocol(str(written(tmp_path, detector=ratio)))
    today = Photometry(**anchor().photometry.model_dump() | {"signal_dark": 0.5})
    for photometry, dark in ((None, anchor().photometry.signal_dark), (today, 0.5)):
        state: Any = protocol.anchored_parts(photometry)[1]
        assert state.level.features[0].signal_dark == dark


def test_the_digests_are_of_all_parts_however_deep(tmp_path: Path) -> None:
    of = "[{kind: difference, features: [{kind: dff}, {kind: despike}]}, {kind: threshold}]"
    protocol: Protocol = load_protocol(str(written(tmp_path, with_anchor=False, detector=f"{{kind: all, of: {of}}}")))
    digests = protocol.part_digests()
    assert {
        "closedloop.detectors.all",
        "closedloop.detectors.votes",
        "closedloop.detectors.difference",
        "closedloop.features.despike",
        "closedloop.online.windows",
    } <= set(digests)


def test_a_session_with_an_anchor_says_which_animal_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, detector="{kind: threshold}")
    ran = command(capsys, "run", path, "--rig", "simulated", "--headless", "--out", tmp_path / "data")
    assert ran.code == 2
    assert f"--subject: the anchor is of {anchor().subject}; say which animal this is" in ran.said
