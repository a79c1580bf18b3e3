/* When the light's gate rises and falls next: of the stimulator's changes of level, those that an output compare makes.
 *
 * Steps of a ramp are no edges of the gate; the end of the lease is one. Nothing is changed here.
 */
#ifndef CLOSEDLOOP_EDGES_H
#define CLOSEDLOOP_EDGES_H
#include <stdint.h>

#include "stimulator.h"

typedef struct {
    uint8_t rises;    /* dark, and a rise is to come */
    uint8_t falls;    /* a fall is to come: of the light there is, or of the light to come */
    uint32_t rise_at; /* ticks */
    uint32_t fall_at;
    uint16_t level; /* of the light there is, or of the light to come */
} edges_t;

/* The next edges if nobody says anything. Light that the lease would end before it begins is not to come. */
edges_t edges_next(const stimulator_t *stimulator);

#endif
