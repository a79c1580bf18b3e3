/* The DAQ's core behind a few plain functions, for tests that hold it against its twin in Python. */
#include <string.h>

#include "board.h"
#include "daq.h"

static daq_t daq;
static uint8_t out[1 << 14];
static uint32_t out_length;
static uint8_t room;
static char log_of_doings[64]; /* S: sampling began, E: it ended, T: trigger rose, t: it fell, M: a message was sent */
static uint32_t doings;

static void note(char what) {
    if (doings < sizeof log_of_doings - 1) {
        log_of_doings[doings++] = what;
    }
}

static void put(uint8_t byte) {
    if (out_length < sizeof out) {
        out[out_length++] = byte;
    }
}

void board_send(const void *payload, uint8_t length) {
    note('M');
    framing_send(payload, length, put);
}

void daq_begin_sampling(const daq_plan_t *plan) {
    (void)plan;
    note('S');
}

void daq_end_sampling(void) {
    note('E');
}

uint8_t daq_line_room(void) {
    return room;
}

void daq_trigger_line(uint8_t high) {
    note(high ? 'T' : 't');
}

void twin_start(uint32_t baud) {
    out_length = 0;
    room = 255;
    daq_init(&daq, baud);
    memset(log_of_doings, 0, sizeof log_of_doings);
    doings = 0;
}

void twin_room(uint8_t bytes) {
    room = bytes;
}

int twin_obey(const uint8_t *payload, uint8_t length) {
    return daq_obey(&daq, payload, length);
}

int twin_take(const uint16_t sums[5], uint32_t ticks, uint16_t missed, uint32_t now) {
    daq_sums_t taken = {ticks, sums[0], sums[1], sums[2], sums[3], sums[4]};
    return daq_take(&daq, &taken, missed, now);
}

void twin_advance(uint32_t now) {
    daq_advance(&daq, now);
}

uint32_t twin_lost(void) {
    return daq.lost;
}

/* Reads what was sent, and what was done, since the last call. */
uint32_t twin_output(uint8_t *bytes) {
    uint32_t length = out_length;
    memcpy(bytes, out, length);
    out_length = 0;
    return length;
}

void twin_doings(char *text) {
    memcpy(text, log_of_doings, sizeof log_of_doings);
    memset(log_of_doings, 0, sizeof log_of_doings);
    doings = 0;
}

void twin_plan(uint32_t rate_mhz, uint32_t out_plan[5]) {
    daq_plan_t plan = daq_plan(rate_mhz);
    uint32_t values[5] = {plan.period_us, plan.phase_us, plan.settle_us, plan.conversions, plan.conversion_us};
    memcpy(out_plan, values, sizeof values);
}

int watch_twin_set(const uint8_t *fields) {
    wire_watch_t settings;
    memcpy(&settings, fields, sizeof settings);
    return watch_set(&daq.watch, &settings);
}

void watch_twin_restart(void) {
    watch_restart(&daq.watch);
}

int watch_twin_take(const uint8_t *fields) {
    wire_reading_t reading;
    memcpy(&reading, fields, sizeof reading);
    return watch_take(&daq.watch, &reading);
}

void watch_twin_state(uint32_t state[8]) {
    const watch_t *watch = &daq.watch;
    uint32_t values[8] = {watch->signal, watch->control, watch->known, watch->seen,
                          watch->held,   watch->above,   watch->high,  watch->resting};
    memcpy(state, values, sizeof values);
}
