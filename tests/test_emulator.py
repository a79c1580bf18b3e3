"""Each thing that the emulator claims about a board, with a probe firmware. None of it was compared with silicon."""

from __future__ import annotations

import itertools
import json
import os
import select
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from emulator import library
from emulator.bench import Bench
from emulator.board import Cause, Kind, StoppedError
from emulator.bridge import Ftdi, Ideal, Uno16U2
from emulator.faults import Faults, Rates
from emulator.monitor import Monitor
from emulator.plant import Animal, Optics, Plant

MS = 1_000_000
LIGHT_BIT = {"atmega328p": 1, "atmega2560": 5}
TRIGGER = {"atmega328p": ("EICRA", 0x03, 0x01), "atmega2560": ("EICRB", 0x03, 0x10)}


@pytest.fixture(scope="module", autouse=True)
def _toolchain():
    absent = library.missing()
    if absent and os.environ.get("CI"):
        pytest.fail(absent)
    if absent:
        pytest.skip(absent)


@pytest.fixture(params=["atmega328p", "atmega2560"])
def board(request):
    monitor = Monitor(request.param)
    yield monitor
    monitor.close()


@pytest.fixture
def uno():
    monitor = Monitor()
    yield monitor
    monitor.close()


# The port


@pytest.mark.parametrize(
    ("ubrr", "control", "cycles"), [(1, 0x02, 160), (3, 0x02, 320), (16, 0x02, 1360), (8, 0x00, 1440)]
)
def test_a_byte_takes_ten_bits_of_the_rate_that_is_set(board, ubrr, control, cycles):
    board.send(b"T\x20")
    board.wait(20_000)
    board.receive()
    board.poke_register("UBRR0L", ubrr)
    board.poke_register("UCSR0A", control)
    board.wait(10 * MS)
    dues = [board.cycle_of(ns) for ns, _ in board.receive_timed()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(dues)]
    assert set(gaps[3:]) <= {cycles - 1, cycles, cycles + 1}


def test_two_bytes_are_buffered_on_the_way_out_so_that_the_line_is_never_idle(board):
    board.send(b"T\x40")
    board.wait(2 * MS)
    dues = [ns for ns, _ in board.receive_timed()]
    assert len(dues) == 64
    assert dues[-1] - dues[0] == pytest.approx(63 * 10_000, abs=100)


def test_a_byte_is_readable_only_when_its_last_bit_is_out(uno):
    uno.send(b"R\x24\x00", uno.now_ns)
    asked_ns = uno.now_ns
    uno.wait(1 * MS)
    [(due_ns, _)] = uno.receive_timed()
    assert due_ns > asked_ns + 4 * 10_000  # three bytes in, one out
    assert due_ns < asked_ns + 5 * 10_000


def test_a_board_that_is_deaf_for_a_while_keeps_three_bytes_and_sees_the_overrun(board):
    reply = board.ask(b"Q\x14abcdefg", 1 * MS)
    assert reply[0] == 3
    assert reply[2::2] == b"abc"
    assert reply[1] & 0x08, "DOR0"
    assert [chr(event.value) for event in board.of_kind(Kind.OVERRUN)] == list("defg")


def test_bytes_that_are_read_in_time_are_never_lost(board):
    for _ in range(50):
        assert board.read("UBRR0L") == 1
    assert not board.of_kind(Kind.OVERRUN)


def test_received_frames_are_logged_with_their_message_number(uno):
    uno.send(b"\x03\x20\x07\x01\x00")
    uno.wait(1 * MS)
    [event] = uno.of_kind(Kind.RECEIVED)
    assert event.value == 0x20


# The compare output: the light gate


def arrange_light(board, at):
    board.write(DDRB=1 << LIGHT_BIT[board.mcu], TCCR1B=2)
    board.write_together(("OCR1AH", at >> 8), ("OCR1AL", at & 0xFF), ("TCNT1H", 0), ("TCNT1L", 0))
    board.write(TCCR1A=0xC0)


