/* What is proved of firmware/core/interlock.c, at its real constants, for every input and for ever.
 *
 * Read before interlock.c by the prover alone. `sound` holds after interlock_init and after every call, whatever was
 * called before, with whatever arguments; the rest are the promises of each call. Nothing here may be assumed: there
 * is no axiom but the two definitions of a sum in totals.h.
 */
#ifndef CLOSEDLOOP_CONTRACTS_H
#define CLOSEDLOOP_CONTRACTS_H
#include "interlock.h"
#include "totals.h"

#define SHORT_BUCKETS INTERLOCK_BUCKETS
#define LONG_BUCKETS INTERLOCK_LONG_BUCKETS
#define LONG_BUCKET_US (INTERLOCK_LONG_EVERY * INTERLOCK_BUCKET_US)

/* A ledger, part by part: what is not named is seen at a glance to be as it was. */
#define PARTS_OF(g)                                                                                        \
    g->left_us, g->short_sum_us, g->long_sum_us, g->short_us[0 .. INTERLOCK_BUCKETS - 1],                  \
        g->long_us[0 .. INTERLOCK_LONG_BUCKETS - 1], g->trains[0 .. INTERLOCK_BUCKETS - 1], g->trains_sum, \
        g->at, g->long_at, g->until_long

/* A promise in parts, because the provers do better on small goals. */
#define ENSURES_SOUND_LEDGER(g)                                                                            \
    ensures accounted_short : g->short_sum_us == total(&g->short_us[0], SHORT_BUCKETS);                    \
    ensures accounted_long : g->long_sum_us == total(&g->long_us[0], LONG_BUCKETS);                        \
    ensures accounted_trains : g->trains_sum == total8(&g->trains[0], SHORT_BUCKETS);                      \
    ensures indices : g->at < SHORT_BUCKETS && g->long_at < LONG_BUCKETS;                                   \
    ensures phase : 1 <= g->until_long <= INTERLOCK_LONG_EVERY;                                             \
    ensures short_bounded : no_more_than(&g->short_us[0], SHORT_BUCKETS, INTERLOCK_BUCKET_US);               \
    ensures long_bounded : no_more_than(&g->long_us[0], LONG_BUCKETS, LONG_BUCKET_US);                       \
    ensures short_filled : 1 <= g->left_us <= INTERLOCK_BUCKET_US && short_filled(g);                       \
    ensures long_filled : long_filled(g);
#define ENSURES_SOUND                                                                                      \
    ensures flags(il);                                                                                     \
    ensures sound_limits(&il->limits);                                                                     \
    ENSURES_SOUND_LEDGER((&il->ledger))                                                                    \
    ensures light_is_allowed(il);                                                                          \
    ensures grant_is_covered(il);                                                                          \
    ensures il->lit == 0 ==> il->on_left_us == 0;                                                          \
    ensures lease_is_bounded(il);                                                                          \
    ensures trains_are_bounded(il);

