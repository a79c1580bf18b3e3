"""What the system lets this person ask of it for the loop: priority, memory that stays; and who this person is."""

from __future__ import annotations

from closedloop.doctor.computer import LINUX, MACOS, WINDOWS, Computer
from closedloop.doctor.finding import Finding, Mend, good, unknown, warn
from closedloop.realtime import PRIORITY as PRIORITY_WANTED

PRIORITY, MEMORY, PERSON = "real-time scheduling", "memory lock", "administrator"
LIMITS = "/etc/security/limits.d/99-closedloop.conf"
_SYS_NICE = 23  # number of Linux's capability


def findings(computer: Computer) -> list[Finding]:
    """All that is asked here, in the order in which it is shown."""
    return [priority(computer), memory(computer), administrator(computer)]


def _line(computer: Computer, what: str) -> Mend:
    return Mend(f"put this into {LIMITS}", (f"{computer.person.name} - {what}",), "log out and in")


def _capable(computer: Computer, number: int) -> bool:
    """Whether the process has one of Linux's capabilities."""
    for line in (computer.text("proc/self/status") or "").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def priority(computer: Computer) -> Finding:
    """Whether a session may go before all ordinary programs; tried for a moment where that can be."""
    if computer.system == LINUX:
        return _linux_priority(computer)
    if computer.system == WINDOWS:
        return good(PRIORITY, "none for programs; a session takes the high priority that everybody may have")
    if computer.system == MACOS:
        if computer.person.root:
            return good(PRIORITY, "none for programs; root may have a higher priority")
        said = "not had: macOS gives a higher priority to root alone, so other programs may hold up a reading"
        return warn(PRIORITY, said, Mend("close other programs before a session"))
    return unknown(PRIORITY, "this system does not say; a session's header.json says what it was given")


def _linux_priority(computer: Computer) -> Finding:
    with computer.real_time() as refused:
        pass
    if refused is None:
        return good(PRIORITY, f"had when tried (SCHED_FIFO, {PRIORITY_WANTED})")
    allowed = computer.limits.get("rtprio", 0)
    if allowed >= PRIORITY_WANTED or allowed < 0 or _capable(computer, _SYS_NICE):
        by_whom = "the group of processes (cgroup) that this one is in has no real-time share"
        mend = Mend("start from a plain terminal or ssh, outside containers and services; or give that group a share")
        return warn(PRIORITY, f"refused ({refused}) although allowed: {by_whom}", mend)
    said = f"not had ({refused}): other programs hold up a reading by as long as they run, some ms"
    return warn(PRIORITY, said, _line(computer, "rtprio 50"), allowed)


def memory(computer: Computer) -> Finding:
    """Whether the engine's memory may be kept from being swapped out; it asks for that only where no limit is."""
    if computer.system in (MACOS, WINDOWS):
        said = "not had: this system does not let a program keep all of its memory"
        return warn(MEMORY, said, Mend("keep 2 GiB of memory available: then nothing of a session is put away"))
    if "memlock" not in computer.limits:
        return unknown(MEMORY, "this system does not say; a session's header.json says what it was given")
    limit = computer.limits["memlock"]
    if limit < 0 or computer.person.root:
        return good(MEMORY, "without limit")
    mebibytes = limit / 2**20
    said = f"{mebibytes:.0f} MiB at most, too little for the engine: a page that was put away takes ms to come back"
    return warn(MEMORY, said, _line(computer, "memlock unlimited"), mebibytes, "MiB")


def administrator(computer: Computer) -> Finding:
    """Whether all this runs as root, so that the recordings belong to root."""
    if computer.person.root is None:
        return unknown(PERSON, f"whether {computer.person.name} is one is not asked here; a session needs none")
    if not computer.person.root:
        return good(PERSON, f"no: {computer.person.name}")
    mend = Mend("run as yourself; the rights that a session wants are all given by the lines this command prints")
    return warn(PERSON, "runs as root: recordings belong to root, and a mistake can overwrite anything", mend)
