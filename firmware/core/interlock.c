/* Whether there may be light: see interlock.h. Pure state; no clock, no pin, no message.
 *
 * Comments that begin with @ are steps of a proof: what is proved stands in firmware/proofs/contracts.h.
 */
#include "interlock.h"

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t less(uint32_t a, uint32_t b) {
    return a > b ? a - b : 0;
}

static void ledger_init(interlock_ledger_t *ledger) {
    /*@ loop invariant 0 <= at <= INTERLOCK_BUCKETS;
        loop invariant \forall integer k; 0 <= k < at ==> ledger->short_us[k] == 0 && ledger->trains[k] == 0;
        loop assigns at, ledger->short_us[0 .. INTERLOCK_BUCKETS - 1], ledger->trains[0 .. INTERLOCK_BUCKETS - 1];
        loop variant INTERLOCK_BUCKETS - at; */
    for (uint8_t at = 0; at < INTERLOCK_BUCKETS; at++) {
        ledger->short_us[at] = 0;
        ledger->trains[at] = 0;
    }
    /*@ loop invariant 0 <= at <= INTERLOCK_LONG_BUCKETS;
        loop invariant \forall integer k; 0 <= k < at ==> ledger->long_us[k] == 0;
        loop assigns at, ledger->long_us[0 .. INTERLOCK_LONG_BUCKETS - 1];
        loop variant INTERLOCK_LONG_BUCKETS - at; */
    for (uint8_t at = 0; at < INTERLOCK_LONG_BUCKETS; at++) {
        ledger->long_us[at] = 0;
    }
    //@ assert empty(&ledger->short_us[0], INTERLOCK_BUCKETS) && empty8(&ledger->trains[0], INTERLOCK_BUCKETS);
    //@ assert empty(&ledger->long_us[0], INTERLOCK_LONG_BUCKETS);
    ledger->left_us = INTERLOCK_BUCKET_US;
    ledger->short_sum_us = 0;
    ledger->long_sum_us = 0;
    ledger->trains_sum = 0;
    ledger->at = 0;
    ledger->long_at = 0;
    ledger->until_long = INTERLOCK_LONG_EVERY;
}

void interlock_init(interlock_t *il) {
    il->state = STATE_DISARMED;
    il->trip_reason = REASON_NONE;
    il->closed = 0;
    il->gate_open = 0;
    il->limits_set = 0;
    il->lit = 0;
    il->counted = 0;
    il->lease_left_us = 0;
    il->on_left_us = 0;
    il->granted_us = 0;
    il->limits.on_us = CEILING_ON_US;
    il->limits.off_us = CEILING_OFF_US;
    il->limits.short_us = CEILING_SHORT_ON_MS * 1000;
    il->limits.long_us = CEILING_LONG_ON_MS * 1000;
    il->limits.lease_us = CEILING_LEASE_MS * 1000;
    il->limits.trains = CEILING_TRAINS_PER_MINUTE;
    il->limits.level = CEILING_LEVEL;
    il->rested_us = CEILING_OFF_US; /* a start takes far longer than that, and it is dark */
    ledger_init(&il->ledger);
}

/* Ring and sum forget their oldest bucket, which becomes the newest. */
static void next_long_bucket(interlock_ledger_t *ledger) {
    ledger->until_long = INTERLOCK_LONG_EVERY;
    ledger->long_at = (uint8_t)(ledger->long_at + 1 < INTERLOCK_LONG_BUCKETS ? ledger->long_at + 1 : 0);
    ledger->long_sum_us -= ledger->long_us[ledger->long_at];
    ledger->long_us[ledger->long_at] = 0;
    //@ assert differs{Pre,Here}(&ledger->long_us[0], INTERLOCK_LONG_BUCKETS, ledger->long_at);
}

static void next_bucket(interlock_ledger_t *ledger) {
    ledger->left_us = INTERLOCK_BUCKET_US;
    ledger->at = (uint8_t)(ledger->at + 1 < INTERLOCK_BUCKETS ? ledger->at + 1 : 0);
    //@ assert accounted(ledger);
    ledger->short_sum_us -= ledger->short_us[ledger->at];
    //@ assert long_accounted(ledger);
    ledger->short_us[ledger->at] = 0;
    //@ assert differs{Pre,Here}(&ledger->short_us[0], INTERLOCK_BUCKETS, ledger->at);
    //@ assert short_accounted(ledger);
    //@ assert long_accounted(ledger);
    //@ assert bounded(ledger) && short_filled(ledger) && ledger->left_us == INTERLOCK_BUCKET_US;
    ledger->trains_sum = (uint8_t)(ledger->trains_sum - ledger->trains[ledger->at]);
    ledger->trains[ledger->at] = 0;
    //@ assert differs8{Pre,Here}(&ledger->trains[0], INTERLOCK_BUCKETS, ledger->at);
    //@ assert trains_accounted(ledger);
    ledger->until_long--;
    //@ assert accounted(ledger) && ledger->left_us == INTERLOCK_BUCKET_US;
    //@ assert ledger->short_sum_us <= \at(ledger->short_sum_us,Pre);
    //@ assert ledger->long_sum_us == \at(ledger->long_sum_us,Pre);
    //@ assert short_filled(ledger) && (ledger->until_long > 0 ==> long_filled(ledger));
    if (ledger->until_long == 0) {
        next_long_bucket(ledger);
    }
}

