/* dF/F against a running level in integers, without division: the ratio is found bit by bit. No pin is touched here. */
#include "watch.h"

#include <string.h>

#define UNFIT (FLAG_SIGNAL_SATURATED | FLAG_CONTROL_SATURATED | FLAG_DROPPED_CONVERSIONS)
#define UNKNOWN INT32_MIN
#define MOST_PART 65535 /* a threshold can't ask for more, so that more need not be told apart */
#define MOST_COUNTS 65535
#define LEAST_LEVEL_SHIFT 6 /* below 64 counts there is noise alone, and its ratio to nothing is no event */

void watch_init(watch_t *watch) {
    memset(watch, 0, sizeof *watch);
    watch->memory = 1;
}

static uint8_t can_be_obeyed(const wire_watch_t *settings) {
    uint8_t is_known = settings->feature == FEATURE_SIGNAL || settings->feature == FEATURE_SIGNAL_LESS_CONTROL;
    return is_known && settings->shift <= WATCH_MOST_SHIFT && settings->minimum > 0 &&
           settings->release <= settings->threshold;
}

uint8_t watch_set(watch_t *watch, const wire_watch_t *settings) {
    if (settings->threshold != 0 && !can_be_obeyed(settings)) {
        return 0;
    }
    watch->settings = *settings;
    watch->memory = settings->threshold != 0 ? (uint32_t)1 << settings->shift : 1;
    watch_restart(watch);
    return 1;
}

void watch_restart(watch_t *watch) {
    watch->signal = watch->control = watch->known = watch->seen = watch->held = 0;
    watch->above = 0;
    watch->high = 0;
}

/* While the refractory time lasts, every reading looks at the ticks: they wrap in 72 minutes. */
static void see_rest_end(watch_t *watch, uint32_t now) {
    if (watch->resting && now - watch->triggered >= watch->settings.refractory_us) {
        watch->resting = 0;
    }
}

static uint8_t is_fit(const watch_t *watch, const wire_reading_t *reading) {
    uint16_t unfit = UNFIT;
    if (watch->settings.feature == FEATURE_SIGNAL_LESS_CONTROL) {
        unfit |= FLAG_NO_CONTROL;
    }
    return (reading->flags & unfit) == 0;
}

static uint16_t counts_above_dark(int32_t lit, int32_t dark) {
    int32_t counts = lit - dark;
    if (counts < 0) {
        return 0;
    }
    return (uint16_t)(counts > MOST_COUNTS ? MOST_COUNTS : counts);
}

/* part / whole in 1/65536, where part < whole. Sixteen steps of subtraction: half of what a 32-bit division costs. */
static int32_t ratio(uint32_t part, uint32_t whole) {
    uint16_t quotient = 0;
    if (whole & 0x80000000UL) { /* room for the bit that is shifted in */
        whole >>= 1;
        part >>= 1;
    }
    for (uint8_t bit = 0; bit < 16; bit++) {
        part <<= 1;
        quotient = (uint16_t)(quotient << 1);
        if (part >= whole) {
            part -= whole;
            quotient |= 1;
        }
    }
    return quotient;
}

/* (counts - level) / level in 1/65536, cut off at 65535; UNKNOWN where the level is below 64 counts. */
static int32_t dff(const watch_t *watch, uint32_t level, uint16_t counts) {
    if (level >> LEAST_LEVEL_SHIFT < watch->known) {
        return UNKNOWN;
    }
    uint32_t now = counts * watch->known;
    uint8_t is_rise = now >= level;
    uint32_t change = is_rise ? now - level : level - now;
    int32_t part = change >= level ? MOST_PART : ratio(change, level);
    return is_rise ? part : -part;
}

/* A level of less than an eighth of its memory is not yet worth comparing with. */
static int32_t feature_of(const watch_t *watch, uint16_t signal, uint16_t control) {
    if (watch->known == 0 || watch->known < watch->memory >> 3) {
        return UNKNOWN;
    }
    int32_t feature = dff(watch, watch->signal, signal);
    if (watch->settings.feature == FEATURE_SIGNAL || feature == UNKNOWN) {
        return feature;
    }
    int32_t of_control = dff(watch, watch->control, control);
    return of_control == UNKNOWN ? UNKNOWN : feature - of_control;
}

/* Returns 1 at the one reading that completes a crossing. */
static uint8_t cross(watch_t *watch, int32_t feature) {
    if (watch->high) {
        if (feature <= (int32_t)watch->settings.release) {
            watch->high = 0;
            watch->above = 0;
        }
        return 0;
    }
    if (feature < (int32_t)watch->settings.threshold) {
        watch->above = 0;
        return 0;
    }
    watch->above++;
    watch->high = watch->above >= watch->settings.minimum;
    return watch->high;
}

/* What is high is not learned, but not for ever: a level that is wrong for good must come right by itself. */
static uint8_t is_held(watch_t *watch, int32_t feature) {
    if (feature == UNKNOWN || feature < (int32_t)watch->settings.threshold) {
        watch->held = 0;
        return 0;
    }
    if (watch->held < watch->memory) {
        watch->held++;
    }
    return watch->held < watch->memory;
}

/* Rounded, so that the level of steady counts is these counts. */
static uint32_t followed(const watch_t *watch, uint32_t level, uint16_t counts) {
    return level + counts - ((level + (watch->memory >> 1)) >> watch->settings.shift);
}

static void learn(watch_t *watch, uint16_t signal, uint16_t control) {
    if (watch->known < watch->memory) {
        watch->known++;
        watch->signal += signal;
        watch->control += control;
        return;
    }
    watch->signal = followed(watch, watch->signal, signal);
    if (watch->settings.feature == FEATURE_SIGNAL_LESS_CONTROL) {
        watch->control = followed(watch, watch->control, control);
    }
}

/* Returns 1 if a crossing at this reading is a trigger, which begins the refractory time. */
static uint8_t may_trigger(watch_t *watch, uint32_t now) {
    if (watch->seen < watch->settings.warm_up || watch->resting) {
        return 0;
    }
    watch->resting = 1;
    watch->triggered = now;
    return 1;
}

uint8_t watch_take(watch_t *watch, const wire_reading_t *reading) {
    see_rest_end(watch, reading->ticks);
    if (watch->settings.threshold == 0 || !is_fit(watch, reading)) {
        return 0;
    }
    uint16_t signal = counts_above_dark(reading->signal_lit, reading->signal_dark);
    uint16_t control = counts_above_dark(reading->control_lit, reading->control_dark);
    int32_t feature = feature_of(watch, signal, control);
    uint8_t triggers = feature != UNKNOWN && cross(watch, feature) && may_trigger(watch, reading->ticks);
    if (watch->seen < watch->settings.warm_up) {
        watch->seen++;
    }
    if (!is_held(watch, feature) && (reading->flags & FLAG_LIGHT) == 0) {
        learn(watch, signal, control);
    }
    return triggers;
}
