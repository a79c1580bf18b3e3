/* The stimulator board's behaviour: see stimulator.h. What may be lit is interlock.c's to say, when is train.c's. */
#include "stimulator.h"

#include <string.h>

#include "board.h"

#define HALF 0x80000000UL

/* What is said */

static void say_status(const stimulator_t *s, uint8_t reason) {
    wire_status_t status = {s->interlock.state, reason, s->now};
    board_say(WIRE_STATUS, &status, sizeof status);
}

static void remember(stimulator_t *s, uint8_t kind, uint32_t train, const void *said, uint8_t length) {
    if (train >= ON_BOARD_TRAIN) {
        return;
    }
    stimulator_answer_t *answer = &s->answers[s->next_answer];
    answer->train = train;
    answer->kind = kind;
    memcpy(&answer->said, said, length);
    s->next_answer = (uint8_t)((s->next_answer + 1) % STIMULATOR_ANSWERS);
}

static void say_refused(stimulator_t *s, uint32_t train, uint8_t reason) {
    wire_refused_t refused = {train, reason};
    board_say(WIRE_REFUSED, &refused, sizeof refused);
    remember(s, WIRE_REFUSED, train, &refused, sizeof refused);
}

static void say_fired(stimulator_t *s, uint8_t reason) {
    s->report.reason = reason;
    board_say(WIRE_FIRED, &s->report, sizeof s->report);
    remember(s, WIRE_FIRED, s->report.train, &s->report, sizeof s->report);
}

static void repeat_answer(const stimulator_t *s, uint32_t train) {
    for (uint8_t at = 0; at < STIMULATOR_ANSWERS; at++) {
        const stimulator_answer_t *answer = &s->answers[at];
        if (answer->train == train && answer->kind == WIRE_FIRED) {
            board_say(WIRE_FIRED, &answer->said, sizeof answer->said.fired);
        } else if (answer->train == train && answer->kind == WIRE_REFUSED) {
            board_say(WIRE_REFUSED, &answer->said, sizeof answer->said.refused);
        }
    }
}

/* Light */

static void note_rise(stimulator_t *s) {
    s->lit_since = s->now;
    if (s->report.pulses == 0) {
        s->report.on_ticks = s->now;
        wire_started_t started = {s->report.train, s->now};
        board_say(WIRE_STARTED, &started, sizeof started);
    }
    s->report.pulses++;
}

static void note_fall(stimulator_t *s) {
    s->report.off_ticks = s->now;
    s->report.lit_us += s->now - s->lit_since;
}

/* The train is over, by itself (REASON_NONE) or cut short; dark in any case. */
static void end_train(stimulator_t *s, uint8_t reason) {
    interlock_end(&s->interlock);
    if (s->lit) {
        s->lit = 0;
        note_fall(s);
    }
    uint8_t ran = s->planned;
    s->planned = 0;
    train_init(&s->train);
    if (ran && s->report.pulses > 0) {
        say_fired(s, reason);
    } else if (ran) {
        say_refused(s, s->report.train, reason);
    }
}

static void take_edge(stimulator_t *s) {
    uint8_t rises = s->train.level == 0;
    if (rises && !interlock_rise(&s->interlock)) {
        end_train(s, REASON_OFF_TIME);
        return;
    }
    uint8_t is_last = train_take_edge(&s->train);
    if (rises) {
        s->lit = 1;
        note_rise(s);
    } else if (is_last) {
        end_train(s, REASON_NONE);
    } else if (s->train.level == 0) {
        interlock_fall(&s->interlock);
        s->lit = 0;
        note_fall(s);
    }
}

static void say_trip(const stimulator_t *s) {
    wire_trip_t trip = {s->interlock.trip_reason, s->now};
    board_say(WIRE_TRIP, &trip, sizeof trip);
    say_status(s, s->interlock.trip_reason);
}