static void ledger_spend(interlock_ledger_t *ledger, uint32_t us) {
    ledger->short_us[ledger->at] += us;
    //@ assert differs{Pre,Here}(&ledger->short_us[0], INTERLOCK_BUCKETS, ledger->at);
    ledger->short_sum_us += us;
    //@ assert short_accounted(ledger);
    //@ assert long_accounted(ledger);
    ledger->long_us[ledger->long_at] += us;
    //@ assert differs{Pre,Here}(&ledger->long_us[0], INTERLOCK_LONG_BUCKETS, ledger->long_at);
    ledger->long_sum_us += us;
}

static void ledger_pass(interlock_ledger_t *ledger, uint32_t us, uint8_t lit) {
    /*@ loop invariant sound_ledger(ledger) && 0 <= us <= \at(us,Pre);
        loop invariant ledger->short_sum_us <= \at(ledger->short_sum_us,Pre) + (lit ? \at(us,Pre) - us : 0);
        loop invariant ledger->long_sum_us <= \at(ledger->long_sum_us,Pre) + (lit ? \at(us,Pre) - us : 0);
        loop invariant ledger->trains_sum <= \at(ledger->trains_sum,Pre);
        loop invariant us == \at(us,Pre) ==> *ledger == \at(*ledger,Pre);
        loop invariant us != \at(us,Pre) ==> \at(us,Pre) >= \at(ledger->left_us,Pre);
        loop assigns us, PARTS_OF(ledger);
        loop variant us; */
    while (us >= ledger->left_us) {
        uint32_t part = ledger->left_us;
        if (lit) {
            ledger_spend(ledger, part);
        }
        next_bucket(ledger);
        us -= part;
    }
    if (lit) {
        ledger_spend(ledger, us);
    }
    ledger->left_us -= us;
}

void interlock_fall(interlock_t *il) {
    if (il->lit) {
        il->rested_us = 0;
    }
    il->lit = 0;
    il->on_left_us = 0;
}

void interlock_end(interlock_t *il) {
    interlock_fall(il);
    il->granted_us = 0;
}

static void trip(interlock_t *il, uint8_t reason) {
    interlock_end(il);
    il->lease_left_us = 0;
    if (il->state != STATE_TRIPPED) {
        il->trip_reason = reason;
    }
    il->state = STATE_TRIPPED;
}

/* Light that has lasted its time ends here even if nobody asks for it. */
static void pass_light(interlock_t *il, uint32_t us) {
    il->on_left_us = less(il->on_left_us, us);
    il->granted_us = less(il->granted_us, us);
    if (il->on_left_us == 0 || il->granted_us == 0) {
        interlock_fall(il);
    }
}

void interlock_pass(interlock_t *il, uint32_t us) {
    ledger_pass(&il->ledger, us, il->lit);
    if (il->lit) {
        pass_light(il, us);
    } else {
        uint32_t missing = less(il->limits.off_us, il->rested_us);
        il->rested_us += least(us, missing);
    }
    if (il->state == STATE_ARMED) {
        il->lease_left_us = less(il->lease_left_us, us);
        if (il->lease_left_us == 0) {
            trip(il, REASON_LEASE_EXPIRED);
        }
    }
}

uint32_t interlock_due(const interlock_t *il) {
    if (il->state != STATE_ARMED) {
        return UINT32_MAX;
    }
    if (!il->lit) {
        return il->lease_left_us;
    }
    return least(il->lease_left_us, least(il->on_left_us, il->granted_us));
}

static uint16_t least16(uint16_t a, uint16_t b) {
    return a < b ? a : b;
}

static wire_limits_t in_force(const interlock_limits_t *limits) {
    wire_limits_t said = {
        .on_us = limits->on_us,
        .off_us = limits->off_us,
        .short_window_ms = CEILING_SHORT_WINDOW_MS,
        .short_on_ms = limits->short_us / 1000,
        .long_window_ms = CEILING_LONG_WINDOW_MS,
        .long_on_ms = limits->long_us / 1000,
        .trains_per_minute = limits->trains,
        .lease_ms = (uint16_t)(limits->lease_us / 1000),
        .level = limits->level,
    };
    return said;
}

