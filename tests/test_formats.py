"""Foreign recordings become the readings that were in them, or one line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop.errors import RecordingError
from closedloop.formats import KNOWN, ppd, read
from closedloop.readings import (
    FLAG_CONTROL_SATURATED,
    FLAG_DROPPED_CONVERSIONS,
    FLAG_NO_CONTROL,
    FLAG_SIGNAL_SATURATED,
    Stream,
    scale_of,
)

HEADER = {
    "subject_ID": "m1",
    "date_time": "2024-05-06T07:08:09.000",
    "mode": "2EX_2EM_pulsed",
    "sampling_rate": 130,
    "volts_per_division": [0.00010122, 0.00010122],
    "LED_current": [10, 10],
    "version": "1.0.2",
}


def write_ppd(path: Path, words: list[int], **header: object) -> Path:
    text = json.dumps(HEADER | header).encode()
    path.write_bytes(len(text).to_bytes(2, "little") + text + np.array(words, "<u2").tobytes())
    return path


def word(code: int, bit: int = 0) -> int:
    return code << 1 | bit


def complaint(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text.removeprefix(str(path))


def rises(stream: Stream, bit: int) -> int:
    level = stream.readings["inputs"] >> bit & 1
    return int(np.sum(np.diff(level.astype(int)) > 0))


@pytest.mark.parametrize(
    ("name", "readings", "scales", "seconds", "digital_rises"),
    [
        ("m17-R-2018-12-12-090409.ppd", 474_192, (130_000, 101_220), 3647.6, (127, 722)),
        ("1396_OF-2022-04-06-111534.ppd", 78_312, (130_000, 101_220), 602.4, (14, 0)),
        ("martianova_example.csv", 3600, (10_000, 624), 360.0, (0, 0)),
        ("phat_laser_npm.csv", 4856, (13_301, 983), 365.1, (0, 0)),
        ("ibl_77a6741c_bleaching.csv", 54_000, (30_030, 1), 1799.9, (0, 0)),
        ("ibl_npm_region4_unplugged.csv", 43_468, (14_993, 1), 2897.8, (0, 0)),
    ],
)
def test_a_real_recording_is_read_whole(
    shared_data: Path,
    name: str,
    readings: int,
    scales: tuple[int, int],
    seconds: float,
    digital_rises: tuple[int, int],
) -> None:
    stream = read(shared_data / name)
    assert len(stream.readings) == readings
    assert (stream.rate_mhz, stream.nano_units) == scales
    assert stream.duration_s == pytest.approx(seconds, abs=0.1)
    assert (rises(stream, 0), rises(stream, 1)) == digital_rises
    assert stream.readings["ticks"][0] == 0
    assert np.all(np.diff(stream.readings["ticks"]) > 0)
    assert np.array_equal(stream.readings["seq"], np.arange(readings))


def test_m17_has_the_volts_it_is_known_to_have(shared_data: Path) -> None:
    stream = read(shared_data / "m17-R-2018-12-12-090409.ppd")
    volts = stream.readings["signal_lit"] * scale_of(stream.nano_units)
    assert 0.74 < volts.min() < 0.76
    assert 1.33 < volts.max() < 1.35


def test_the_laser_of_phat_makes_470_fall_and_415_rise(shared_data: Path) -> None:
    stream = read(shared_data / "phat_laser_npm.csv")
    time_s = stream.readings["ticks"] / 1e6
    onsets = np.array([line.split(",")[0] for line in (shared_data / "phat_laser_times.csv").read_text().split()])
    onsets_s = onsets[1::2].astype(float)

    def change(channel: str) -> float:
        value = stream.readings[channel].astype(float)
        lit = [value[(time_s > at + 0.3) & (time_s < at + 0.7)].mean() for at in onsets_s]
        before = [value[(time_s > at - 1) & (time_s < at)].mean() for at in onsets_s]
        return float(np.mean(np.array(lit) / np.array(before) - 1))

    assert change("signal_lit") < -0.0015
    assert change("control_lit") > 0.0003


def test_an_unknown_file_lists_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mouse 17 looked sleepy\n")
    assert all(known.what in complaint(path) for known in KNOWN)


def test_a_ppd_is_known_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    assert len(read(write_ppd(tmp_path / "copy.bin", [word(1), word(2)])).readings) == 1


@pytest.mark.parametrize("name", ["absent.ppd", "."])
def test_what_cannot_be_opened_is_one_line(tmp_path: Path, name: str) -> None:
    assert "cannot be opened" in complaint(tmp_path / name)


@pytest.mark.parametrize("name", ["a.ppd", "a.csv"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "empty" in complaint(tmp_path / name)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), suffix=st.sampled_from([".ppd", ".csv"]))
def test_random_bytes_raise_nothing_but_a_recording_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"random{suffix}"
    path.write_bytes(data)
    with pytest.raises(RecordingError):
        read(path)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 400), byte=st.integers(0, 255), cut=st.integers(0, 500))
def test_a_damaged_ppd_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, cut: int
) -> None:
    path = write_ppd(tmp_path_factory.getbasetemp() / "damaged.ppd", list(range(100)))
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data[: cut or None])
    try:
        found = len(read(path).readings)
    except RecordingError as error:
        found = len(str(error).splitlines()) == 1
    assert found


@pytest.mark.parametrize("mode", [name for name, mode in ppd.MODES.items() if mode.channels == 2])
@pytest.mark.parametrize("version", [0.1, 0.2, "0.2.1", "0.3", "0.3.3", "1.0", "1.0.2"])
def test_one_word_a_sample_before_1_1_in_every_mode(tmp_path: Path, mode: str, version: object) -> None:
    path = write_ppd(tmp_path / "a.ppd", [word(100), word(50), word(101), word(51)], mode=mode, version=version)
    readings = read(path).readings
    assert readings["signal_lit"].tolist() == [100, 101]
    assert readings["control_lit"].tolist() == [50, 51]
    assert not readings["signal_dark"].any()


@pytest.mark.parametrize("version", [1.1, "1.1", "1.1.3"])
def test_pulsed_files_hold_lit_and_dark_pairs_from_1_1(tmp_path: Path, version: object) -> None:
    cycle = [word(100, 1), word(10), word(50), word(5)]
    readings = read(write_ppd(tmp_path / "a.ppd", cycle * 2, version=version, ADC_max_value=32768)).readings
    assert readings["signal_lit"].tolist() == [100, 100]
    assert readings["signal_dark"].tolist() == [10, 10]
    assert readings["control_lit"].tolist() == [50, 50]
    assert readings["control_dark"].tolist() == [5, 5]
    assert readings["inputs"].tolist() == [1, 1]


def test_continuous_files_hold_no_pairs_even_in_1_1(tmp_path: Path) -> None:
    path = write_ppd(tmp_path / "a.ppd", [word(100), word(50)], mode="2EX_2EM_continuous", version="1.1")
    readings = read(path).readings
    assert (readings["signal_lit"][0], readings["control_lit"][0]) == (100, 50)


def test_with_three_leds_the_third_channel_is_left_out(tmp_path: Path) -> None:
    words = [word(100, 1), word(50, 1), word(7), word(101), word(51), word(8)]
    stream = read(write_ppd(tmp_path / "a.ppd", words, mode="3EX_2EM_pulsed", sampling_rate=86))
    assert stream.readings["signal_lit"].tolist() == [100, 101]
    assert stream.readings["control_lit"].tolist() == [50, 51]
    assert stream.input_names == ("digital_1",)
    assert stream.readings["inputs"].tolist() == [1, 0]


def test_digital_lines_become_inputs(tmp_path: Path) -> None:
    words = [word(9, 0), word(9, 0), word(9, 1), word(9, 0), word(9, 0), word(9, 1)]
    stream = read(write_ppd(tmp_path / "a.ppd", words))
    assert stream.input_names == ("digital_1", "digital_2")
    assert stream.readings["inputs"].tolist() == [0, 1, 2]


def test_an_incomplete_last_cycle_is_left_out(tmp_path: Path) -> None:
    path = write_ppd(tmp_path / "a.ppd", [word(1), word(2), word(3)])
    path.write_bytes(path.read_bytes() + b"\x07")
    assert len(read(path).readings) == 1


def test_zeros_written_for_a_lost_frame_are_missing_readings(tmp_path: Path) -> None:
    cycle, lost = [word(100), word(50)], [0, 0]
    readings = read(write_ppd(tmp_path / "a.ppd", cycle + lost * 3 + cycle)).readings
    assert readings["seq"].tolist() == [0, 4]
    assert readings["ticks"].tolist() == [0, round(4 * 1e6 / 130)]


def test_zeros_before_frames_were_counted_are_readings(tmp_path: Path) -> None:
    assert len(read(write_ppd(tmp_path / "a.ppd", [2, 2, 0, 0], version=0.2)).readings) == 2


def test_codes_near_full_scale_are_saturated(tmp_path: Path) -> None:
    just, over = int(0.98 * 32768), int(0.98 * 32768) + 1
    readings = read(write_ppd(tmp_path / "a.ppd", [word(just), word(over), word(over), word(just)])).readings
    assert readings["flags"].tolist() == [FLAG_CONTROL_SATURATED, FLAG_SIGNAL_SATURATED]


def test_a_saturated_dark_word_is_saturation_too(tmp_path: Path) -> None:
    words = [word(100), word(32700), word(50), word(5)]
    readings = read(write_ppd(tmp_path / "a.ppd", words, version="1.1")).readings
    assert readings["flags"].tolist() == [FLAG_SIGNAL_SATURATED]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"mode": "4 colour time div."}, "mode '4 colour time div.' is unknown; known modes are 2EX_2EM"),
        ({"mode": None}, "no usable 'mode'"),
        ({"version": "1.2"}, "newer than 1.1"),
        ({"version": "2"}, "newer than 1.1"),
        ({"version": "beta"}, "is no version"),
        ({"version": None}, "no usable 'version'"),
        ({"sampling_rate": 0}, "sampling_rate must be"),
        ({"sampling_rate": "130"}, "no usable 'sampling_rate'"),
        ({"n_analog_signals": 1}, "has 2 signals"),
        ({"volts_per_division": [0.0001]}, "must be two voltages"),
        ({"volts_per_division": [0.0001, 0.0002]}, "must be the same for both"),
        ({"ADC_max_value": 0}, "ADC_max_value must be"),
    ],
)
def test_a_header_that_is_not_understood_is_refused(tmp_path: Path, header: dict[str, object], said: str) -> None:
    assert said in complaint(write_ppd(tmp_path / "a.ppd", [1, 2], **header))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x07", "ends after 0"),
        (b"\xff\xff{}", "ends after 2"),
        (b"\x05\x00{bad}" + b"\1\1" * 9, "not JSON"),
        (b"\x02\x00[]" + b"\1\1" * 9, "no JSON object"),
        (b"\x2a\x00" + b"mouse 2017-01-01".ljust(42) + b"\1\1" * 9, "binary one from before"),
    ],
)
def test_a_damaged_or_ancient_ppd_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.ppd"
    path.write_bytes(data)
    assert said in complaint(path)


@pytest.mark.parametrize("words", [[], [word(1)], [0, 0, 0, 0]])
def test_a_ppd_without_samples_is_refused(tmp_path: Path, words: list[int]) -> None:
    assert "no samples" in complaint(write_ppd(tmp_path / "a.ppd", words))


CODES = "Analog1, Analog2, Digital1, Digital2\n100,50,0,1\n101,51,1,0\n0,0,0,0\n102,52,0,0\n"


def test_a_pyphotometry_csv_takes_its_header_from_the_json(tmp_path: Path) -> None:
    path = tmp_path / "m1.csv"
    path.write_text(CODES)
    path.with_suffix(".json").write_text(json.dumps(HEADER))
    stream = read(path)
    assert stream.source == str(path)
    assert (stream.rate_mhz, stream.nano_units) == (130_000, 101_220)
    assert stream.readings["signal_lit"].tolist() == [100, 101, 102]
    assert stream.readings["inputs"].tolist() == [2, 1, 0]
    assert stream.readings["seq"].tolist() == [0, 1, 3]


def test_a_pyphotometry_csv_without_its_json_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m1.csv"
    path.write_text(CODES)
    assert "m1.json" in complaint(path)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (CODES, "3EX_2EM_pulsed", ":1: columns should be Analog1, Analog2, Analog3, Digital1"),
        (CODES + "1.5,2,0,0\n", "2EX_2EM_pulsed", ":6: Analog1 must be whole"),
        (CODES + "1,,0,0\n", "2EX_2EM_pulsed", ":6: Analog2 must be whole"),
        (CODES + "1,2,0,3\n", "2EX_2EM_pulsed", ":6: Digital2 must be whole, from 0 to 1"),
        (CODES[: CODES.index("\n")], "2EX_2EM_pulsed", "no rows"),
    ],
)
def test_a_damaged_pyphotometry_csv_is_refused_with_its_line(tmp_path: Path, text: str, mode: str, said: str) -> None:
    path = tmp_path / "m1.csv"
    path.write_text(text)
    path.with_suffix(".json").write_text(json.dumps(HEADER | {"mode": mode}))
    assert said in complaint(path)


def plain(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plain.csv"
    path.write_bytes(text.encode())
    return path


def test_inputs_and_an_absent_control_are_understood(tmp_path: Path) -> None:
    text = "time_s,signal,input_lever,input_chamber\n5,1.5,0,1\n5.1,1.6,1,0\n5.2,1.7,1,1\n"
    stream = read(plain(tmp_path, text))
    assert stream.input_names == ("lever", "chamber")
    assert stream.readings["inputs"].tolist() == [2, 1, 3]
    assert stream.readings["flags"].tolist() == [FLAG_NO_CONTROL] * 3
    assert stream.readings["ticks"].tolist() == [0, 100_000, 200_000]
    assert stream.rate_mhz == 10_000


@pytest.mark.parametrize("lost", ["", "nan", "NaN", " "])
def test_an_empty_signal_is_a_missing_reading(tmp_path: Path, lost: str) -> None:
    readings = read(plain(tmp_path, f"time_s,signal,control\n0,1,1\n1,{lost},1\n2,3,1\n3,4,\n")).readings
    assert readings["seq"].tolist() == [0, 2, 3]
    assert readings["ticks"].tolist() == [0, 2_000_000, 3_000_000]
    assert readings["flags"].tolist() == [0, 0, FLAG_NO_CONTROL]


@pytest.mark.parametrize(
    "text",
    [
        "\ufefftime_s,signal,control\r\n0,1,2\r\n1,3,4\r\n",
        '"time_s","signal","control"\n"0","1","2"\n1,3,4',
        "control, time_s, signal\n2,0,1\n\n4,1,3\n\n",
        "time_s,signal,control\n 0 , 1e0 , +2\n1,3,4\n",
    ],
)
def test_what_spreadsheets_do_to_a_csv_changes_nothing(tmp_path: Path, text: str) -> None:
    stream = read(plain(tmp_path, text))
    values = stream.readings[["signal_lit", "control_lit"]].tolist() * np.array(scale_of(stream.nano_units))
    assert values == pytest.approx(np.array([[1, 2], [3, 4]]), abs=1e-9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time_s,signal,contrl\n0,1,1\n", ":1: unknown column 'contrl'"),
        ("time_s,control\n0,1\n", ":1: no column 'signal'"),
        ("time_s,signal,signal\n0,1,1\n", ":1: more than one column 'signal'"),
        ("time_s,signal,control\n", "no rows"),
        ("time_s,signal,control", "no rows"),
        ("time_s,signal,control\n0,1,1\n", "1 usable reading"),
        ("time_s,signal,control\n0,1,1\n1,x7,1\n", ":3: signal is no number (got 'x7')"),
        ("time_s,signal,control\n0,1,1\n\n1,2,?\n", ":4: control is no number"),
        ("time_s,signal,control\n0,1,1\n1,2\n", ":3: 2 cells, 3 columns"),
        ("time_s,signal,control\n0,033,1,5,2,3\n", ":2: 6 cells, 3 columns"),
        ("time_s,signal,control\n0,1,1\n2,1,1\n1.5,1,1\n", ":4: time 1.5 s does not follow 2 s"),
        ("time_s,signal,control\n0,1,1\n2,1,1\n2,1,1\n", ":4: time 2 s does not follow 2 s"),
        ("time_s,signal,control\n0,1,1\n,1,1\n2,1,1\n", ":3: the time is missing"),
        ("time_s,signal,control\n0,1,1\n1,inf,1\n", ":3: a number is infinite"),
        ("time_s,signal,control\n0,1,1\n1,1e300,1\n", ":3: 1e+300 is beyond"),
        ("time_s,signal,control\n-1e308,1,1\n1e308,1,1\n", ":3: time 1e+308 s does not follow"),
        ("time_s,signal,control\n0,1,1\n9999,1,1\n", "less than one reading in 1000 s"),
        ("time_s,signal,input_a\n0,1,1\n1,1,2\n", ":3: input_a must be 0 or 1 (got 2)"),
        ("time_s,signal," + ",".join(f"input_{n}" for n in range(17)) + "\n", ":1: more than 16 inputs"),
    ],
)
def test_a_damaged_plain_csv_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(plain(tmp_path, text))


def test_a_file_that_is_no_text_after_its_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_bytes(b"time_s,signal\n0,\xff\xfe\n")
    assert "not UTF-8" in complaint(path)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.floats(-8e9, 8e9), min_size=2, max_size=20),
    steps=st.lists(st.floats(1e-5, 900), min_size=20, max_size=20),
    start=st.floats(0, 1e5),
)
def test_a_value_moves_by_half_a_count_and_a_time_by_half_a_microsecond(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], steps: list[float], start: float
) -> None:
    times = start + np.cumsum(steps)[: len(values)]
    rows = "\n".join(f"{time!r},{value!r}" for time, value in zip(times.tolist(), values, strict=True))
    path = tmp_path_factory.getbasetemp() / "property.csv"
    path.write_text("time_s,signal\n" + rows)
    stream = read(path)
    scale = scale_of(stream.nano_units)
    moved = np.abs(stream.readings["signal_lit"] * scale - values)
    assert np.all(moved <= 0.5 * scale * (1 + 1e-6))
    assert scale <= max(1e-9, np.max(np.abs(values)) / 2**31 * (1 + 1e-6) + 1e-9)
    assert np.all(np.abs(stream.readings["ticks"] - (times - times[0]) * 1e6) <= 0.5)


def camera(tmp_path: Path, states: list[int], head: str = "Timestamp,LedState,Region0R,Region1G") -> Path:
    """A file whose Region1G value is the row number and whose clock ticks 20 ms a row."""
    rows = "\n".join(f"{100 + 0.02 * n:.5f},{state},-1,{n}" for n, state in enumerate(states))
    path = tmp_path / "camera.csv"
    path.write_text(f"{head}\n{rows}\n")
    return path


def counts(stream: Stream, channel: str) -> list[int]:
    return [round(each * scale_of(stream.nano_units)) for each in stream.readings[channel].tolist()]


def test_a_reading_is_a_470_frame_with_the_415_frame_before_it(tmp_path: Path) -> None:
    stream = read(camera(tmp_path, [0, 2, 4, 1, 2, 4, 1, 2]))
    assert counts(stream, "signal_lit") == [4, 7]
    assert counts(stream, "control_lit") == [3, 6]
    assert stream.readings["ticks"].tolist() == [0, 60_000]
    assert stream.input_names == ()


def test_leds_are_told_by_bits_and_the_other_bits_are_inputs(tmp_path: Path) -> None:
    head = "SystemTimestamp,Flags,Region0R,Region1G"
    stream = read(camera(tmp_path, [7, 17, 18, 1, 6 + 32, 1, 2], head))
    assert counts(stream, "signal_lit") == [2, 4, 6]
    names = [
        [name for bit, name in enumerate(stream.input_names) if inputs >> bit & 1]
        for inputs in stream.readings["inputs"]
    ]
    assert names == [["out_0"], ["stimulation"], []]


def test_without_415_there_is_no_control_and_without_green_the_first_region_counts(tmp_path: Path) -> None:
    stream = read(camera(tmp_path, [2, 4] * 3, "Timestamp,LedState,Region0R,Region1R"))
    assert counts(stream, "signal_lit") == [-1] * 3
    assert stream.readings["flags"].tolist() == [FLAG_NO_CONTROL] * 3


@pytest.mark.parametrize("cycle", [[1, 2], [4, 1, 2], [1, 2, 4, 2]])
def test_no_order_break_in_a_regular_sequence(tmp_path: Path, cycle: list[int]) -> None:
    assert not read(camera(tmp_path, [0, *cycle * 20])).readings["flags"].any()


@pytest.mark.parametrize(
    ("states", "at"),
    [
        ([1, 2] * 10 + [2] + [1, 2] * 10, 10),  # a lost 415 frame
        ([1, 2] * 10 + [1] + [1, 2] * 10, 10),  # a lost 470 frame
        ([4, 1, 2] * 10 + [1, 2] + [4, 1, 2] * 10, 10),  # a lost 560 frame
    ],
)
def test_an_order_break_is_flagged_on_the_reading_after_it(tmp_path: Path, states: list[int], at: int) -> None:
    flags = read(camera(tmp_path, states)).readings["flags"]
    assert flags[at] == FLAG_DROPPED_CONVERSIONS
    assert np.count_nonzero(flags) <= 2


def test_the_frame_counter_shows_missing_readings(tmp_path: Path) -> None:
    frames = [0, 1, 2, 3, 8, 9, 10, 11]
    rows = "\n".join(f"{n},{100 + 0.02 * n},{1 + n % 2},{n}" for n in frames)
    path = tmp_path / "camera.csv"
    path.write_text(f"FrameCounter,SystemTimestamp,LedState,G0\n{rows}\n")
    assert read(path).readings["seq"].tolist() == [0, 1, 4, 5]


def test_a_computer_clock_in_milliseconds_is_understood(tmp_path: Path) -> None:
    rows = "\n".join(f"{5e7 + 20 * n},{1 + n % 2},{n}" for n in range(8))
    path = tmp_path / "camera.csv"
    path.write_text(f"ComputerTimestamp,LedState,Region0G\n{rows}\n")
    assert read(path).readings["ticks"].tolist() == [0, 40_000, 80_000, 120_000]


@pytest.mark.parametrize(
    ("states", "head", "said"),
    [
        ([1, 4] * 4, "Timestamp,LedState,Region0R,Region1G", "no frame was lit at 470"),
        ([1, 2] * 4, "Time,LedState,Region0R,Region1G", ":1: no clock"),
        ([1, 2, 1, -2], "Timestamp,LedState,Region0R,Region1G", ":5: LedState must be a whole number"),
    ],
)
def test_a_damaged_camera_file_is_refused(tmp_path: Path, states: list[int], head: str, said: str) -> None:
    assert said in complaint(camera(tmp_path, states, head))
