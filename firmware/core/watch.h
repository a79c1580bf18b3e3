/* Watching the stream on the board itself: a reading in, "raise the trigger line" out. It knows no pin, sends nothing.
 *
 * closedloop/simulation/watcher.py is its twin, equal in every bit. What makes a crossing is what makes one on the host
 * (closedloop/detectors): up to the threshold for `minimum` readings, over again only after `release`; one in the
 * warm-up or in the refractory time gives no trigger, not even later. A reading that is unfit is neither high nor low.
 */
#ifndef CLOSEDLOOP_WATCH_H
#define CLOSEDLOOP_WATCH_H
#include <stdint.h>

#include "wire.h"

#define WATCH_MOST_SHIFT 16 /* 65472 counts, the most that a board gives, times 2**16 are 32 bits */

typedef struct {
    wire_watch_t settings; /* in force; threshold 0: nobody watches */
    uint32_t memory;       /* readings that the running level remembers: 2**shift */
    uint32_t signal;       /* running level times `known` */
    uint32_t control;
    uint32_t known;     /* readings learned, at most `memory`: while it fills, the level is their plain mean */
    uint32_t seen;      /* fit readings, at most `warm_up` */
    uint32_t held;      /* readings in a row at or above the threshold, at most `memory` */
    uint32_t triggered; /* ticks of the last trigger */
    uint16_t above;     /* fit readings in a row at or above the threshold, at most `minimum` */
    uint8_t high;       /* crossed, and not released since */
    uint8_t resting;    /* within the refractory time; outlives a new stream and new settings */
} watch_t;

/* Nobody watches, and no trigger was ever raised. */
void watch_init(watch_t *watch);

/* Takes settings that can be obeyed, and forgets the level. Returns 0, and changes nothing, where they can't. */
uint8_t watch_set(watch_t *watch, const wire_watch_t *settings);

/* A new stream: level and crossing are forgotten, settings and refractory time are not. */
void watch_restart(watch_t *watch);

/* Judges one reading, then learns from it. Returns 1 if the trigger line is to be raised now. */
uint8_t watch_take(watch_t *watch, const wire_reading_t *reading);

#endif
