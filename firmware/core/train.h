/* When a train's level changes. It plans; whether there is light is the interlock's to say.
 *
 * Times are what remains until the next edge, so nothing here wraps and no clock is read.
 */
#ifndef CLOSEDLOOP_TRAIN_H
#define CLOSEDLOOP_TRAIN_H
#include <stdint.h>

#define TRAIN_SHORTEST_ON_US UINT32_C(50)          /* what an output compare can end after it has begun */
#define TRAIN_LONGEST_US UINT32_C(0x80000000)      /* beyond this, differences of wrapping ticks are ambiguous */
#define TRAIN_LONGEST_WAIT_US UINT32_C(10000000)   /* a start may be scheduled this far ahead */
#define TRAIN_RAMP_STEP_US UINT32_C(1000)
#define TRAIN_NEVER UINT32_MAX

typedef struct {
    uint32_t on_us;
    uint32_t period_us;
    uint32_t ramp_off_us;
    uint32_t due_us;      /* until the next edge; TRAIN_NEVER where there is none */
    uint16_t pulses_left; /* not yet begun */
    uint16_t full;        /* level of a pulse */
    uint16_t level;       /* now */
    uint16_t ramp_steps;  /* of the whole ramp; the last one ends in the dark */
    uint16_t ramp_step;   /* taken so far */
} train_t;

/* No train. */
void train_init(train_t *train);

/* Whether these add up: 1, or 0 for a request that no board could follow. */
uint8_t train_is_sound(uint32_t on_us, uint32_t period_us, uint16_t pulses, uint32_t off_us);

/* Plans a sound train whose first light is so far ahead. */
void train_begin(train_t *train, uint32_t wait_us);

/* So much time has passed, no more than train->due_us. */
void train_pass(train_t *train, uint32_t us);

/* Takes the edge that is due. Returns 1 if it was the last. */
uint8_t train_take_edge(train_t *train);

#endif
