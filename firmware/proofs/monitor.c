/* The independent monitor: see monitor.h. Histories and plain counting, and no arithmetic of the interlock's. */
#include "monitor.h"

#include <stddef.h>

#include "scaled.h"

#define KEPT(ticks) (uint32_t)((1ULL << (ticks)) - 1) /* of a history: so many of its newest bits */

static uint8_t smaller(uint32_t a, uint32_t b) {
    return (uint8_t)(a < b ? a : b);
}

static uint8_t count(uint32_t history, uint32_t ticks) {
    return (uint8_t)__builtin_popcount(history & KEPT(ticks));
}

void monitor_init(monitor_t *m) {
    m->state = STATE_DISARMED;
    m->off_run = OFF_TICKS; /* a start takes longer than that, and is dark */
    m->limits = (monitor_limits_t){ON_TICKS,    OFF_TICKS,   SHORT_ON_TICKS, LONG_ON_TICKS,
                                   MOST_TRAINS, LEASE_TICKS, MOST_LEVEL};
}

uint8_t monitor_patience(const monitor_t *m) {
    uint8_t dark = 2 * BUCKET_TICKS + 1; /* more than a bucket at once */
    if (!m->lit) {
        return dark;
    }
    uint8_t light = smaller(m->granted, m->limits.on - m->on_run);
    return smaller(light, m->limits.lease - m->lease_age);
}

static void go_dark(monitor_t *m) {
    if (m->lit) {
        m->off_run = 0;
    }
    m->lit = 0;
    m->on_run = 0;
}

static void lose_train(monitor_t *m) {
    go_dark(m);
    m->granted = 0;
    m->begun = 0;
}

static void go_tripped(monitor_t *m, uint8_t reason) {
    lose_train(m);
    m->lease_age = 0;
    m->trip_reason = m->state == STATE_TRIPPED ? m->trip_reason : reason;
    m->state = STATE_TRIPPED;
}

const char *monitor_agrees(const monitor_t *m, const interlock_t *il) {
    if (il->state != m->state) {
        return "the state is another than the table of states gives";
    }
    if (il->lit != m->lit) {
        return il->lit ? "there is light where there must be none" : "light ended without cause";
    }
    if (il->lit && (m->state != STATE_ARMED || !m->closed || !m->gate_open)) {
        return "light while not armed, interlock open or gate shut";
    }
    if (m->state == STATE_TRIPPED && il->trip_reason != m->trip_reason) {
        return "another reason for the trip";
    }
    if (m->state == STATE_ARMED && il->lease_left_us != (m->limits.lease - m->lease_age) * TICK_US) {
        return "the lease is longer or shorter than the limits say";
    }
    if (interlock_due(il) == 0) {
        return "something was due, and has not ended";
    }
    return NULL;
}

/* One tick with the light as it is, and then what ends by itself. */
static const char *one_tick(monitor_t *m) {
    m->lit_ticks = (m->lit_ticks << 1 | m->lit) & KEPT(LONG_TICKS + LONG_BUCKET_TICKS);
    m->begun_ticks = m->begun_ticks << 1 & KEPT(SHORT_TICKS + BUCKET_TICKS);
    if (m->lit) {
        m->on_run++;
        m->granted--;
    } else if (m->off_run < m->limits.off) {
        m->off_run++;
    }
    uint8_t too_much = count(m->lit_ticks, SHORT_TICKS) > m->limits.short_on ||
                       count(m->lit_ticks, LONG_TICKS) > m->limits.long_on;
    if (m->lit && too_much) {
        return "a window holds more light than allowed";
    }
    if (m->lit && (m->on_run >= m->limits.on || m->granted == 0)) {
        go_dark(m);
    }
    if (m->state == STATE_ARMED && ++m->lease_age >= m->limits.lease) {
        go_tripped(m, REASON_LEASE_EXPIRED);
    }
    return NULL;
}

const char *monitor_pass(monitor_t *m, uint8_t ticks) {
    const char *broken = NULL;
    for (uint8_t tick = 0; tick < ticks && broken == NULL; tick++) {
        broken = one_tick(m);
    }
    return broken;
}

const char *monitor_limits(monitor_t *m, const wire_limits_t *wanted, const wire_limits_t *said) {
    monitor_limits_t *l = &m->limits;
    if (m->state != STATE_ARMED) {
        m->limits_set = 1;
        l->on = smaller(wanted->on_us / TICK_US, ON_TICKS);
        l->off = (uint8_t)(wanted->off_us / TICK_US > OFF_TICKS ? wanted->off_us / TICK_US : OFF_TICKS);
        l->short_on = smaller(wanted->short_on_ms, SHORT_ON_TICKS);
        l->long_on = smaller(wanted->long_on_ms, LONG_ON_TICKS);
        l->trains = smaller(wanted->trains_per_minute, MOST_TRAINS);
        l->lease = smaller(wanted->lease_ms, LEASE_TICKS);
        l->level = smaller(wanted->level, MOST_LEVEL);
    }
    uint8_t honest = said->on_us == l->on * TICK_US && said->off_us == l->off * TICK_US &&
                     said->short_on_ms == l->short_on && said->long_on_ms == l->long_on &&
                     said->trains_per_minute == l->trains && said->lease_ms == l->lease && said->level == l->level &&
                     said->short_window_ms == SHORT_TICKS && said->long_window_ms == LONG_TICKS;
    return honest ? NULL : "the limits said to be in force are not the tighter of the two";
}

