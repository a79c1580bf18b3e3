/* When a train's level changes: see train.h. */
#include "train.h"

void train_init(train_t *train) {
    train->due_us = TRAIN_NEVER;
    train->pulses_left = 0;
    train->level = 0;
    train->ramp_step = 0;
    train->ramp_steps = 0;
}

/* Whether so many periods fit TRAIN_LONGEST_US: their product in two halves, without a division. */
static uint8_t lasts_no_longer(uint32_t period_us, uint16_t pulses) {
    uint32_t low = (period_us & 0xFFFFU) * pulses;
    uint32_t high = (period_us >> 16) * pulses + (low >> 16);
    return high < (TRAIN_LONGEST_US >> 16) || (high == (TRAIN_LONGEST_US >> 16) && (low & 0xFFFFU) == 0);
}

uint8_t train_is_sound(uint32_t on_us, uint32_t period_us, uint16_t pulses, uint32_t off_us) {
    if (on_us < TRAIN_SHORTEST_ON_US || pulses == 0) {
        return 0;
    }
    if (pulses == 1) {
        return 1;
    }
    return period_us > on_us && period_us - on_us >= off_us && lasts_no_longer(period_us, pulses);
}

void train_begin(train_t *train, uint32_t wait_us) {
    train->due_us = wait_us;
    train->level = 0;
    train->ramp_step = 0;
    train->ramp_steps = 0;
    if (train->ramp_off_us > 0) { /* a division takes a board longer than all the rest of this */
        train->ramp_steps = (uint16_t)((train->ramp_off_us + TRAIN_RAMP_STEP_US - 1) / TRAIN_RAMP_STEP_US);
    }
}

void train_pass(train_t *train, uint32_t us) {
    if (train->due_us != TRAIN_NEVER) {
        train->due_us -= us;
    }
}

/* Level after so many steps of the ramp; never dark before its end. */
static uint16_t ramp_level(const train_t *train, uint16_t step) {
    if (step >= train->ramp_steps) {
        return 0;
    }
    uint16_t level = (uint16_t)((uint32_t)train->full * (uint16_t)(train->ramp_steps - step) / train->ramp_steps);
    return level > 0 ? level : 1;
}

static uint8_t is_last_pulse(const train_t *train) {
    return train->pulses_left == 0;
}

static void rise(train_t *train) {
    train->pulses_left--;
    train->level = train->full;
    train->due_us = train->on_us;
    if (is_last_pulse(train) && train->ramp_steps > 0) {
        train->due_us += train->ramp_steps > 1 ? TRAIN_RAMP_STEP_US : train->ramp_off_us;
    }
}

/* Steps are a millisecond; the last one is what is left of the ramp. */
static uint32_t next_step_us(const train_t *train) {
    if (train->ramp_step + 1 < train->ramp_steps) {
        return TRAIN_RAMP_STEP_US;
    }
    return train->ramp_off_us - (uint32_t)train->ramp_step * TRAIN_RAMP_STEP_US;
}

static uint8_t fall(train_t *train) {
    train->ramp_step++;
    train->level = is_last_pulse(train) ? ramp_level(train, train->ramp_step) : 0;
    if (train->level > 0) {
        train->due_us = next_step_us(train);
        return 0;
    }
    train->ramp_step = 0;
    train->due_us = is_last_pulse(train) ? TRAIN_NEVER : train->period_us - train->on_us;
    return is_last_pulse(train);
}

uint8_t train_take_edge(train_t *train) {
    if (train->level == 0) {
        rise(train);
        return 0;
    }
    return fall(train);
}
