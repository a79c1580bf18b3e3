/* The stimulator's core and the shutter, kept in agreement: see light.h. */
#include "light.h"

#include "../core/edges.h"
#include "clock.h"
#include "inputs.h"
#include "level.h"
#include "pins.h"
#include "shutter.h"

#define UNDISTURBED_US 60UL /* an edge so near is let pass before anything is obeyed that could move it */
#define RENEW_US 20000UL /* light that lasts has its fall armed anew while this much is left */
#define LOOK_US 4000UL   /* the core is brought up to date so often even where nothing is due */
#define LONGEST_TURN_US 1000UL /* a heartbeat may have waited so long: its lease is over in time all the same */
#define UNKNOWN 2U

static uint8_t interlock_was;
static uint8_t gate_was;
static uint32_t look_at;

void light_init(stimulator_t *s) {
    shutter_init();
    level_init();
    inputs_init();
    pin_output(PIN_ARMED);
    interlock_was = UNKNOWN;
    gate_was = UNKNOWN;
    look_at = clock_now();
    stimulator_init(s, look_at, LIGHT_LEAD_US, LIGHT_NOTICE_US);
}

/* Pin and core disagree, or an edge was missed: dark, disarmed, and the host is told as if it had said Dark itself. */
static void give_up(stimulator_t *s) {
    static const uint8_t dark = WIRE_DARK;
    shutter_cut();
    stimulator_obey(s, &dark, 1, clock_now());
}

/* Edges */

/* A first light for which it is too late comes as soon as it can be armed, and the core is told; a later one has no
 * such excuse. What can't be armed at all is put off, so that the core doesn't take it for given when it goes dark. */
static uint8_t arm_or_put_off(stimulator_t *s, const edges_t *next) {
    uint32_t rise_at;
    if (shutter_arm(next->rise_at, next->fall_at)) {
        return 1;
    }
    if (s->report.pulses > 0 || !shutter_arm_soon(next->fall_at - next->rise_at, &rise_at)) {
        stimulator_delay(s, LOOK_US);
        return 0;
    }
    stimulator_delay(s, rise_at - next->rise_at);
    return 1;
}

static uint8_t is_beyond(uint32_t at, uint32_t us) {
    return (int32_t)(at - clock_now()) > (int32_t)us;
}

static void prepare(stimulator_t *s, const edges_t *next, uint8_t state) {
    if (!next->rises || is_beyond(next->rise_at, SHUTTER_HORIZON_US)) {
        if (state == SHUTTER_RISING) {
            shutter_cut();
        }
    } else if (shutter_has_risen(next->rise_at)) {
        return; /* a short pulse came and went since the core was brought up to date */
    } else if (state == SHUTTER_RISING && next->rise_at == shutter_rise_at()) {
        shutter_move_fall(next->fall_at);
    } else if (!arm_or_put_off(s, next)) {
        give_up(s);
    }
}

static void hold(const edges_t *next) {
    uint8_t is_armed = next->fall_at == shutter_fall_at();
    uint8_t can_wait = is_beyond(next->fall_at, SHUTTER_HORIZON_US) && is_beyond(shutter_fall_at(), RENEW_US);
    if (next->falls && !is_armed && !can_wait) {
        shutter_move_fall(next->fall_at);
    }
}

/* The level stands before the light comes, and at 0 where none is near. */
static void set_level(const stimulator_t *s, const edges_t *next) {
    uint16_t now = stimulator_level(s);
    uint16_t coming = shutter_state() == SHUTTER_DARK ? 0 : next->level;
    level_set(now > 0 ? now : coming);
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static void arm_next(stimulator_t *s) {
    edges_t next = edges_next(s);
    uint8_t state = shutter_state();
    if (state == SHUTTER_LIT) {
        hold(&next);
    } else {
        prepare(s, &next, state);
    }
    set_level(s, &next);
    look_at = s->now + least(LOOK_US, least(s->train.due_us, interlock_due(&s->interlock)));
}

/* The core's time was taken before the shutter is looked at: an edge in between is no disagreement. */
static void agree(stimulator_t *s) {
    uint8_t state = shutter_state();
    if (stimulator_level(s) == 0) {
        if (state == SHUTTER_LIT && clock_reached(s->now, shutter_rise_at())) {
            shutter_cut();
        }
    } else if (state == SHUTTER_RISING || (state == SHUTTER_DARK && clock_reached(s->now, shutter_fall_at()))) {
        give_up(s);
    }
}

static void watch_inputs(stimulator_t *s) {
    uint8_t closed = inputs_interlock_is_closed();
    uint8_t open = inputs_gate_is_open();
    if ((!closed || !open) && shutter_state() != SHUTTER_DARK) {
        shutter_cut();
    }
    if (closed != interlock_was) {
        interlock_was = closed;
        stimulator_interlock(s, closed, clock_now());
    }
    if (open != gate_was) {
        gate_was = open;
        stimulator_gate(s, open, clock_now());
    }
}

void light_turn(stimulator_t *s) {
    watch_inputs(s);
    if (inputs_take_trigger()) {
        light_trigger(s);
    }
    uint32_t now = clock_now();
    if (!clock_reached(now, look_at)) {
        return;
    }
    stimulator_advance(s, now);
    agree(s);
    arm_next(s);
    pin_change(PIN_ARMED, s->interlock.state == STATE_ARMED);
}

void light_trigger(stimulator_t *s) {
    stimulator_trigger(s, clock_now());
    arm_next(s);
}

/* Obeying may move the fall (a heartbeat renews the lease): an edge that is already upon us stays as it is. */
static void let_pass(void) {
    uint8_t state = shutter_state();
    while (state != SHUTTER_DARK) {
        uint32_t at = state == SHUTTER_RISING ? shutter_rise_at() : shutter_fall_at();
        if (at - clock_now() >= UNDISTURBED_US) {
            return;
        }
        state = shutter_state();
    }
}

uint8_t light_obey(stimulator_t *s, const uint8_t *payload, uint8_t length) {
    uint8_t darkens = length == 1 && (payload[0] == WIRE_DARK || payload[0] == WIRE_DISARM);
    if (darkens) {
        shutter_cut();
    } else {
        let_pass();
    }
    uint8_t obeyed = stimulator_obey(s, payload, length, clock_now());
    if (payload[0] == WIRE_HEARTBEAT || payload[0] == WIRE_ARM) {
        stimulator_shorten_lease(s, LONGEST_TURN_US);
    }
    arm_next(s);
    return obeyed;
}
