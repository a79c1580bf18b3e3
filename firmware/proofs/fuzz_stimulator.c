/* libFuzzer target: any messages, inputs and waits to the whole stimulator core, with a witness that aborts.
 *
 * The CRC is left out, or no input would ever get past it. Each byte of the input is a choice: what is done next, and
 * with what; lengths come from tables that hold the limits and their neighbours, or are taken as they come.
 */
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "edges.h"
#include "stimulator.h"
#include "witness.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define LEAD_US 65
#define NOTICE_US 200
#define LONGEST_US 3600000000ULL /* of one input: an hour of the board's time */

static witness_t witness;
static stimulator_t board;
static uint64_t now_us;
static uint32_t first_tick;

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} input_t;

static const uint32_t US[] = {0,     1,      49,     50,     64,      65,      66,      999,     1000,
                              1001,  1999,   2000,   2001,   5000,    20000,   100000,  200000,  250000,
                              499999, 500000, 500001, 999999, 1000000, 1000001, 9000000, 10000000, UINT32_MAX};

void board_send(const void *payload, uint8_t length) {
    witness_said(&witness, payload, length);
}

static uint8_t byte(input_t *in) {
    return in->at < in->end ? *in->at++ : 0;
}

static uint32_t word(input_t *in) {
    uint32_t value = 0;
    for (int at = 0; at < 4; at++) {
        value = value << 8 | byte(in);
    }
    return value;
}

static uint32_t length_us(input_t *in) {
    uint8_t choice = byte(in);
    return choice < 224 ? US[choice % COUNT(US)] : word(in);
}

static uint32_t tick(void) {
    return first_tick + (uint32_t)now_us;
}

/* What the board does at this instant, by itself or because something was done to it. */
static void look(void) {
    witness_light(&witness, now_us, stimulator_level(&board));
}

/* The board is woken at each of its own edges, as the light's layer does it, and the light is seen just before. */
static void wait(uint64_t us) {
    uint64_t end_us = now_us + us;
    while (now_us < end_us) {
        uint32_t due = board.train.due_us;
        uint32_t end = interlock_due(&board.interlock);
        uint64_t step = due < end ? due : end;
        now_us = step < end_us - now_us ? now_us + step : end_us;
        uint16_t before = stimulator_level(&board);
        witness_light(&witness, now_us, before);
        stimulator_advance(&board, tick());
        look();
    }
}

static void say(const void *payload, uint8_t length) {
    witness_hear(&witness, payload, length);
    stimulator_obey(&board, payload, length, tick());
    look();
}

static void say_fields(uint8_t number, const void *fields, uint8_t length) {
    uint8_t payload[FRAMING_MAX_PAYLOAD] = {number};
    memcpy(&payload[1], fields, length);
    say(payload, (uint8_t)(length + 1));
}

static void say_fire(input_t *in, uint32_t train) {
    wire_fire_t fire = {.train = train, .on_us = length_us(in), .pulses = byte(in), .level = UINT16_MAX};
    fire.period_us = fire.on_us + length_us(in);
    uint8_t more = byte(in);
    fire.level = (more & 1) ? (uint16_t)word(in) : fire.level;
    fire.ramp_off_us = (more & 2) ? length_us(in) : 0;
    fire.scheduled = more >> 2 & 1;
    fire.start = (more & 8) ? word(in) : tick() + length_us(in);
    say_fields(WIRE_FIRE, &fire, sizeof fire);
}

static void say_prepare(input_t *in) {
    wire_prepare_t train = {.on_us = length_us(in), .pulses = byte(in) % 4, .level = UINT16_MAX};
    train.period_us = train.on_us + length_us(in);
    train.ramp_off_us = (byte(in) & 1) ? length_us(in) : 0;
    say_fields(WIRE_PREPARE, &train, sizeof train);
}

