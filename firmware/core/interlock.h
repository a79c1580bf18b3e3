/* Whether there may be light. This file is the only one that says yes, and it trusts neither host nor train.
 *
 * Light is possible while armed, with a live lease, a closed interlock, an open gate, darkness enough since the last
 * light, and within the light that was granted to the train in hand. Every counter is time that remains or has passed,
 * brought up to date by interlock_pass: no clock is read here, and nothing wraps.
 *
 * The dose is kept in two rings of buckets, one longer than its window: whatever the window's phase, it lies within
 * the ring, so the sum over the ring is never less than the sum over any window. At most one bucket too strict.
 */
#ifndef CLOSEDLOOP_INTERLOCK_H
#define CLOSEDLOOP_INTERLOCK_H
#include <stdint.h>

#include "wire.h"

#ifndef INTERLOCK_BUCKET_US /* the search and the proofs scale these down */
#define INTERLOCK_BUCKET_US 1000000UL
#define INTERLOCK_BUCKETS 61     /* of the short window, and of the minute that trains are counted in */
#define INTERLOCK_LONG_EVERY 10  /* short buckets in a long one */
#define INTERLOCK_LONG_BUCKETS 61
#endif

typedef struct { /* of the session, each the tighter of the host's and the board's own */
    uint32_t on_us;
    uint32_t off_us;
    uint32_t short_us; /* light in any short window */
    uint32_t long_us;
    uint32_t lease_us;
    uint16_t trains; /* begun in any minute */
    uint16_t level;
} interlock_limits_t;

typedef struct { /* light given, by when */
    uint32_t left_us; /* until the next bucket */
    uint32_t short_sum_us;
    uint32_t long_sum_us;
    uint32_t short_us[INTERLOCK_BUCKETS];
    uint32_t long_us[INTERLOCK_LONG_BUCKETS];
    uint8_t trains[INTERLOCK_BUCKETS];
    uint8_t trains_sum;
    uint8_t at;
    uint8_t long_at;
    uint8_t until_long; /* short buckets until the next long one */
} interlock_ledger_t;

typedef struct {
    uint8_t state;       /* STATE_... */
    uint8_t trip_reason; /* REASON_...; of the last trip */
    uint8_t closed;      /* the interlock; taken as open until it is seen closed */
    uint8_t gate_open;   /* the external gate; the same */
    uint8_t limits_set;
    uint8_t lit;
    uint8_t counted;         /* the train in hand has given light, and is in the ledger */
    uint32_t lease_left_us;  /* above 0 exactly while armed */
    uint32_t on_left_us;     /* above 0 exactly while lit */
    uint32_t granted_us;     /* light that the train in hand may still give */
    uint32_t rested_us;      /* darkness since the last light, no more than is asked for */
    interlock_limits_t limits;
    interlock_ledger_t ledger;
} interlock_t;

typedef struct { /* a train as far as its light is concerned */
    uint32_t on_us;
    uint32_t ramp_off_us;
    uint32_t wait_us; /* until its first light */
    uint16_t pulses;
    uint16_t level;
} interlock_train_t;

/* Start-up: disarmed, dark, no limits, an empty ledger, interlock and gate taken as shut off. */
void interlock_init(interlock_t *il);

/* So much time has passed. It ends light that has lasted too long, and trips if the lease ends. */
void interlock_pass(interlock_t *il, uint32_t us);

/* How long until interlock_pass has something to end; UINT32_MAX where there is nothing. */
uint32_t interlock_due(const interlock_t *il);

/* Takes the tighter of these and the ceiling, unless armed. Returns what is now in force, as it goes on the wire. */
wire_limits_t interlock_set_limits(interlock_t *il, const wire_limits_t *wanted);

/* Arms, and clears a trip; the lease starts. Returns REASON_NONE, or why not. */
uint8_t interlock_arm(interlock_t *il);

/* The host is alive: the lease starts anew if armed. */
void interlock_heartbeat(interlock_t *il);

/* Dark, and disarmed unless tripped. */
void interlock_disarm(interlock_t *il);

/* The interlock input. Opening trips in every state; closing does nothing but allow an Arm. */
void interlock_input(interlock_t *il, uint8_t closed);

/* The external gate input. Shutting ends light and the train in hand; it trips nothing. */
void interlock_gate(interlock_t *il, uint8_t open);

/* Whether a train could begin at all, as far as the state goes: REASON_NONE, or why not. */
uint8_t interlock_ready(const interlock_t *il);

/* Grants a train its light, all of it or none: REASON_NONE, or the first limit against it. */
uint8_t interlock_grant(interlock_t *il, const interlock_train_t *train);

/* Light on. Returns 1, or 0 if that is not allowed now. */
uint8_t interlock_rise(interlock_t *il);

/* Light off; the train may rise again. */
void interlock_fall(interlock_t *il);

/* Light off, and the train is over: what it did not give is taken back. */
void interlock_end(interlock_t *il);

#endif