/*@ predicate sound_limits(interlock_limits_t *l) =
      l->on_us <= CEILING_ON_US && l->off_us >= CEILING_OFF_US && l->short_us <= CEILING_SHORT_ON_MS * 1000 &&
      l->long_us <= CEILING_LONG_ON_MS * 1000 && l->trains <= CEILING_TRAINS_PER_MINUTE &&
      l->lease_us <= CEILING_LEASE_MS * 1000 && l->level <= CEILING_LEVEL;

    predicate short_accounted(interlock_ledger_t *g) = g->short_sum_us == total(&g->short_us[0], SHORT_BUCKETS);
    predicate long_accounted(interlock_ledger_t *g) = g->long_sum_us == total(&g->long_us[0], LONG_BUCKETS);
    predicate trains_accounted(interlock_ledger_t *g) = g->trains_sum == total8(&g->trains[0], SHORT_BUCKETS);
    predicate accounted(interlock_ledger_t *g) = short_accounted(g) && long_accounted(g) && trains_accounted(g);

    predicate bounded(interlock_ledger_t *g) =
      g->at < SHORT_BUCKETS && g->long_at < LONG_BUCKETS && 1 <= g->until_long <= INTERLOCK_LONG_EVERY &&
      no_more_than(&g->short_us[0], SHORT_BUCKETS, INTERLOCK_BUCKET_US) &&
      no_more_than(&g->long_us[0], LONG_BUCKETS, LONG_BUCKET_US);

    // A bucket never holds more light than has passed of it.
    predicate short_filled(interlock_ledger_t *g) = g->short_us[g->at] <= INTERLOCK_BUCKET_US - g->left_us;
    predicate long_filled(interlock_ledger_t *g) =
      g->long_us[g->long_at] <= LONG_BUCKET_US - ((g->until_long - 1) * INTERLOCK_BUCKET_US + g->left_us);
    predicate filled(interlock_ledger_t *g) =
      1 <= g->left_us <= INTERLOCK_BUCKET_US && short_filled(g) && long_filled(g);

    predicate sound_ledger(interlock_ledger_t *g) =
      accounted(g) && bounded(g) && filled(g);

    predicate flags(interlock_t *il) =
      (il->closed == 0 || il->closed == 1) && (il->gate_open == 0 || il->gate_open == 1) &&
      (il->limits_set == 0 || il->limits_set == 1) && (il->lit == 0 || il->lit == 1) &&
      (il->counted == 0 || il->counted == 1) &&
      (il->state == STATE_DISARMED || il->state == STATE_ARMED || il->state == STATE_TRIPPED);

    predicate light_is_allowed(interlock_t *il) =
      il->lit == 1 ==> (il->state == STATE_ARMED && il->closed == 1 && il->gate_open == 1 && il->lease_left_us > 0 &&
        0 < il->on_left_us <= il->limits.on_us && il->granted_us > 0 && il->counted == 1);

    // What is granted and not yet given is covered by both windows and by the number of trains.
    predicate grant_is_covered(interlock_t *il) =
      il->granted_us > 0 ==> (il->state == STATE_ARMED && il->gate_open == 1 && il->limits.on_us > 0 &&
        il->ledger.short_sum_us + il->granted_us <= il->limits.short_us &&
        il->ledger.long_sum_us + il->granted_us <= il->limits.long_us &&
        (il->counted == 0 ==> il->ledger.trains_sum < il->limits.trains));

    predicate lease_is_bounded(interlock_t *il) =
      (il->state == STATE_ARMED <==> il->lease_left_us > 0) && il->lease_left_us <= il->limits.lease_us &&
      (il->state == STATE_ARMED ==> (il->closed == 1 && il->limits_set == 1));

    predicate trains_are_bounded(interlock_t *il) = il->ledger.trains_sum <= CEILING_TRAINS_PER_MINUTE;

    predicate sound(interlock_t *il) =
      flags(il) && sound_limits(&il->limits) && sound_ledger(&il->ledger) && light_is_allowed(il) &&
      grant_is_covered(il) && (il->lit == 0 ==> il->on_left_us == 0) && lease_is_bounded(il) && trains_are_bounded(il);

    // The dose keeps to the ceiling, light already granted included.
    predicate within_ceiling(interlock_t *il) =
      il->ledger.short_sum_us + il->granted_us <= CEILING_SHORT_ON_MS * 1000 &&
      il->ledger.long_sum_us + il->granted_us <= CEILING_LONG_ON_MS * 1000;

    predicate dark(interlock_t *il) = il->lit == 0 && il->granted_us == 0;
*/

/*@ assigns \nothing;
    ensures \result == (a < b ? a : b); */
static uint32_t least(uint32_t a, uint32_t b);

/*@ assigns \nothing;
    ensures \result == (a > b ? a - b : 0); */
static uint32_t less(uint32_t a, uint32_t b);

/*@ assigns \nothing;
    ensures \result == (a < b ? a : b); */
static uint16_t least16(uint16_t a, uint16_t b);

/*@ requires \valid(ledger);
    assigns PARTS_OF(ledger);
    ENSURES_SOUND_LEDGER(ledger)
    ensures ledger->short_sum_us == 0 && ledger->long_sum_us == 0 && ledger->trains_sum == 0; */
static void ledger_init(interlock_ledger_t *ledger);

