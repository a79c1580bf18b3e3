/* What a stimulator's light must keep to, judged from outside: see witness.h. */
#include "witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"

#define NEVER UINT64_MAX

static void insist(int holds, const char *property) {
    if (!holds) {
        fprintf(stderr, "BROKEN: %s\n", property);
        abort();
    }
}

static uint32_t tighter(uint32_t wanted, uint32_t ceiling) {
    return wanted < ceiling ? wanted : ceiling;
}

void witness_init(witness_t *w) {
    memset(w, 0, sizeof *w);
}

static void disarm(witness_t *w) {
    w->armed = 0;
    w->asked = 0;
}

static uint64_t lit_within(const witness_t *w, uint64_t now_us, uint64_t window_us) {
    uint64_t since_us = now_us > window_us ? now_us - window_us : 0;
    uint64_t sum_us = 0;
    for (uint32_t at = w->spans; at-- > 0 && w->span[at].fall_us > since_us;) {
        uint64_t from_us = w->span[at].rise_us > since_us ? w->span[at].rise_us : since_us;
        sum_us += w->span[at].fall_us - from_us;
    }
    return sum_us;
}

/* While light is on, the sum over a window that ends now cannot fall: its largest values are at the falls. */
static void end_span(witness_t *w, uint64_t now_us) {
    insist(w->spans < WITNESS_SPANS, "(the input is too long for the witness)");
    w->span[w->spans++] = (witness_span_t){w->rise_us, now_us};
    w->dark_since_us = now_us;
    insist(now_us - w->rise_us <= w->limits.on_us, "light longer than the longest on-time");
    insist(lit_within(w, now_us, CEILING_SHORT_WINDOW_MS * 1000ULL) <= w->limits.short_on_ms * 1000ULL,
           "more light than allowed in a short window");
    insist(lit_within(w, now_us, CEILING_LONG_WINDOW_MS * 1000ULL) <= w->limits.long_on_ms * 1000ULL,
           "more light than allowed in a long window");
}

static void begin_span(witness_t *w, uint64_t now_us) {
    insist(!w->was_lit || now_us - w->dark_since_us >= w->limits.off_us, "light too soon after the last");
    w->was_lit = 1;
    w->rise_us = now_us;
}

static void pass(witness_t *w, uint64_t now_us) {
    insist(w->level == 0 || now_us == w->now_us || (w->armed && w->closed && w->gate_open),
           "light while not armed, interlock open or gate shut");
    insist(w->level == 0 || now_us <= w->lease_until_us, "light after the lease has ended");
    insist(w->level <= w->limits.level, "more than the highest level");
    w->now_us = now_us;
    if (w->armed && now_us >= w->lease_until_us) {
        disarm(w);
    }
}

void witness_light(witness_t *w, uint64_t now_us, uint16_t level) {
    pass(w, now_us);
    uint16_t before = w->level;
    w->level = level;
    if (before == 0 && level > 0) {
        begin_span(w, now_us);
    } else if (before > 0 && level == 0) {
        end_span(w, now_us);
    }
}

static void hear_limits(witness_t *w, const wire_limits_t *wanted) {
    if (w->armed) {
        return;
    }
    wire_limits_t *l = &w->limits;
    l->on_us = tighter(wanted->on_us, CEILING_ON_US);
    l->off_us = wanted->off_us > CEILING_OFF_US ? wanted->off_us : CEILING_OFF_US;
    l->short_on_ms = tighter(wanted->short_on_ms, CEILING_SHORT_ON_MS);
    l->long_on_ms = tighter(wanted->long_on_ms, CEILING_LONG_ON_MS);
    l->trains_per_minute = (uint16_t)tighter(wanted->trains_per_minute, CEILING_TRAINS_PER_MINUTE);
    l->lease_ms = (uint16_t)tighter(wanted->lease_ms, CEILING_LEASE_MS);
    l->level = wanted->level;
    w->limits_set = 1;
    w->last_started = 0;
    w->prepared = 0;
}

static void renew(witness_t *w) {
    w->lease_until_us = w->now_us + w->limits.lease_ms * 1000ULL;
}

void witness_hear(witness_t *w, const uint8_t *payload, uint8_t length) {
    uint8_t number = payload[0];
    if (length == 1 && (number == WIRE_DARK || number == WIRE_DISARM)) {
        disarm(w);
    } else if (length == 1 && number == WIRE_ARM && w->limits_set && w->closed && w->limits.lease_ms > 0) {
        w->armed = 1;
        renew(w);
    } else if (number == WIRE_HEARTBEAT && length == 1 + sizeof(wire_heartbeat_t) && w->armed) {
        renew(w);
    } else if (number == WIRE_FIRE && length == 1 + sizeof(wire_fire_t)) {
        w->asked += w->armed;
    } else if (number == WIRE_PREPARE && length == 1 + sizeof(wire_prepare_t)) {
        w->prepared = 1;
    } else if (number == WIRE_LIMITS && length == 1 + sizeof(wire_limits_t)) {
        wire_limits_t wanted;
        memcpy(&wanted, &payload[1], sizeof wanted);
        hear_limits(w, &wanted);
    }
}

void witness_interlock(witness_t *w, uint8_t closed) {
    if (w->closed && !closed) {
        disarm(w);
    }
    w->closed = closed;
}

void witness_gate(witness_t *w, uint8_t open) {
    w->gate_open = open;
}

void witness_trigger(witness_t *w) {
    w->asked += w->armed && w->prepared;
}

static void said_started(witness_t *w, const wire_started_t *started) {
    insist(w->asked > 0, "a train that nobody asked for");
    w->asked--;
    if (started->train < ON_BOARD_TRAIN) {
        insist(started->train > w->last_started, "a train number that was lit before");
        w->last_started = started->train;
    }
    uint32_t most = w->limits.trains_per_minute;
    insist(most > 0, "a train where none is allowed");
    uint64_t *slot = &w->begun_us[w->begun % 64];
    uint64_t earlier_us = w->begun >= most ? w->begun_us[(w->begun - most) % 64] : NEVER;
    insist(earlier_us == NEVER || w->now_us - earlier_us >= 60000000ULL, "too many trains a minute");
    *slot = w->now_us;
    w->begun++;
}

void witness_said(witness_t *w, const uint8_t *payload, uint8_t length) {
    insist(length >= 1 && length <= FRAMING_MAX_PAYLOAD, "a message that fits no frame");
    if (payload[0] == WIRE_STARTED) {
        wire_started_t started;
        memcpy(&started, &payload[1], sizeof started);
        said_started(w, &started);
    }
}
