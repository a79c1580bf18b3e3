"""The data folder: of what kind it is, whether there is room for the session, and whether the disk is fast enough."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from closedloop.doctor.computer import WINDOWS, Computer, Mount
from closedloop.doctor.finding import Finding, Mend, bad, good, unknown, warn
from closedloop.doctor.measure import DiskLook
from closedloop.health import HEALTH
from closedloop.recording.layout import CHUNK_ROWS, PAGE_BYTES, DType, Layout

FOLDER, CLOUD, SPACE, SPEED, LOCKS = "data folder", "cloud folder", "disk space", "disk speed", "file locks"
ELSEWHERE = Mend(
    "record on a disk of this computer, and copy afterwards", ("closedloop run PROTOCOL --rig RIG --out FOLDER",)
)
_NETWORK = {
    *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs"),
    *("9p", "ceph", "glusterfs", "lustre", "beegfs", "virtiofs", "vboxsf"),
}
_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}
_PLAIN = {"vfat", "msdos", "fat32", "fat", "exfat"}
_CLOUDS = {
    *("onedrive", "dropbox", "google drive", "googledrive", "my drive", "icloud", "mobile documents", "cloudstorage"),
    *("nextcloud", "owncloud", "box", "box sync", "pcloud", "pclouddrive", "mega"),
}
_HEALTH_HZ = 4.0
_EVENTS_PART = 0.1  # of the readings' bytes
_KEPT_BYTES = 256 * 1024  # what a session holds back for its end
_SPARE = 2.0  # times what the session needs, before space is called good
_SLOW_SYNC_MS, _LOSING_SYNC_MS = 250.0, 1000.0


@dataclass(frozen=True)
class Plan:
    """What is to be recorded.

    Attributes:
        folder: where to; need not exist yet.
        rate_hz: readings a second.
        dtype: of one row.
        lasts_s: sample time.
        of: which session this is, in words.
    """

    folder: Path
    rate_hz: float
    dtype: DType
    lasts_s: float
    of: str

    @property
    def needed_bytes(self) -> int:
        """For the whole session: rows, health, events, what is allocated ahead, and the reserve."""
        row, health = Layout.of(self.dtype).stride, Layout.of(HEALTH).stride
        rows = row * self.rate_hz * self.lasts_s * (1 + _EVENTS_PART) + health * _HEALTH_HZ * self.lasts_s
        ahead = 2 * (CHUNK_ROWS * (row + health) + PAGE_BYTES)
        return round(rows + ahead + _KEPT_BYTES)

    @property
    def bytes_per_s(self) -> float:
        """Of readings."""
        return Layout.of(self.dtype).stride * self.rate_hz


def there(folder: Path) -> Path:
    """The folder itself, or the nearest thing above it that exists; itself again where there is none at all."""
    whole = folder.expanduser().resolve()
    return next((path for path in (whole, *whole.parents) if _exists(path)), whole)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # one of the folders above may not be entered
        return False


def kind(computer: Computer, folder: PurePath) -> Finding:
    """What file system the folder is on."""
    mount = _mount(computer, folder)
    if str(folder).startswith("\\\\"):
        mount = Mount(str(folder), "cifs")
    if mount is None:
        return unknown(FOLDER, f"{folder}: which file system it is on is not said")
    kind, options = mount.kind.lower(), mount.options.lower().split(",")
    said = f"{folder}, {mount.kind}"
    if kind in _NETWORK or "remote" in options:
        stop = f"{said}: on the network; while that hangs, so does the session, and the light goes dark"
        return bad(FOLDER, stop, ELSEWHERE)
    if kind in _IN_MEMORY:
        return bad(FOLDER, f"{said}: in memory, gone when the computer is switched off", ELSEWHERE)
    if kind.startswith("fuse") and kind != "fuseblk":
        return warn(FOLDER, f"{said}: served by a program, which may be slow or on the network", ELSEWHERE)
    if kind in _PLAIN:
        return warn(FOLDER, f"{said}: keeps no journal; a power cut may take whole files, not a second", ELSEWHERE)
    return good(FOLDER, said)


def _mount(computer: Computer, folder: PurePath) -> Mount | None:
    """The file system that the folder is on: the one whose place is the longest beginning of its path."""
    flavour = PureWindowsPath if computer.system == WINDOWS else PurePosixPath
    whole = flavour(str(folder))
    around = [m for m in computer.mounts if m.kind and whole.is_relative_to(flavour(m.point))]
    return max(around, key=lambda mount: len(flavour(mount.point).parts), default=None)


def cloud(folder: PurePath) -> Finding:
    """Whether a program copies the folder to the Internet while it is written, as far as its name tells."""
    for part in folder.parts:
        name = part.lower()
        if name in _CLOUDS or name.startswith(("onedrive - ", "dropbox (", "icloud", "com~apple~clouddocs")):
            said = f"'{part}' in its path: uploads take time from the session, and may lock its files"
            return warn(CLOUD, said, ELSEWHERE)
    return good(CLOUD, "no cloud service's name in its path")


def space(plan: Plan, free_bytes: int | None) -> Finding:
    """Room for the session, in bytes that are free."""
    need = plan.needed_bytes
    row = Layout.of(plan.dtype).stride
    said = f"{plan.of} needs {_size(need)} ({row} bytes a reading)"
    if free_bytes is None:
        return unknown(SPACE, f"{said}; how much is free is not said")
    free = f"{_size(free_bytes)} free, {said}"
    mend = Mend("make room, or choose another disk", ("closedloop run PROTOCOL --rig RIG --out FOLDER",))
    if free_bytes < need:
        lasts_s = max(0.0, free_bytes / need * plan.lasts_s)
        return bad(SPACE, f"{free}: full after about {lasts_s / 60:.0f} min", mend, free_bytes, "bytes")
    if free_bytes < _SPARE * need:
        return warn(SPACE, f"{free}: enough for this one, not for two", mend, free_bytes, "bytes")
    return good(SPACE, free, free_bytes, "bytes")


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 100 or unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def speed(plan: Plan, found: DiskLook) -> Finding:
    """How long the disk takes for a second of readings, and how much it takes in a second."""
    if found.problem is not None:
        mend = Mend("choose a folder that you may write to", ("closedloop run PROTOCOL --rig RIG --out FOLDER",))
        return bad(SPEED, f"a recording can't be begun in {plan.folder}: {found.problem}", mend)
    said = (
        f"a second of readings on the disk in {found.sync_p50_ms:.1f} ms, {found.sync_max_ms:.1f} ms at worst; "
        f"{found.mb_per_s:.0f} MB/s, needed {plan.bytes_per_s / 1e6:.3f}"
    )
    figure = (found.sync_max_ms, "ms")
    if found.sync_max_ms >= _LOSING_SYNC_MS or found.mb_per_s * 1e6 < 2 * plan.bytes_per_s:
        return bad(SPEED, f"{said}: a power cut takes more than the last second", ELSEWHERE, *figure)
    if found.sync_max_ms >= _SLOW_SYNC_MS:
        return warn(SPEED, said, ELSEWHERE, *figure)
    return good(SPEED, said, *figure)


def locks(found: DiskLook) -> Finding:
    """Whether the disk keeps a second writer out of a recording."""
    if found.problem is not None:
        return unknown(LOCKS, "no file could be made to try")
    if found.locked_out:
        return good(LOCKS, "a second writer is kept out")
    return bad(LOCKS, "this disk knows no locks: two sessions could write into one recording", ELSEWHERE)