def test_a_pulse_set_and_cleared_by_compare_has_its_width_to_four_cycles(board):
    arrange_light(board, 10_000)
    board.wait(6 * MS)
    assert [edge.level for edge in board.light_edges()] == [1]
    board.write(TCCR1A=0x80)
    board.write16("OCR1A", 22_000)
    board.wait(8 * MS)
    rise, fall = board.light_edges()
    assert abs(fall.cycle - rise.cycle - 12_000 * 8) <= 4


def test_writes_to_compare_registers_and_overflows_do_not_move_the_pin(board):
    arrange_light(board, 10_000)
    board.wait(6 * MS)
    board.write(TCCR1A=0x80)
    for at in (100, 200, 300):
        board.write16("OCR1B", at)
        board.write16("OCR1A", at)
    board.wait(22 * MS)
    assert [edge.level for edge in board.light_edges()] == [1]  # TCNT1 has not come round to 300 again
    board.wait(10 * MS)
    assert [edge.level for edge in board.light_edges()] == [1, 0]


def test_disconnecting_the_compare_output_hands_the_pin_to_the_port_at_once(board):
    arrange_light(board, 10_000)
    board.wait(6 * MS)
    before = board.cycle
    board.write(TCCR1A=0)
    assert [edge.level for edge in board.light_edges()] == [1, 0]
    assert before < board.light_edges()[1].cycle < before + 4000


def test_force_output_compare_moves_the_latch(board):
    board.write(DDRB=1 << LIGHT_BIT[board.mcu], TCCR1A=0xC0, TCCR1C=0x80)
    assert [edge.level for edge in board.light_edges()] == [1]
    board.write(TCCR1A=0x80, TCCR1C=0x80)
    assert [edge.level for edge in board.light_edges()] == [1, 0]


def test_a_pin_that_is_no_output_counts_as_dark(board):
    board.write(PORTB=1 << LIGHT_BIT[board.mcu])
    assert not board.light_edges()
    board.write(DDRB=1 << LIGHT_BIT[board.mcu])
    assert [edge.level for edge in board.light_edges()] == [1]


def test_the_level_is_the_duty_of_timer_2(board):
    board.write(OCR2B=40, TCCR2A=0x23, TCCR2B=1)
    board.write(OCR2B=200)
    board.write(TCCR2A=0x03)
    assert [event.value for event in board.of_kind(Kind.LEVEL)] == [40, 200, 256]


# Interrupts


def test_compare_b_interrupts_once_per_round_of_the_timer(board):
    board.write(TCCR1B=2, OCR1BH=0x40, OCR1BL=0, TIFR1=0x07, TIMSK1=0x05)
    board.ask(b"I")
    board.wait(131_072_000)  # four rounds of 65536 half microseconds
    assert board.peek("matches_b") == pytest.approx(4, abs=1)
    assert board.peek("overflows") == 4


def test_a_flag_register_is_cleared_only_where_a_one_is_written(board):
    board.write(OCR1AH=0, OCR1AL=10, OCR1BH=0, OCR1BL=20, TCCR1B=2)
    board.wait(40 * MS)
    assert board.read("TIFR1") & 0x07 == 0x07
    board.write(TIFR1=0x02)
    assert board.read("TIFR1") & 0x05 == 0x05


def test_an_interrupt_enabled_after_its_flag_fires(board):
    board.write(OCR1AH=0x80, OCR1AL=0, TCCR1B=2)
    board.wait(20 * MS)
    board.ask(b"I")
    board.write(TIMSK1=0x02)
    assert board.peek("matches_a") == 1


def test_a_trigger_line_interrupts_on_its_rising_edge_alone(board):
    control, rising, enable = TRIGGER[board.mcu]
    board.set_pin("D2", False)
    board.write(**{control: rising}, EIFR=0xFF, EIMSK=enable)
    board.ask(b"I")
    for level in (True, True, False, True, False):
        board.set_pin("D2", level)
        board.wait(1 * MS)
    assert board.peek("triggers") == 2