wire_limits_t interlock_set_limits(interlock_t *il, const wire_limits_t *wanted) {
    interlock_limits_t *limits = &il->limits;
    if (il->state != STATE_ARMED) {
        limits->on_us = least(wanted->on_us, CEILING_ON_US);
        limits->off_us = wanted->off_us > CEILING_OFF_US ? wanted->off_us : CEILING_OFF_US;
        limits->short_us = least(wanted->short_on_ms, CEILING_SHORT_ON_MS) * 1000;
        limits->long_us = least(wanted->long_on_ms, CEILING_LONG_ON_MS) * 1000;
        limits->trains = least16(wanted->trains_per_minute, CEILING_TRAINS_PER_MINUTE);
        limits->lease_us = least(wanted->lease_ms, CEILING_LEASE_MS) * 1000;
        limits->level = least16(wanted->level, CEILING_LEVEL);
        il->limits_set = 1;
    }
    return in_force(limits);
}

uint8_t interlock_arm(interlock_t *il) {
    if (!il->limits_set || il->limits.lease_us == 0) {
        return REASON_LIMITS_UNSET;
    }
    if (!il->closed) {
        return REASON_INTERLOCK_OPEN;
    }
    il->state = STATE_ARMED;
    il->lease_left_us = il->limits.lease_us;
    return REASON_NONE;
}

void interlock_heartbeat(interlock_t *il) {
    if (il->state == STATE_ARMED) {
        il->lease_left_us = il->limits.lease_us;
    }
}

void interlock_disarm(interlock_t *il) {
    interlock_end(il);
    il->lease_left_us = 0;
    if (il->state == STATE_ARMED) {
        il->state = STATE_DISARMED;
    }
}

void interlock_input(interlock_t *il, uint8_t closed) {
    uint8_t opens = il->closed && !closed;
    il->closed = closed != 0;
    if (opens) {
        trip(il, REASON_INTERLOCK_OPEN);
    }
}

void interlock_gate(interlock_t *il, uint8_t open) {
    il->gate_open = open != 0;
    if (!open) {
        interlock_end(il);
    }
}

uint8_t interlock_ready(const interlock_t *il) {
    if (!il->closed) {
        return REASON_INTERLOCK_OPEN;
    }
    if (il->state != STATE_ARMED) {
        return REASON_NOT_ARMED;
    }
    if (!il->gate_open) {
        return REASON_GATE_CLOSED;
    }
    return il->granted_us > 0 ? REASON_BUSY : REASON_NONE;
}

/* Light of a whole train, or more than any limit if it does not fit 32 bits. */
static uint32_t light_us(const interlock_train_t *train) {
    if (train->pulses == 1) {
        return train->on_us + train->ramp_off_us;
    }
    if (train->on_us > CEILING_LONG_ON_MS * 1000 / train->pulses) {
        return UINT32_MAX;
    }
    return train->on_us * train->pulses + train->ramp_off_us;
}

uint8_t interlock_grant(interlock_t *il, const interlock_train_t *train) {
    const interlock_limits_t *limits = &il->limits;
    uint8_t reason = interlock_ready(il);
    if (reason != REASON_NONE) {
        return reason;
    }
    if (train->pulses == 0 || train->on_us == 0 || train->level == 0) {
        return REASON_BAD_REQUEST;
    }
    if (train->on_us > limits->on_us || train->ramp_off_us > limits->on_us - train->on_us) {
        return REASON_ON_TIME;
    }
    if (less(limits->off_us, il->rested_us) > train->wait_us) {
        return REASON_OFF_TIME;
    }
    if (train->level > limits->level) {
        return REASON_LEVEL;
    }
    uint32_t light = light_us(train);
    if (light > less(limits->short_us, il->ledger.short_sum_us)) {
        return REASON_DUTY_SHORT;
    }
    if (light > less(limits->long_us, il->ledger.long_sum_us)) {
        return REASON_DUTY_LONG;
    }
    if (il->ledger.trains_sum >= limits->trains) {
        return REASON_TRAIN_RATE;
    }
    //@ assert light == train->on_us * train->pulses + train->ramp_off_us;
    il->granted_us = light;
    il->counted = 0;
    return REASON_NONE;
}

uint8_t interlock_rise(interlock_t *il) {
    uint8_t may = il->state == STATE_ARMED && il->closed && il->gate_open && il->granted_us > 0 && !il->lit &&
                  il->rested_us >= il->limits.off_us;
    if (!may) {
        return 0;
    }
    if (!il->counted) {
        il->ledger.trains[il->ledger.at]++;
        //@ assert differs8{Pre,Here}(&il->ledger.trains[0], INTERLOCK_BUCKETS, il->ledger.at);
        il->ledger.trains_sum++;
        il->counted = 1;
    }
    il->lit = 1;
    il->on_left_us = il->limits.on_us;
    return 1;
}