const char *monitor_arm(monitor_t *m, uint8_t reason) {
    uint8_t expected = REASON_NONE;
    if (!m->limits_set || m->limits.lease == 0) {
        expected = REASON_LIMITS_UNSET;
    } else if (!m->closed) {
        expected = REASON_INTERLOCK_OPEN;
    }
    if (reason != expected) {
        return "armed, or refused to, against the table of states";
    }
    if (reason == REASON_NONE) {
        m->state = STATE_ARMED;
        m->lease_age = 0;
    }
    return NULL;
}

const char *monitor_heartbeat(monitor_t *m) {
    m->lease_age = 0;
    return NULL;
}

const char *monitor_disarm(monitor_t *m) {
    lose_train(m);
    m->lease_age = 0;
    m->state = m->state == STATE_ARMED ? STATE_DISARMED : m->state;
    return NULL;
}

const char *monitor_input(monitor_t *m, uint8_t closed) {
    if (m->closed && !closed) {
        go_tripped(m, REASON_INTERLOCK_OPEN);
    }
    m->closed = closed != 0;
    return NULL;
}

const char *monitor_gate(monitor_t *m, uint8_t open) {
    if (!open) {
        lose_train(m);
    }
    m->gate_open = open != 0;
    return NULL;
}

/* What is refused before any dose is looked at, in the order of the reasons. */
static uint8_t certain_refusal(const monitor_t *m, const interlock_train_t *train) {
    if (!m->closed) {
        return REASON_INTERLOCK_OPEN;
    }
    if (m->state != STATE_ARMED) {
        return REASON_NOT_ARMED;
    }
    if (!m->gate_open) {
        return REASON_GATE_CLOSED;
    }
    if (m->granted > 0) {
        return REASON_BUSY;
    }
    if (train->pulses == 0 || train->on_us == 0 || train->level == 0) {
        return REASON_BAD_REQUEST;
    }
    if ((uint64_t)train->on_us + train->ramp_off_us > m->limits.on * TICK_US) {
        return REASON_ON_TIME;
    }
    if (m->off_run + train->wait_us / TICK_US < m->limits.off) {
        return REASON_OFF_TIME;
    }
    return train->level > m->limits.level ? REASON_LEVEL : REASON_NONE;
}

/* The dose is judged by whole buckets: within a bucket more than the window either answer may be right. */
static const char *dose_refusal(const monitor_t *m, uint64_t light, uint8_t reason) {
    uint8_t most = m->limits.short_on;
    if (reason != REASON_DUTY_SHORT && count(m->lit_ticks, SHORT_TICKS) + light > most) {
        return "a train was granted more light than the short window has left";
    }
    if (reason == REASON_DUTY_SHORT && count(m->lit_ticks, SHORT_TICKS + BUCKET_TICKS) + light <= most) {
        return "refused for the short window without cause";
    }
    uint8_t judged = reason != REASON_DUTY_SHORT;
    if (judged && reason != REASON_DUTY_LONG && count(m->lit_ticks, LONG_TICKS) + light > m->limits.long_on) {
        return "a train was granted more light than the long window has left";
    }
    uint8_t held = count(m->lit_ticks, LONG_TICKS + LONG_BUCKET_TICKS);
    if (reason == REASON_DUTY_LONG && held + light <= m->limits.long_on) {
        return "refused for the long window without cause";
    }
    if (reason == REASON_NONE && count(m->begun_ticks, SHORT_TICKS) >= m->limits.trains) {
        return "a train more than allowed was granted";
    }
    uint8_t begun = count(m->begun_ticks, SHORT_TICKS + BUCKET_TICKS);
    if (reason == REASON_TRAIN_RATE && begun < m->limits.trains) {
        return "refused for the number of trains without cause";
    }
    return NULL;
}

const char *monitor_grant(monitor_t *m, const interlock_train_t *train, uint8_t reason) {
    uint8_t certain = certain_refusal(m, train);
    if (certain != REASON_NONE) {
        return reason == certain ? NULL : "granted, or refused with another reason than the first that holds";
    }
    uint64_t light = ((uint64_t)train->on_us * train->pulses + train->ramp_off_us) / TICK_US;
    const char *broken = dose_refusal(m, light, reason);
    if (broken == NULL && reason == REASON_NONE) {
        m->granted = (uint8_t)light;
        m->begun = 0;
    } else if (broken == NULL && reason != REASON_DUTY_SHORT && reason != REASON_DUTY_LONG &&
               reason != REASON_TRAIN_RATE) {
        broken = "refused, and nothing is against it";
    }
    return broken;
}

const char *monitor_rise(monitor_t *m, uint8_t risen) {
    uint8_t may = m->state == STATE_ARMED && m->closed && m->gate_open && m->granted > 0 && !m->lit &&
                  m->off_run >= m->limits.off;
    if (may != risen) {
        return risen ? "a rise that was not allowed" : "a rise refused without cause";
    }
    if (!risen) {
        return NULL;
    }
    m->lit = 1;
    m->on_run = 0;
    m->begun_ticks |= !m->begun;
    m->begun = 1;
    return count(m->begun_ticks, SHORT_TICKS) > m->limits.trains ? "more trains in a window than allowed" : NULL;
}

const char *monitor_fall(monitor_t *m) {
    go_dark(m);
    return NULL;
}

const char *monitor_end(monitor_t *m) {
    lose_train(m);
    return NULL;
}