/*@ requires \valid(ledger) && accounted(ledger) && ledger->long_at < LONG_BUCKETS && ledger->at < SHORT_BUCKETS;
    requires no_more_than(&ledger->long_us[0], LONG_BUCKETS, LONG_BUCKET_US);
    assigns ledger->until_long, ledger->long_at, ledger->long_sum_us, ledger->long_us[0 .. LONG_BUCKETS - 1];
    ensures ledger->short_sum_us == total(&ledger->short_us[0], SHORT_BUCKETS);
    ensures ledger->long_sum_us == total(&ledger->long_us[0], LONG_BUCKETS);
    ensures ledger->trains_sum == total8(&ledger->trains[0], SHORT_BUCKETS);
    ensures ledger->long_at < LONG_BUCKETS;
    ensures no_more_than(&ledger->long_us[0], LONG_BUCKETS, LONG_BUCKET_US);
    ensures ledger->until_long == INTERLOCK_LONG_EVERY && ledger->long_us[ledger->long_at] == 0;
    ensures ledger->left_us == \old(ledger->left_us) && ledger->at == \old(ledger->at);
    ensures ledger->short_sum_us == \old(ledger->short_sum_us);
    ensures ledger->long_sum_us <= \old(ledger->long_sum_us);
    ensures \old(short_filled(ledger)) ==> short_filled(ledger);
    ensures \old(ledger->left_us) <= INTERLOCK_BUCKET_US ==> long_filled(ledger);
    ensures \old(no_more_than(&ledger->short_us[0], SHORT_BUCKETS, INTERLOCK_BUCKET_US)) ==>
      no_more_than(&ledger->short_us[0], SHORT_BUCKETS, INTERLOCK_BUCKET_US);
    ensures ledger->long_sum_us == \old(ledger->long_sum_us) - \old(ledger->long_us[ledger->long_at + 1 <
      LONG_BUCKETS ? ledger->long_at + 1 : 0]); */
static void next_long_bucket(interlock_ledger_t *ledger);

/*@ requires \valid(ledger) && accounted(ledger) && bounded(ledger);
    requires ledger->long_us[ledger->long_at] <= LONG_BUCKET_US - (ledger->until_long - 1) * INTERLOCK_BUCKET_US;
    assigns PARTS_OF(ledger);
    ENSURES_SOUND_LEDGER(ledger)
    ensures ledger->left_us == INTERLOCK_BUCKET_US;
    ensures ledger->short_sum_us <= \old(ledger->short_sum_us);
    ensures ledger->long_sum_us <= \old(ledger->long_sum_us);
    ensures ledger->trains_sum <= \old(ledger->trains_sum); */
static void next_bucket(interlock_ledger_t *ledger);

/*@ requires \valid(ledger) && accounted(ledger) && bounded(ledger);
    requires ledger->short_us[ledger->at] + us <= INTERLOCK_BUCKET_US;
    requires ledger->long_us[ledger->long_at] + us <= LONG_BUCKET_US;
    assigns ledger->short_us[ledger->at], ledger->short_sum_us, ledger->long_us[ledger->long_at], ledger->long_sum_us;
    ensures ledger->short_sum_us == total(&ledger->short_us[0], SHORT_BUCKETS);
    ensures ledger->long_sum_us == total(&ledger->long_us[0], LONG_BUCKETS);
    ensures ledger->trains_sum == total8(&ledger->trains[0], SHORT_BUCKETS);
    ensures bounded(ledger);
    ensures ledger->short_us[ledger->at] == \old(ledger->short_us[ledger->at]) + us;
    ensures ledger->long_us[ledger->long_at] == \old(ledger->long_us[ledger->long_at]) + us;
    ensures ledger->short_sum_us == \old(ledger->short_sum_us) + us;
    ensures ledger->long_sum_us == \old(ledger->long_sum_us) + us; */
static void ledger_spend(interlock_ledger_t *ledger, uint32_t us);

/*@ requires \valid(ledger) && sound_ledger(ledger);
    assigns PARTS_OF(ledger);
    ENSURES_SOUND_LEDGER(ledger)
    ensures ledger->short_sum_us <= \old(ledger->short_sum_us) + (lit ? us : 0);
    ensures ledger->long_sum_us <= \old(ledger->long_sum_us) + (lit ? us : 0);
    ensures ledger->trains_sum <= \old(ledger->trains_sum);
    ensures no_light_is_forgotten: lit && us < \old(ledger->left_us) ==>
      (ledger->short_sum_us == \old(ledger->short_sum_us) + us &&
       ledger->long_sum_us == \old(ledger->long_sum_us) + us); */