static void say_limits(input_t *in) {
    wire_limits_t limits;
    memset(&limits, 0xFF, sizeof limits);
    uint8_t choice = byte(in);
    limits.off_us = (choice & 1) ? length_us(in) : 0;
    limits.on_us = (choice & 2) ? length_us(in) : limits.on_us;
    limits.short_on_ms = (choice & 4) ? length_us(in) / 1000 : limits.short_on_ms;
    limits.long_on_ms = (choice & 8) ? length_us(in) / 1000 : limits.long_on_ms;
    limits.trains_per_minute = (choice & 16) ? byte(in) : limits.trains_per_minute;
    limits.lease_ms = (choice & 32) ? byte(in) : limits.lease_ms;
    limits.level = (choice & 64) ? (uint16_t)word(in) : limits.level;
    say_fields(WIRE_LIMITS, &limits, sizeof limits);
}

static void say_anything(input_t *in) {
    uint8_t payload[FRAMING_MAX_PAYLOAD];
    uint8_t length = (uint8_t)(1 + byte(in) % FRAMING_MAX_PAYLOAD);
    for (uint8_t at = 0; at < length; at++) {
        payload[at] = byte(in);
    }
    say(payload, length);
}

static void heartbeat(void) {
    wire_heartbeat_t beat = {1};
    say_fields(WIRE_HEARTBEAT, &beat, sizeof beat);
}

/* A host that is well: so that long windows can be filled by short inputs. */
static void stay_alive(uint8_t beats) {
    for (uint8_t beat = 0; beat < beats; beat++) {
        wait(250000);
        heartbeat();
    }
}

static void set_interlock(uint8_t closed) {
    witness_interlock(&witness, closed);
    stimulator_interlock(&board, closed, tick());
    look();
}

static void set_gate(uint8_t open) {
    witness_gate(&witness, open);
    stimulator_gate(&board, open, tick());
    look();
}

static void ready(void) {
    wire_limits_t limits;
    memset(&limits, 0xFF, sizeof limits);
    limits.off_us = 0;
    set_interlock(1);
    set_gate(1);
    say_fields(WIRE_LIMITS, &limits, sizeof limits);
    say((const uint8_t[]){WIRE_ARM}, 1);
}

static uint32_t next_train;

static int has_room(void) { /* for the spans of one more train */
    return witness.spans + UINT8_MAX < WITNESS_SPANS && now_us < LONGEST_US;
}

/* A policy that wants as much as it can get: so that short inputs can come up against the windows. */
static void press_on(input_t *in) {
    wire_fire_t fire = {.on_us = length_us(in), .pulses = 1, .level = UINT16_MAX};
    uint32_t rest_us = length_us(in) % 2000000;
    for (uint8_t left = byte(in) % 100; left > 0 && has_room(); left--) {
        fire.train = ++next_train;
        say_fields(WIRE_FIRE, &fire, sizeof fire);
        for (uint32_t waited_us = 0; waited_us <= fire.on_us % 2000000 + rest_us; waited_us += 250000) {
            heartbeat();
            wait(250000);
        }
        heartbeat();
    }
}

static void act(input_t *in) {
    uint8_t choice = byte(in);
    switch (choice % 16) {
        case 0: wait(length_us(in) % 100000000); break;
        case 1: say((const uint8_t[]){WIRE_ARM}, 1); break;
        case 2: say((const uint8_t[]){(choice & 16) ? WIRE_DISARM : WIRE_DARK}, 1); break;
        case 3: press_on(in); break;
        case 4: say_limits(in); break;
        case 5: set_interlock(byte(in) & 1); break;
        case 6: set_gate(byte(in) & 1); break;
        case 7: say_fire(in, word(in)); break;
        case 8: say_prepare(in); break;
        case 9: witness_trigger(&witness); stimulator_trigger(&board, tick()); look(); break;
        case 10: say_anything(in); break;
        case 11: heartbeat(); break;
        case 12: stay_alive(byte(in)); break;
        case 13: ready(); break;
        case 14: stimulator_delay(&board, byte(in)); break;
        default: say_fire(in, ++next_train); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_t in = {data, data + size};
    now_us = 0;
    next_train = 0;
    first_tick = word(&in);
    witness_init(&witness);
    stimulator_init(&board, tick(), LEAD_US, NOTICE_US);
    while (in.at < in.end && has_room()) {
        act(&in);
    }
    return 0;
}