def test_a_pin_held_low_interrupts_nobody_who_did_not_ask(board):
    board.set_pin("D2", True)
    board.set_pin("D2", False)
    board.write(**{TRIGGER[board.mcu][0]: TRIGGER[board.mcu][1]}, EIMSK=TRIGGER[board.mcu][2])
    board.ask(b"I")
    board.wait(5 * MS)
    assert board.peek("triggers") == 0


# Inputs


def test_an_undriven_input_reads_its_pull_up_and_a_driven_one_what_drives_it(board):
    port, bit = board.bit("D12")
    board.write(**{f"PORT{port}": 1 << bit})
    assert board.read(f"PIN{port}") >> bit & 1
    board.set_pin("D12", False)
    board.write(**{f"PORT{port}": 1 << bit | 1})
    assert not board.read(f"PIN{port}") >> bit & 1


def test_an_input_keeps_its_level_through_a_reset(board):
    port, bit = board.bit("D12")
    board.set_pin("D12", True)
    board.reset()
    board.wait(1 * MS)
    assert board.read(f"PIN{port}") >> bit & 1


# The converter


def convert(board, *, control=0xC7, mux=0x40):
    board.write(ADMUX=mux, ADCSRA=control)
    board.wait(1 * MS)
    return board.read("ADCL") | board.read("ADCH") << 8


@pytest.mark.parametrize(("mv", "counts"), [(0, 0), (4.882, 0), (4.883, 1), (2500, 512), (4999, 1023), (6000, 1023)])
def test_counts_are_1024_for_the_reference(board, mv, counts):
    board.set_adc_mv("A0", mv)
    assert convert(board) == counts


@pytest.mark.parametrize(("prescaler", "clock"), [(7, 128), (6, 64), (5, 32), (4, 16), (3, 8), (2, 4)])
def test_a_conversion_takes_13_converter_clocks_and_the_first_25(uno, prescaler, clock):
    uno.write(ADMUX=0x40)
    uno.ask(b"I")
    for clocks in (25, 13):
        begun = uno.cycle
        uno.send(bytes((ord("W"), 0x7A, 0, 0xC8 | prescaler)))
        taken = uno.watch("conversions", begun) - 640  # the request's four bytes
        assert clocks * clock <= taken <= clocks * clock + 160
        uno.ns = uno.now_ns


def test_the_voltage_is_taken_at_the_start_and_not_when_it_is_read(uno):
    uno.set_adc_mv("A0", 1000)
    uno.write(ADMUX=0x40, ADCSRA=0xC7)
    uno.set_adc_mv("A0", 4000)
    uno.write(ADMUX=0x41)
    assert uno.read("ADCL") | uno.read("ADCH") << 8 == 1000 * 1024 // 5000


def test_a_result_stays_until_the_next_conversion_is_done(uno):
    uno.set_adc_mv("A0", 1000)
    first = convert(uno)
    uno.set_adc_mv("A0", 4000)
    uno.send(b"W\x7a\x00\xc7R\x78\x00R\x79\x00")  # 104 us for the conversion, 70 for the request
    uno.wait(1 * MS)
    assert int.from_bytes(uno.receive(), "little") == first


def test_the_converters_flag_is_cleared_by_a_one_and_kept_by_a_zero(board):
    convert(board)
    board.write(ADCSRA=0x87)
    assert board.read("ADCSRA") & 0x10
    board.write(ADCSRA=0x97)
    assert not board.read("ADCSRA") & 0x10


def test_noise_is_gaussian_and_the_same_for_the_same_seed():
    def draw(seed):
        board = Monitor(seed=seed)
        board.set_adc_mv("A0", 2500, 25)
        drawn = [convert(board) for _ in range(150)]
        board.close()
        return drawn

    first = draw(1)
    assert first == draw(1)
    assert first != draw(2)
    assert statistics.mean(first) == pytest.approx(511.5, abs=2)
    assert statistics.stdev(first) == pytest.approx(25 * 1024 / 5000, rel=0.25)