static void ledger_pass(interlock_ledger_t *ledger, uint32_t us, uint8_t lit);

/*@ requires \valid(il);
    assigns *il;
    ENSURES_SOUND
    ensures within_ceiling(il) && dark(il) && il->state == STATE_DISARMED;
    ensures il->closed == 0 && il->gate_open == 0 && il->limits_set == 0; */
void interlock_init(interlock_t *il);

/*@ requires \valid(il);
    assigns il->lit, il->on_left_us, il->rested_us;
    ensures il->lit == 0 && il->on_left_us == 0;
    ensures il->rested_us == (\old(il->lit) ? 0 : \old(il->rested_us)); */
void interlock_fall(interlock_t *il);

/*@ requires \valid(il);
    assigns il->lit, il->on_left_us, il->rested_us, il->granted_us;
    ensures dark(il) && il->on_left_us == 0;
    ensures il->rested_us == (\old(il->lit) ? 0 : \old(il->rested_us)); */
void interlock_end(interlock_t *il);

/*@ requires \valid(il);
    assigns il->lit, il->on_left_us, il->rested_us, il->granted_us, il->lease_left_us, il->trip_reason, il->state;
    ensures dark(il) && il->on_left_us == 0 && il->lease_left_us == 0 && il->state == STATE_TRIPPED;
    ensures il->trip_reason == (\old(il->state) == STATE_TRIPPED ? \old(il->trip_reason) : reason);
    ensures il->rested_us == (\old(il->lit) ? 0 : \old(il->rested_us)); */
static void trip(interlock_t *il, uint8_t reason);

/*@ requires \valid(il) && il->lit == 1;
    assigns il->lit, il->on_left_us, il->rested_us, il->granted_us;
    ensures il->granted_us == (\old(il->granted_us) > us ? \old(il->granted_us) - us : 0);
    ensures il->lit == 1 <==> (us < \old(il->on_left_us) && us < \old(il->granted_us));
    ensures il->lit == 0 || il->lit == 1;
    ensures il->on_left_us == (il->lit ? \old(il->on_left_us) - us : 0); */
static void pass_light(interlock_t *il, uint32_t us);

/*@ requires \valid(il) && sound(il);
    assigns il->state, il->trip_reason, il->lit, il->lease_left_us, il->on_left_us, il->granted_us, il->rested_us,
      PARTS_OF((&il->ledger));
    ENSURES_SOUND
    ensures light_lasts_no_longer: il->lit == 1 ==> (\old(il->lit) == 1 &&
      il->on_left_us == \old(il->on_left_us) - us && il->granted_us == \old(il->granted_us) - us);
    ensures lease_runs: il->state == STATE_ARMED ==> (\old(il->state) == STATE_ARMED &&
      il->lease_left_us == \old(il->lease_left_us) - us);
    ensures lease_trips: \old(il->state) == STATE_ARMED && us >= \old(il->lease_left_us) ==>
      (il->state == STATE_TRIPPED && il->trip_reason == REASON_LEASE_EXPIRED && dark(il));
    ensures \old(il->state) != STATE_ARMED ==>
      (il->state == \old(il->state) && il->trip_reason == \old(il->trip_reason));
    ensures \old(il->state) == STATE_ARMED && us < \old(il->lease_left_us) ==> il->state == STATE_ARMED;
    ensures no_new_grant: il->granted_us <= \old(il->granted_us);
    ensures light_is_written_down: \old(il->lit) == 1 && us < \old(il->ledger.left_us) ==>
      (il->ledger.short_sum_us == \old(il->ledger.short_sum_us) + us &&
       il->ledger.long_sum_us == \old(il->ledger.long_sum_us) + us);
    ensures in_time: \old(within_ceiling(il)) && (\old(il->lit) == 0 || us <= \old(il->granted_us)) ==>
      within_ceiling(il); */
void interlock_pass(interlock_t *il, uint32_t us);

