"""Whether there is room for a session: cores, what else they do, and memory."""

from __future__ import annotations

from closedloop.doctor.computer import Computer
from closedloop.doctor.finding import Finding, Mend, bad, good, unknown, warn

CORES, LOAD, MEMORY = "processor cores", "load", "memory"
_GIB = 2**30
_LITTLE_BYTES, _TOO_LITTLE_BYTES = _GIB, _GIB // 3  # engine and dashboard together hold about half a GiB


def findings(computer: Computer) -> list[Finding]:
    """All that is asked here, in the order in which it is shown."""
    return [cores(computer), load(computer), memory(computer)]


def cores(computer: Computer) -> Finding:
    """The engine wants one for itself, and the dashboard another."""
    if computer.cores is None:
        return unknown(CORES, "how many there are is not said")
    if computer.cores >= 2:
        return good(CORES, f"{computer.cores}", computer.cores)
    mend = Mend("run without the dashboard", ("closedloop run PROTOCOL --rig RIG --headless",))
    return warn(CORES, "1: engine and dashboard take turns on it", mend, 1)


def load(computer: Computer) -> Finding:
    """Processes that wanted to run in the last minute, for each core."""
    if computer.load is None or not computer.cores:
        return unknown(LOAD, "this system keeps no mean of it; the wake-ups below show what it does")
    each = computer.load / computer.cores
    said = f"{computer.load:.2f} processes at a time in the last minute, on {computer.cores} cores"
    if each < 0.5:
        return good(LOAD, said, each, "a core")
    return warn(
        LOAD, f"{said}: a reading may have to wait for one of them", Mend("close other programs"), each, "a core"
    )


def memory(computer: Computer) -> Finding:
    """What is left of it, and whether swap is in use."""
    found = computer.memory
    if found is None:
        return unknown(MEMORY, "this system does not say")
    free_gib = found.available / _GIB
    said = f"{free_gib:.1f} of {found.total / _GIB:.1f} GiB available"
    if found.swap_used:
        said += f", {found.swap_used / _GIB:.1f} GiB put away to the disk"
    mend = Mend("close other programs, browsers first")
    if found.available < _TOO_LITTLE_BYTES:
        return bad(MEMORY, f"{said}: the system may end the session to get some", mend, free_gib, "GiB")
    if found.available < _LITTLE_BYTES or found.swap_used > found.available:
        return warn(
            MEMORY, f"{said}: pages of the session may be put away, and take ms to come back", mend, free_gib, "GiB"
        )
    return good(MEMORY, said, free_gib, "GiB")
