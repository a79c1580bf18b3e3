/* The gate's next edges: see edges.h. */
#include "edges.h"

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* From the level's next change to the dark, if that change is a step of a ramp; else 0. */
static uint32_t ramp_after_step_us(const train_t *train) {
    uint16_t next_step = (uint16_t)(train->ramp_step + 1);
    if (train->pulses_left > 0 || next_step >= train->ramp_steps) {
        return 0;
    }
    return train->ramp_off_us - (uint32_t)next_step * TRAIN_RAMP_STEP_US;
}

static uint32_t pulse_us(const train_t *train) {
    return train->pulses_left == 1 ? train->on_us + train->ramp_off_us : train->on_us;
}

static edges_t of_light(const stimulator_t *s) {
    edges_t next = {.falls = 1, .level = s->train.level};
    uint32_t dark_us = s->train.due_us + ramp_after_step_us(&s->train);
    next.fall_at = s->now + least(dark_us, interlock_due(&s->interlock));
    return next;
}

static edges_t of_light_to_come(const stimulator_t *s) {
    const interlock_t *il = &s->interlock;
    uint32_t wait_us = s->train.due_us;
    edges_t next = {.level = s->train.full};
    if (wait_us == TRAIN_NEVER || il->state != STATE_ARMED || il->lease_left_us <= wait_us) {
        return next;
    }
    uint32_t longest_us = least(il->limits.on_us, least(il->granted_us, il->lease_left_us - wait_us));
    next.rises = 1;
    next.falls = 1;
    next.rise_at = s->now + wait_us;
    next.fall_at = next.rise_at + least(pulse_us(&s->train), longest_us);
    return next;
}

edges_t edges_next(const stimulator_t *stimulator) {
    return stimulator->interlock.lit ? of_light(stimulator) : of_light_to_come(stimulator);
}