def test_the_plant_follows_the_led_pins(uno):
    Plant(uno, Optics(400, 900, 1500, 0, 0))
    seen = []
    for leds in (0, 1 << 5, 1 << 6):
        uno.write(DDRD=0x60, PORTD=leds)
        seen.append(convert(uno))
    assert seen == [mv * 1024 // 5000 for mv in (400, 1300, 1900)]


def test_an_animal_is_inhibited_by_light_and_recovers():
    animal = Animal(lambda _: 0.2, inhibition_s=0.05, recovery_s=0.5)
    assert animal.dff(1.0, False) == pytest.approx(0.2)
    assert animal.dff(1.5, True) < 0.001
    assert animal.dff(5.0, False) > 0.19


# SPI and EEPROM


def test_an_spi_byte_takes_eight_clocks_and_is_logged(board):
    board.write(SPCR=0x50, SPSR=1)
    begun = board.cycle
    board.write(SPDR=0xA5)
    [event] = board.of_kind(Kind.SPI)
    assert event.value == 0xA5
    assert 8 * 2 <= event.cycle - begun < 1000
    assert board.read("SPSR") & 0x80


def test_eeprom_is_empty_at_first_and_keeps_what_is_written_through_a_reset(board):
    def stored():
        board.write(EEARH=0, EEARL=3, EECR=1)
        return board.read("EEDR")

    assert stored() == 0xFF
    board.write(EEDR=0x5A)
    board.ask(b"P", 10 * MS)
    board.reset()
    board.wait(1 * MS)
    assert stored() == 0x5A


def test_an_eeprom_write_takes_3400_microseconds_and_another_waits_for_it(board):
    board.write(EEARH=0, EEARL=3, EEDR=0x5A)
    board.ask(b"P")
    assert board.read("EECR") & 2
    board.write(EEDR=0x77)
    board.ask(b"P", 2 * MS)
    assert board.read("EECR") & 2
    board.wait(1 * MS)
    assert not board.read("EECR") & 2
    assert board.peek_eeprom(3) == 0x5A


def test_ram_at_power_up_differs_from_board_to_board():
    found = []
    for seed in (0, 1, 1):
        board = Monitor(seed=seed)
        found.append([board.peek("survivor"), board.peek("noise")])
        board.close()
    assert found[0] != found[1] == found[2]


# Resets


@pytest.mark.parametrize("cause", list(Cause))
def test_a_reset_drops_every_output_and_says_its_cause(board, cause):
    board.write(DDRB=0xFF, PORTB=0xFF)
    at = board.cycle
    board.reset(cause)
    assert board.light_edges()[-1].level == 0
    assert board.light_edges()[-1].cycle - at < 8
    board.wait(1 * MS)
    assert board.peek("cause") == cause


def test_a_reset_in_the_middle_of_a_compare_pulse_is_dark_and_stays_dark(board):
    arrange_light(board, 10_000)
    board.wait(6 * MS)
    board.reset()
    board.wait(100 * MS)
    assert [edge.level for edge in board.light_edges()] == [1, 0]


def test_a_hung_program_is_reset_by_the_watchdog_and_its_pins_drop(board):
    board.write(DDRB=0xFF, PORTB=0xFF)
    begun = board.cycle
    board.ask(b"H", 30 * MS)
    assert board.peek("cause") == 8
    fall = board.light_edges()[-1]
    assert fall.level == 0
    assert 15 * 16_000 < fall.cycle - begun < 18 * 16_000
    assert board.read("UBRR0L") == 1, "the board runs again"


def test_a_bootloader_stands_still_and_the_program_starts_late(uno):
    uno.reset(still_s=1.0)
    uno.ns = uno.now_ns
    uno.wait(1 * MS)
    assert uno.read("UBRR0L") == 1
    assert uno.now_ns > 1_000 * MS


def test_ram_survives_a_reset_unless_power_was_lost(uno):
    uno.poke("survivor", 0xBEEF)
    uno.reset()
    assert uno.peek("survivor") == 0xBEEF
    uno.reset(Cause.POWER_ON, garbage=7)
    assert uno.peek("survivor") != 0xBEEF


def test_bytes_on_their_way_out_are_lost_in_a_reset(uno):
    uno.send(b"T\x20")
    uno.wait(100_000)
    sent = len(uno.receive())
    uno.reset()
    uno.wait(1 * MS)
    assert sent > 0
    assert uno.receive() == b""


# Time


def test_sleeping_costs_no_wall_time_and_the_clock_goes_on(uno):
    uno.ask(b"S")
    uno.wait(1000 * MS * 60)
    assert uno.now_ns >= 60_000 * MS


def test_sleep_with_interrupts_off_is_a_failed_run(uno):
    uno.write(SMCR=1)
    with pytest.raises(StoppedError, match="stopped"):
        uno.ask(b"Z")


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_a_crystal_that_is_off_counts_more_or_fewer_cycles(ppm):
    board = Monitor(ppm=ppm)
    board.ask(b"S")
    board.wait(1000 * MS - board.ns)
    assert board.cycle == pytest.approx(16_000_000 + 16 * ppm, abs=8)
    board.close()


def test_equal_inputs_give_bit_identical_logs():
    hashes = []
    for _ in range(2):
        board = Monitor(seed=3)
        arrange_light(board, 10_000)
        board.wait(40 * MS)
        hashes.append(board.log_hash())
        board.close()
    assert hashes[0] == hashes[1]


def test_a_variable_that_is_not_there_is_named_with_those_that_are(uno):
    with pytest.raises(KeyError, match="matches_a"):
        uno.peek("nothing")


# Bridges


def sent(count, every_us=100):
    return [(i * every_us * 1000, i & 0xFF) for i in range(count)]


def test_the_ideal_bridge_holds_nothing_and_invents_nothing():
    bridge = Ideal()
    assert bridge.take(sent(10), 450_000) == bytes(range(5))
    assert bridge.take([], 10 * MS) == bytes(range(5, 10))


def test_the_16u2_holds_a_short_packet_to_its_timer_and_the_next_usb_frame():
    bridge = Uno16U2()
    assert bridge.take([(100_000, 1)], 4_999_999) == b""
    assert bridge.take([], 5 * MS) == b"\x01"
    assert bridge.take([(5 * MS, 2)], 8 * MS) == b""
    assert bridge.take([], 9 * MS) == b"\x02"  # 8.192 ms, rounded up to a frame


def test_the_16u2_lets_go_of_more_than_96_bytes_at_once():
    bridge = Uno16U2()
    assert len(bridge.take([(10_000 * i, 0) for i in range(97)], 1 * MS)) == 97


@pytest.mark.parametrize("latency_ms", [1, 16])
def test_ftdi_holds_a_byte_for_its_latency(latency_ms):
    bridge = Ftdi(latency_ms)
    assert bridge.take([(100_000, 1)], latency_ms * MS - 1) == b""
    assert bridge.take([], latency_ms * MS) == b"\x01"


def test_ftdi_sends_62_bytes_at_once_and_starts_its_timer_anew():
    bridge = Ftdi(16)
    assert len(bridge.take([(10_000 * i, 0) for i in range(63)], 1 * MS)) == 62
    assert len(bridge.take([], 16 * MS)) == 0
    assert len(bridge.take([], 17 * MS)) == 1


@pytest.mark.parametrize("bridge", [Uno16U2(), Ftdi(1), Ftdi(16), Ideal()])
def test_no_bridge_loses_or_reorders(bridge):
    out = b"".join(bridge.take(sent(2000)[i : i + 7], i * 100_000) for i in range(0, 2000, 7))
    assert out + bridge.take([], 10**10) == bytes(byte for _, byte in sent(2000))


# Faults


def test_faults_strike_at_their_rate_and_the_same_for_the_same_seed():
    data = bytes(range(1, 256)) * 400
    once, again = Faults(Rates(flip=1e-3), 5), Faults(Rates(flip=1e-3), 5)
    assert once.through(data) == again.through(data)
    assert 60 < once.counts["flip"] < 150


def test_frames_are_lost_doubled_and_swapped_whole():
    frames = [bytes((i % 250 + 1, 7, 0)) for i in range(2000)]
    faults = Faults(Rates(frame_drop=0.01, frame_double=0.01, frame_swap=0.01), 1)
    out = faults.through(b"".join(frames)).split(b"\0")
    assert {len(frame) for frame in out} == {0, 2}
    assert min(faults.counts[name] for name in ("frame_drop", "frame_double", "frame_swap")) > 5
    waiting = 2000 + faults.counts["frame_double"] - faults.counts["frame_drop"] - (len(out) - 1)
    assert waiting in {0, 1, 2}  # the last one may still wait for its successor


# The bench


def test_a_wire_carries_an_edge_to_another_board_within_a_slice():
    bench = Bench(sender=Monitor(), receiver=Monitor("atmega2560", ppm=200))
    bench.wire("sender", "D7", "receiver", "D2")
    sender, receiver = bench.boards["sender"], bench.boards["receiver"]
    bench.run(1 * MS)
    for request in (b"W\x2a\x00\x80", b"W\x2b\x00\x80"):
        bench.lines["sender"].write(request)
        bench.run(bench.now_ns + 1 * MS)
    [edge] = sender.edges("D7")
    [taken] = [event for event in receiver.of_kind(Kind.INPUT) if event.value & 1]
    assert abs(receiver.ns_of(taken.cycle) - edge.ns) < 1_000


def test_the_host_is_called_in_lock_step_and_not_while_it_stands_still():
    bench = Bench(board=Monitor())
    bench.stalled_until_ns = 3 * MS
    calls = []
    bench.run(5 * MS, calls.append, step_ns=500_000)
    assert calls == [3 * MS, 3_500_000, 4 * MS, 4_500_000, 5 * MS]


def test_a_cut_line_loses_both_ways_and_is_whole_when_it_is_plugged_in_again():
    bench = Bench(board=Monitor())
    line = bench.lines["board"]
    line.cut = True
    line.write(b"R\xc4\x00")
    bench.run(2 * MS)
    line.cut = False
    line.write(b"R\xc4\x00")
    bench.run(4 * MS)
    assert line.read() == b"\x01"


def test_the_bench_is_deterministic_with_faults_and_bridges():
    def once():
        bench = Bench(a=Monitor(seed=1), b=Monitor("atmega2560", seed=2, ppm=-50))
        bench.wire("a", "D8", "b", "A1")
        line = bench.connect("a", Uno16U2(), Rates(flip=0.01), seed=4)
        heard = bytearray()

        def host(now_ns):
            heard.extend(line.read())
            if now_ns % MS == 0:
                line.write(b"R\xc4\x00W\x25\x00" + bytes((now_ns // MS & 1,)) + b"W\x24\x00\x01")

        bench.run(60 * MS, host)
        return bench.log_hash(), bytes(heard)

    assert once() == once()


# Real time


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX only")
def test_the_rig_behind_pseudo_terminals_answers_and_logs_in_board_time(tmp_path):
    elf, log = library.make("atmega328p/monitor.elf"), tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "emulator.pty_rig", "--stimulator", str(elf), "--log", str(log)]
    environment = {**os.environ, "PYTHONPATH": str(Path(library.__file__).parents[1])}
    rig = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    port = os.open(json.loads(rig.stdout.readline())["stimulator"], os.O_RDWR | os.O_NOCTTY)
    os.write(port, b"W\x24\x00\x02W\x25\x00\x02R\xc4\x00")
    answered, _, _ = select.select([port], [], [], 10)
    assert answered
    assert os.read(port, 1) == b"\x01"
    os.close(port)
    rig.stdin.close()
    assert rig.wait(10) == 0
    rig.stdout.close()
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["level"] for row in rows if row["event"] == "light"] == [1]
    assert rows[-1]["event"] == "end"
    assert "longest_lag_us" in rows[-1]
