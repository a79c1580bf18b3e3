"""Values at times to a stream, for all CSV readers. They are digitised here, never resampled or filled.

A value becomes a count at the finest scale, in whole nano-units, that holds the whole file, so it moves by
half a count at most: half of 1e-9, or a 2**32nd of the largest value where that is more. A time moves by
half a microsecond at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from closedloop.errors import RecordingError
from closedloop.formats.table import Column, Table
from closedloop.readings import FLAG_NO_CONTROL, READING, Stream, digitise, nominal_rate_mhz, to_counts

LONGEST_S = 1e9  # nobody records for thirty years; microseconds of more would not fit
LARGEST = 9e9  # the largest value whose scale, in nano-units, still fits the 32 bits that it has on the wire

Rows = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Measured:
    """What a file holds, one entry a reading in every array.

    Attributes:
        rows: row of the table that each reading came from, for messages.
        time_s: seconds from anywhere.
        signal: 470 nm; where it is nan the reading was lost.
        control: 405 or 415 nm; nan where it is unknown.
        seq: number of each reading; what is skipped is missing.
        flags: flags of each reading.
        inputs: digital inputs of each reading.
    """

    rows: Rows
    time_s: Column
    signal: Column
    control: Column
    seq: Rows
    flags: Words
    inputs: Words


def stream(found: Table, measured: Measured, input_names: tuple[str, ...]) -> Stream:
    """A stream of what was measured, without the readings that were lost.

    Raises:
        RecordingError: fewer than two readings, a time that does not increase, or a value beyond all measure.
    """
    ticks = _ticks(found, measured)
    kept = np.flatnonzero(~np.isnan(measured.signal))
    if len(kept) < 2:
        raise RecordingError(f"{found.path}: {len(kept)} usable reading(s); a recording needs at least two")
    nano_units = _nano_units(found, measured)
    readings = np.zeros(len(kept), READING)
    readings["ticks"] = ticks[kept] - ticks[kept[0]]
    readings["seq"] = measured.seq[kept] - measured.seq[kept[0]]
    readings["signal_lit"] = to_counts(measured.signal[kept], nano_units)
    readings["control_lit"] = to_counts(measured.control[kept], nano_units)
    readings["inputs"] = measured.inputs[kept]
    readings["flags"] = measured.flags[kept]
    readings["flags"][np.isnan(measured.control[kept])] |= FLAG_NO_CONTROL
    rate_mhz = nominal_rate_mhz(readings["ticks"])
    if rate_mhz == 0:
        raise RecordingError(f"{found.path}: less than one reading in 1000 s; is the time in seconds?")
    return Stream(readings, rate_mhz, nano_units, str(found.path), input_names)


def _ticks(found: Table, measured: Measured) -> Rows:
    """Microseconds since the first row."""
    time_s = measured.time_s
    unknown = np.isnan(time_s)
    if unknown.any():
        row = measured.rows[int(np.argmax(unknown))]
        raise found.fault(row, "the time is missing; every row needs one")
    with np.errstate(over="ignore", invalid="ignore"):
        ticks: Column = np.rint((time_s - time_s[0]) * 1e6)
        bad = (np.diff(ticks, prepend=-1) <= 0) | ~(ticks <= LONGEST_S * 1e6)
    if bad.any():
        at = int(np.argmax(bad))
        what = f"time {time_s[at]:.10g} s does not follow {time_s[at - 1]:.10g} s; sort or cut the rows"
        raise found.fault(measured.rows[at], what)
    return ticks.astype(np.int64)


def _nano_units(found: Table, measured: Measured) -> int:
    for values in (measured.signal, measured.control):
        beyond = np.abs(values) > LARGEST
        if beyond.any():
            at = int(np.argmax(beyond))
            what = f"{values[at]:g} is beyond {LARGEST:g}; give the signal in volts or counts"
            raise found.fault(measured.rows[at], what)
    return digitise(np.concatenate([measured.signal, measured.control]))
