/* What the interlock must do, kept in another way than it does it: no ledger, no remaining time, but a history.
 *
 * The monitor remembers each tick's light as a bit. Every function below takes the interlock as it was and as it is
 * after one call, and returns NULL or the property that is broken, in words. Nothing here may call the interlock.
 */
#ifndef CLOSEDLOOP_MONITOR_H
#define CLOSEDLOOP_MONITOR_H
#include <stdint.h>

#include "interlock.h"

typedef struct { /* in ticks */
    uint8_t on, off, short_on, long_on, trains, lease, level;
} monitor_limits_t;

typedef struct {
    uint32_t lit_ticks;   /* bit 0: the last tick; older ones above */
    uint32_t begun_ticks; /* bit 0: a train began at this instant; bit 1: a tick ago */
    uint8_t state;
    uint8_t trip_reason;
    uint8_t closed;
    uint8_t gate_open;
    uint8_t limits_set;
    uint8_t lit;
    uint8_t on_run;    /* of the light that is on */
    uint8_t off_run;   /* of the darkness since, as far as it is asked for */
    uint8_t lease_age; /* since the last Arm or heartbeat that counted */
    uint8_t granted;   /* light that the train in hand may still give */
    uint8_t begun;     /* the train in hand has given light */
    monitor_limits_t limits;
} monitor_t;

/* As after start-up. */
void monitor_init(monitor_t *m);

/* Whether the interlock and the monitor agree on everything that can be seen; asked after every call. */
const char *monitor_agrees(const monitor_t *m, const interlock_t *il);

/* How many ticks may pass in one call: light must be looked at when it ends, darkness need not be. */
uint8_t monitor_patience(const monitor_t *m);

/* One call each; `was` is the interlock before it. */
const char *monitor_pass(monitor_t *m, uint8_t ticks);
const char *monitor_limits(monitor_t *m, const wire_limits_t *wanted, const wire_limits_t *said);
const char *monitor_arm(monitor_t *m, uint8_t reason);
const char *monitor_heartbeat(monitor_t *m);
const char *monitor_disarm(monitor_t *m);
const char *monitor_input(monitor_t *m, uint8_t closed);
const char *monitor_gate(monitor_t *m, uint8_t open);
const char *monitor_grant(monitor_t *m, const interlock_train_t *train, uint8_t reason);
const char *monitor_rise(monitor_t *m, uint8_t risen);
const char *monitor_fall(monitor_t *m);
const char *monitor_end(monitor_t *m);

#endif