/*@ requires \valid_read(il) && sound(il);
    assigns \nothing;
    ensures \result > 0;
    ensures il->state == STATE_ARMED ==> \result <= il->lease_left_us;
    ensures il->lit == 1 ==> (\result <= il->on_left_us && \result <= il->granted_us);
    ensures il->state != STATE_ARMED ==> \result == UINT32_MAX; */
uint32_t interlock_due(const interlock_t *il);

/*@ requires \valid_read(limits) && sound_limits(limits);
    assigns \nothing;
    ensures \result.on_us == limits->on_us && \result.off_us == limits->off_us && \result.level == limits->level;
    ensures \result.trains_per_minute == limits->trains && \result.lease_ms == limits->lease_us / 1000;
    ensures \result.short_on_ms == limits->short_us / 1000 && \result.long_on_ms == limits->long_us / 1000;
    ensures \result.short_window_ms == CEILING_SHORT_WINDOW_MS && \result.long_window_ms == CEILING_LONG_WINDOW_MS; */
static wire_limits_t in_force(const interlock_limits_t *limits);

/*@ requires \valid(il) && sound(il) && \valid_read(wanted) && \separated(il, wanted);
    assigns il->limits, il->limits_set;
    ENSURES_SOUND
    ensures \old(within_ceiling(il)) ==> within_ceiling(il);
    ensures fixed_while_armed: il->state == STATE_ARMED ==>
      (il->limits == \old(il->limits) && il->limits_set == \old(il->limits_set));
    ensures never_looser: il->state != STATE_ARMED ==> (il->limits_set == 1 &&
      il->limits.on_us == (wanted->on_us < CEILING_ON_US ? wanted->on_us : CEILING_ON_US) &&
      il->limits.off_us == (wanted->off_us > CEILING_OFF_US ? wanted->off_us : CEILING_OFF_US) &&
      il->limits.short_us <= wanted->short_on_ms * 1000 && il->limits.long_us <= wanted->long_on_ms * 1000 &&
      il->limits.trains <= wanted->trains_per_minute && il->limits.lease_us <= wanted->lease_ms * 1000 &&
      il->limits.level <= wanted->level);
    ensures \result.on_us == il->limits.on_us && \result.off_us == il->limits.off_us; */
wire_limits_t interlock_set_limits(interlock_t *il, const wire_limits_t *wanted);

/*@ requires \valid(il) && sound(il);
    assigns il->state, il->lease_left_us;
    ENSURES_SOUND
    ensures \old(within_ceiling(il)) ==> within_ceiling(il);
    ensures refused: \result == REASON_NONE <==>
      (il->limits_set == 1 && il->limits.lease_us > 0 && il->closed == 1);
    ensures \result == REASON_NONE ==> (il->state == STATE_ARMED && il->lease_left_us == il->limits.lease_us);
    ensures \result != REASON_NONE ==>
      (il->state == \old(il->state) && il->lease_left_us == \old(il->lease_left_us)); */
uint8_t interlock_arm(interlock_t *il);

/*@ requires \valid(il) && sound(il);
    assigns il->lease_left_us;
    ENSURES_SOUND
    ensures \old(within_ceiling(il)) ==> within_ceiling(il);
    ensures il->state == STATE_ARMED ==> il->lease_left_us == il->limits.lease_us;
    ensures il->state != STATE_ARMED ==> il->lease_left_us == 0; */
void interlock_heartbeat(interlock_t *il);

/*@ requires \valid(il) && sound(il);
    assigns il->state, il->lease_left_us, il->lit, il->on_left_us, il->granted_us, il->rested_us;
    ENSURES_SOUND
    ensures \old(within_ceiling(il)) ==> within_ceiling(il);
    ensures dark(il) && il->state == (\old(il->state) == STATE_TRIPPED ? STATE_TRIPPED : STATE_DISARMED); */
void interlock_disarm(interlock_t *il);

