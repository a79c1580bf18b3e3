/* A set of states in the order in which they were found, each with the way that led to it. Host only. */
#ifndef CLOSEDLOOP_STATES_H
#define CLOSEDLOOP_STATES_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t parent; /* index of the state before; its own for the first */
    uint8_t event;   /* that led here */
} states_way_t;

typedef struct {
    size_t size; /* bytes of one state */
    uint32_t count;
    uint32_t room;
    uint32_t slots; /* of the hash table; a power of two */
    uint8_t *bytes;
    states_way_t *ways;
    uint32_t *table; /* index + 1 */
} states_t;

/* An empty set. Ends the program where memory is short, here and in states_add. */
void states_init(states_t *states, size_t size);

/* Adds a state unless it is known. Returns 1 if it was new. */
int states_add(states_t *states, const void *state, uint32_t parent, uint8_t event);

/* The state of this index; valid until the next is added. */
const void *states_at(const states_t *states, uint32_t index);

#endif
