/* Streams, their plan, and what becomes of a reading. No register is touched here. */
#include "daq.h"

#include <string.h>

#include "board.h"
#include "framing.h"

/* A conversion starts on the converter's next clock edge after the interrupt that asks for it: one clock and a half and
 * 4 us for the interrupts of line and clock are kept in hand. */
#define CONVERSION_AT_125K_US 120
#define CONVERSION_AT_500K_US 33
#define HAND_OVER_US 30 /* from the signal phase's planned end to the next period, at least */
#define MOST_SETTLE_US 200
#define GIGA ((uint32_t)1000000000) /* microseconds in 1000 s */
#define HALF_NANO_VOLT ((uint32_t)9765625) /* 5 V / 1024 in half nanovolts */

static uint16_t conversions_us(const daq_plan_t *plan) {
    uint8_t each = plan->conversion_us == 104 ? CONVERSION_AT_125K_US : CONVERSION_AT_500K_US;
    return (uint16_t)(each * (uint16_t)plan->conversions);
}

static void choose_conversions(daq_plan_t *plan, uint32_t rate_mhz) {
    uint8_t is_slow = rate_mhz <= 250000UL;
    plan->conversion_us = is_slow ? 104 : 26;
    plan->conversions = rate_mhz <= 150000UL || (!is_slow && rate_mhz <= 500000UL) ? 16 : 8;
}

daq_plan_t daq_plan(uint32_t rate_mhz) {
    daq_plan_t plan;
    choose_conversions(&plan, rate_mhz);
    plan.period_us = (GIGA + rate_mhz / 2) / rate_mhz;
    uint32_t settle_us = (plan.period_us - HAND_OVER_US) / 3 - conversions_us(&plan);
    plan.settle_us = (uint16_t)(settle_us < MOST_SETTLE_US ? settle_us : MOST_SETTLE_US);
    plan.phase_us = (uint16_t)(plan.settle_us + conversions_us(&plan));
    return plan;
}

uint32_t daq_most_rate_mhz(uint32_t baud) {
    uint32_t by_line = baud * 8 / (DAQ_READING_FRAME * 10) * 100; /* four fifths of the line */
    return by_line < DAQ_MOST_RATE_MHZ ? by_line : DAQ_MOST_RATE_MHZ;
}

void daq_init(daq_t *daq, uint32_t baud) {
    memset(daq, 0, sizeof *daq);
    watch_init(&daq->watch);
    daq->most_rate_mhz = daq_most_rate_mhz(baud);
    daq_trigger_line(0);
}

/* A reading waits for no room: it is dropped and counted. */
static void send_taken(daq_t *daq) {
    if (!daq->is_unsent) {
        return;
    }
    daq->is_unsent = 0;
    if (daq_line_room() < DAQ_READING_FRAME + DAQ_RESERVE) {
        daq->dropped++;
        daq->lost++;
        return;
    }
    board_say(WIRE_READING, &daq->taken, sizeof daq->taken);
    daq->sent++;
}

static void say_settings(const daq_plan_t *plan) {
    uint32_t halves = (uint32_t)2 * plan->conversions;
    wire_stream_settings_t settings;
    settings.rate_mhz = (GIGA + plan->period_us / 2) / plan->period_us;
    settings.nano_units = (HALF_NANO_VOLT + plan->conversions) / halves;
    settings.inputs = DAQ_INPUTS;
    board_say(WIRE_STREAM_SETTINGS, &settings, sizeof settings);
}