/*@ requires \valid(il) && sound(il);
    assigns il->closed, il->state, il->trip_reason, il->lease_left_us, il->lit, il->on_left_us, il->granted_us,
      il->rested_us;
    ENSURES_SOUND
    ensures \old(within_ceiling(il)) ==> within_ceiling(il);
    ensures il->closed == (closed ? 1 : 0);
    ensures opens: \old(il->closed) == 1 && closed == 0 ==> (dark(il) && il->state == STATE_TRIPPED);
    ensures else_nothing: \old(il->closed) == 0 || closed != 0 ==> (il->state == \old(il->state) &&
      il->lit == \old(il->lit) && il->granted_us == \old(il->granted_us) && il->on_left_us == \old(il->on_left_us) &&
      il->lease_left_us == \old(il->lease_left_us) && il->rested_us == \old(il->rested_us)); */
void interlock_input(interlock_t *il, uint8_t closed);

/*@ requires \valid(il) && sound(il);
    assigns il->gate_open, il->lit, il->on_left_us, il->granted_us, il->rested_us;
    ENSURES_SOUND
    ensures \old(within_ceiling(il)) ==> within_ceiling(il);
    ensures il->gate_open == (open ? 1 : 0) && (open == 0 ==> dark(il));
    ensures open != 0 ==> (il->lit == \old(il->lit) && il->granted_us == \old(il->granted_us) &&
      il->on_left_us == \old(il->on_left_us) && il->rested_us == \old(il->rested_us)); */
void interlock_gate(interlock_t *il, uint8_t open);

/*@ requires \valid_read(il) && sound(il);
    assigns \nothing;
    ensures \result == REASON_NONE <==>
      (il->closed == 1 && il->state == STATE_ARMED && il->gate_open == 1 && il->granted_us == 0);
    ensures il->granted_us > 0 ==> \result == REASON_BUSY; */
uint8_t interlock_ready(const interlock_t *il);

/*@ requires \valid_read(train) && train->pulses > 0 && train->on_us > 0;
    requires train->on_us + train->ramp_off_us <= CEILING_ON_US;
    assigns \nothing;
    ensures \result == train->on_us * train->pulses + train->ramp_off_us || \result == UINT32_MAX;
    ensures \result > 0; */
static uint32_t light_us(const interlock_train_t *train);

/*@ requires \valid(il) && sound(il) && \valid_read(train) && \separated(il, train);
    assigns il->granted_us, il->counted;
    ENSURES_SOUND
    ensures \old(within_ceiling(il)) ==> within_ceiling(il);
    ensures refused: \result != REASON_NONE ==>
      (il->granted_us == \old(il->granted_us) && il->counted == \old(il->counted));
    ensures granted: \result == REASON_NONE ==> (il->state == STATE_ARMED && il->closed == 1 && il->gate_open == 1 &&
      \old(il->granted_us) == 0 && il->granted_us == train->on_us * train->pulses + train->ramp_off_us);
    ensures asked_within_limits: \result == REASON_NONE ==> (train->on_us > 0 && train->pulses > 0 &&
      0 < train->level <= il->limits.level && train->on_us + train->ramp_off_us <= il->limits.on_us &&
      il->rested_us + train->wait_us >= il->limits.off_us && il->ledger.trains_sum < il->limits.trains); */
uint8_t interlock_grant(interlock_t *il, const interlock_train_t *train);

/*@ requires \valid(il) && sound(il);
    assigns il->lit, il->on_left_us, il->counted, il->ledger.trains[0 .. SHORT_BUCKETS - 1], il->ledger.trains_sum;
    ENSURES_SOUND
    ensures \old(within_ceiling(il)) ==> within_ceiling(il);
    ensures \result == 1 <==> (il->state == STATE_ARMED && il->closed == 1 && il->gate_open == 1 &&
      il->granted_us > 0 && \old(il->lit) == 0 && il->rested_us >= il->limits.off_us);
    ensures \result == 0 || \result == 1;
    ensures \result == 1 ==> (il->lit == 1 && il->on_left_us == il->limits.on_us);
    ensures \result == 1 ==> il->ledger.trains_sum == \old(il->ledger.trains_sum) + (\old(il->counted) ? 0 : 1);
    ensures \result == 0 ==> (il->lit == \old(il->lit) && il->on_left_us == \old(il->on_left_us) &&
      il->ledger.trains_sum == \old(il->ledger.trains_sum)); */
uint8_t interlock_rise(interlock_t *il);

#endif
