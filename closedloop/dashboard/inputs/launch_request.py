"""What a person asks to be run, as a command line. It starts nothing, and checks nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LaunchRequest:
    """What a person asks to be run, as on the command line.

    Attributes:
        protocol: a bare name or a path.
        rig: likewise.
        subject: the animal; None for the folder's default.
        out: the data folder.
        duration: with its unit; None for the protocol's own.
        seed: of everything random; None to have one drawn.
        overrides: `--set` items.
        study: file of the study that this is a session of; it says the rest, and nothing of it may be changed.
        phase: of the study.
        reason: why a session is run in spite of the study's plan.
    """

    protocol: str
    rig: str
    out: Path
    subject: str | None = None
    duration: str | None = None
    seed: int | None = None
    overrides: tuple[str, ...] = ()
    study: Path | None = None
    phase: str | None = None
    reason: str | None = None

    def arguments(self) -> list[str]:
        """The command line after `closedloop`."""
        if self.study is not None:
            of_study = {"--study": self.study, "--subject": self.subject, "--phase": self.phase}
            of_study |= {"--reason": self.reason}
            return ["run", *(f"{name}={value}" for name, value in of_study.items() if value is not None), "--headless"]
        given = {"--rig": self.rig, "--out": self.out, "--subject": self.subject}
        given |= {"--duration": self.duration, "--seed": self.seed}
        options = [f"{name}={value}" for name, value in given.items() if value is not None]
        changed = [f"--set={item}" for item in self.overrides]
        return ["run", self.protocol, *options, *changed, "--headless"]