/* Always from the first reading: a host that did not hear the settings asks again. */
static void start(daq_t *daq, uint32_t rate_mhz) {
    uint32_t wanted_mhz = rate_mhz == 0 ? DAQ_OWN_RATE_MHZ : rate_mhz;
    if (wanted_mhz > daq->most_rate_mhz) {
        wire_stream_refused_t refused = {daq->most_rate_mhz};
        board_say(WIRE_STREAM_REFUSED, &refused, sizeof refused);
        return;
    }
    daq_end_sampling();
    daq->plan = daq_plan(wanted_mhz < DAQ_LEAST_RATE_MHZ ? DAQ_LEAST_RATE_MHZ : wanted_mhz);
    daq->next_seq = daq->sent = daq->dropped = 0;
    daq->streaming = 1;
    daq->is_unsent = 0;
    watch_restart(&daq->watch);
    say_settings(&daq->plan);
    daq_begin_sampling(&daq->plan);
}

/* Also where nothing streams: a host that did not hear the end asks again. */
static void stop(daq_t *daq) {
    daq_end_sampling();
    send_taken(daq);
    daq->streaming = 0;
    wire_stream_end_t end = {daq->sent, daq->dropped};
    board_say(WIRE_STREAM_END, &end, sizeof end);
}

/* Settings that can't be obeyed change nothing; the host sees it by the check of those that are in force. */
static void set_watch(daq_t *daq, const uint8_t *payload) {
    wire_watch_t settings;
    memcpy(&settings, &payload[1], sizeof settings);
    watch_set(&daq->watch, &settings);
    uint8_t in_force[1 + sizeof settings] = {WIRE_WATCH};
    memcpy(&in_force[1], &daq->watch.settings, sizeof settings);
    wire_watch_set_t set = {framing_crc32(in_force, sizeof in_force)};
    board_say(WIRE_WATCH_SET, &set, sizeof set);
}

uint8_t daq_obey(daq_t *daq, const uint8_t *payload, uint8_t length) {
    if (payload[0] == WIRE_STREAM_START && length == 1 + sizeof(wire_stream_start_t)) {
        wire_stream_start_t wanted;
        memcpy(&wanted, &payload[1], sizeof wanted);
        start(daq, wanted.rate_mhz);
    } else if (payload[0] == WIRE_STREAM_STOP && length == 1) {
        stop(daq);
    } else if (payload[0] == WIRE_WATCH && length == 1 + sizeof(wire_watch_t)) {
        set_watch(daq, payload);
    } else {
        return 0;
    }
    return 1;
}

static void raise_trigger(daq_t *daq, uint32_t now) {
    daq_trigger_line(1);
    daq->trigger_is_high = 1;
    daq->trigger_since = now;
}

static void keep(daq_t *daq, const daq_sums_t *sums) {
    wire_reading_t *taken = &daq->taken;
    taken->seq = daq->next_seq++;
    taken->ticks = sums->ticks;
    taken->signal_lit = sums->signal;
    taken->control_lit = sums->control;
    taken->signal_dark = taken->control_dark = sums->dark;
    taken->inputs = sums->inputs;
    taken->flags = sums->flags;
    daq->is_unsent = 1;
}

uint8_t daq_take(daq_t *daq, const daq_sums_t *sums, uint16_t missed, uint32_t now) {
    send_taken(daq);
    daq->next_seq += missed;
    daq->dropped += missed;
    daq->lost += missed;
    keep(daq, sums);
    if (sums->flags & FLAG_DROPPED_CONVERSIONS) {
        daq->lost++;
    }
    uint8_t triggers = watch_take(&daq->watch, &daq->taken);
    if (triggers) {
        raise_trigger(daq, now);
        daq->taken.flags |= FLAG_TRIGGER;
    }
    return triggers;
}

static void end_trigger(daq_t *daq, uint32_t now) {
    if (daq->is_unsent && (daq->taken.flags & FLAG_TRIGGER)) { /* it has only just risen, after some time of judging */
        daq->trigger_since = now;
    }
    if (now - daq->trigger_since >= DAQ_TRIGGER_US) {
        daq_trigger_line(0);
        daq->trigger_is_high = 0;
    }
}

void daq_advance(daq_t *daq, uint32_t now) {
    if (daq->trigger_is_high) {
        end_trigger(daq, now);
    }
    send_taken(daq);
}