/* Follows what the interlock did by itself, then takes the edges that are due now. */
static void settle(stimulator_t *s, uint8_t state_before) {
    if (s->interlock.state == STATE_TRIPPED && state_before != STATE_TRIPPED) {
        end_train(s, s->interlock.trip_reason);
        say_trip(s);
    }
    while (s->train.due_us == 0) {
        take_edge(s);
    }
    if (s->lit && !s->interlock.lit) {
        end_train(s, REASON_ON_TIME);
    }
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

void stimulator_advance(stimulator_t *s, uint32_t now) {
    while (now != s->now && now - s->now < HALF) {
        uint32_t step = least(now - s->now, least(interlock_due(&s->interlock), s->train.due_us));
        uint8_t before = s->interlock.state;
        interlock_pass(&s->interlock, step);
        train_pass(&s->train, step);
        s->now += step;
        settle(s, before);
    }
}

/* Requests */

static uint32_t wait_us(const stimulator_t *s, const wire_fire_t *fire) {
    return fire->scheduled ? fire->start - s->now : s->lead_us;
}

static uint8_t refusal(stimulator_t *s, const wire_fire_t *fire) {
    uint8_t reason = interlock_ready(&s->interlock);
    if (reason != REASON_NONE || s->planned) {
        return reason != REASON_NONE ? reason : REASON_BUSY;
    }
    uint32_t wait = wait_us(s, fire);
    if (!train_is_sound(fire->on_us, fire->period_us, fire->pulses, s->interlock.limits.off_us) ||
        fire->scheduled > 1 || (wait < HALF && wait > TRAIN_LONGEST_WAIT_US)) {
        return REASON_BAD_REQUEST;
    }
    if (wait >= HALF || (fire->scheduled && wait < s->notice_us)) {
        return REASON_LATE;
    }
    interlock_train_t asked = {fire->on_us, fire->ramp_off_us, wait, fire->pulses, fire->level};
    return interlock_grant(&s->interlock, &asked);
}

static void begin(stimulator_t *s, const wire_fire_t *fire) {
    uint8_t reason = refusal(s, fire);
    if (reason != REASON_NONE) {
        say_refused(s, fire->train, reason);
        return;
    }
    memset(&s->report, 0, sizeof s->report);
    s->report.train = fire->train;
    s->planned = 1;
    s->train.on_us = fire->on_us;
    s->train.period_us = fire->period_us;
    s->train.ramp_off_us = fire->ramp_off_us;
    s->train.pulses_left = fire->pulses;
    s->train.full = fire->level;
    train_begin(&s->train, wait_us(s, fire));
}

/* Numbers rise within a session: one that is not above the last is never lit, however late it comes or how often. */
static void on_fire(stimulator_t *s, const wire_fire_t *fire) {
    if (fire->train >= ON_BOARD_TRAIN) {
        say_refused(s, fire->train, REASON_BAD_REQUEST);
    } else if (fire->train <= s->last_train) {
        repeat_answer(s, fire->train);
    } else {
        s->last_train = fire->train;
        begin(s, fire);
    }
}

static wire_fire_t prepared_train(const stimulator_t *s, uint32_t train) {
    wire_fire_t fire = {
        .train = train,
        .on_us = s->prepared.on_us,
        .period_us = s->prepared.period_us,
        .pulses = s->prepared.pulses,
        .level = s->prepared.level,
        .ramp_off_us = s->prepared.ramp_off_us,
        .scheduled = 0,
        .start = 0,
    };
    return fire;
}

void stimulator_trigger(stimulator_t *s, uint32_t now) {
    stimulator_advance(s, now);
    if (s->prepared.pulses == 0 || !s->prepared.by_trigger || s->planned ||
        interlock_ready(&s->interlock) == REASON_NOT_ARMED) {
        return;
    }
    s->on_board_trains++;
    wire_fire_t fire = prepared_train(s, ON_BOARD_TRAIN + s->on_board_trains);
    begin(s, &fire);
    settle(s, s->interlock.state);
}

static void on_begin(stimulator_t *s, const uint8_t *fields) {
    wire_begin_t asked;
    memcpy(&asked, fields, sizeof asked);
    wire_fire_t fire = prepared_train(s, asked.train);
    on_fire(s, &fire);
}

static void on_limits(stimulator_t *s, const wire_limits_t *limits) {
    if (s->interlock.state != STATE_ARMED) { /* a new session; the dose is not forgotten */
        s->last_train = 0;
        memset(s->answers, 0, sizeof s->answers);
        memset(&s->prepared, 0, sizeof s->prepared);
    }
    uint8_t said[1 + sizeof(wire_limits_t)] = {WIRE_LIMITS};
    wire_limits_t in_force = interlock_set_limits(&s->interlock, limits);
    memcpy(&said[1], &in_force, sizeof in_force);
    wire_limits_set_t answer = {framing_crc32(said, sizeof said)};
    board_say(WIRE_LIMITS_SET, &answer, sizeof answer);
}

static void on_prepare(stimulator_t *s, const uint8_t *payload, uint8_t length) {
    memcpy(&s->prepared, &payload[1], sizeof s->prepared);
    wire_prepared_t answer = {framing_crc32(payload, length)};
    board_say(WIRE_PREPARED, &answer, sizeof answer);
}

static void on_dark(stimulator_t *s, uint8_t reason) {
    interlock_disarm(&s->interlock);
    end_train(s, reason);
    say_status(s, s->interlock.state == STATE_TRIPPED ? s->interlock.trip_reason : reason);
}

void stimulator_init(stimulator_t *s, uint32_t now, uint32_t lead_us, uint32_t notice_us) {
    memset(s, 0, sizeof *s);
    interlock_init(&s->interlock);
    train_init(&s->train);
    s->now = now;
    s->lead_us = lead_us;
    s->notice_us = notice_us;
}

static uint8_t obey_fields(stimulator_t *s, const uint8_t *payload, uint8_t length) {
    const uint8_t *fields = &payload[1];
    uint8_t size = (uint8_t)(length - 1);
    if (payload[0] == WIRE_HEARTBEAT && size == sizeof(wire_heartbeat_t)) {
        interlock_heartbeat(&s->interlock);
    } else if (payload[0] == WIRE_BEGIN && size == sizeof(wire_begin_t)) {
        on_begin(s, fields);
    } else if (payload[0] == WIRE_FIRE && size == sizeof(wire_fire_t)) {
        wire_fire_t fire;
        memcpy(&fire, fields, sizeof fire);
        on_fire(s, &fire);
    } else if (payload[0] == WIRE_LIMITS && size == sizeof(wire_limits_t)) {
        wire_limits_t limits;
        memcpy(&limits, fields, sizeof limits);
        on_limits(s, &limits);
    } else if (payload[0] == WIRE_PREPARE && size == sizeof(wire_prepare_t)) {
        on_prepare(s, payload, length);
    } else {
        return 0;
    }
    return 1;
}

static uint8_t obey_word(stimulator_t *s, uint8_t number) {
    switch (number) {
        case WIRE_DARK:
            on_dark(s, REASON_HOST_DARK);
            return 1;
        case WIRE_DISARM:
            on_dark(s, REASON_HOST_DISARMED);
            return 1;
        case WIRE_ARM:
            say_status(s, interlock_arm(&s->interlock));
            return 1;
        default:
            return 0;
    }
}

uint8_t stimulator_obey(stimulator_t *s, const uint8_t *payload, uint8_t length, uint32_t now) {
    stimulator_advance(s, now);
    uint8_t before = s->interlock.state;
    uint8_t obeyed = length == 1 ? obey_word(s, payload[0]) : obey_fields(s, payload, length);
    s->ignored = (uint16_t)(s->ignored + !obeyed);
    settle(s, before);
    return obeyed;
}

void stimulator_interlock(stimulator_t *s, uint8_t closed, uint32_t now) {
    stimulator_advance(s, now);
    uint8_t before = s->interlock.state;
    uint8_t opens = s->interlock.closed && !closed;
    interlock_input(&s->interlock, closed);
    settle(s, before);
    if (opens && before == STATE_TRIPPED) {
        say_status(s, s->interlock.trip_reason);
    }
}

void stimulator_gate(stimulator_t *s, uint8_t open, uint32_t now) {
    stimulator_advance(s, now);
    interlock_gate(&s->interlock, open);
    if (!open && s->planned) {
        end_train(s, REASON_GATE_CLOSED);
    }
}

void stimulator_shorten_lease(stimulator_t *s, uint32_t us) {
    if (s->interlock.lease_left_us > us) {
        s->interlock.lease_left_us -= us;
    }
}

void stimulator_delay(stimulator_t *s, uint32_t us) {
    if (s->planned && s->report.pulses == 0) {
        s->train.due_us += us;
    }
}

/* What can be seen */

uint16_t stimulator_level(const stimulator_t *s) {
    return s->interlock.lit ? s->train.level : 0;
}
