/* A growing array of states with an open-addressed hash table beside it: see states.h. */
#include "states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 65536U

static void *more(void *old, size_t bytes) {
    void *memory = realloc(old, bytes);
    if (memory == NULL) {
        fprintf(stderr, "search: out of memory\n");
        exit(2);
    }
    return memory;
}

static uint64_t hash(const uint8_t *bytes, size_t size) { /* FNV-1a, and a last mixing */
    uint64_t sum = 14695981039346656037ULL;
    for (size_t at = 0; at < size; at++) {
        sum = (sum ^ bytes[at]) * 1099511628211ULL;
    }
    return sum ^ sum >> 29;
}

static uint32_t *slot_of(const states_t *states, const void *state) {
    uint32_t at = (uint32_t)hash(state, states->size) & (states->slots - 1);
    while (states->table[at] != 0 && memcmp(states_at(states, states->table[at] - 1), state, states->size) != 0) {
        at = (at + 1) & (states->slots - 1);
    }
    return &states->table[at];
}

static void make_room(states_t *states, uint32_t room) {
    states->room = room;
    states->slots = 2 * room;
    states->bytes = more(states->bytes, room * states->size);
    states->ways = more(states->ways, room * sizeof *states->ways);
    free(states->table);
    states->table = more(NULL, states->slots * sizeof *states->table);
    memset(states->table, 0, states->slots * sizeof *states->table);
    for (uint32_t index = 0; index < states->count; index++) {
        *slot_of(states, states_at(states, index)) = index + 1;
    }
}

void states_init(states_t *states, size_t size) {
    memset(states, 0, sizeof *states);
    states->size = size;
    make_room(states, FIRST_ROOM);
}

int states_add(states_t *states, const void *state, uint32_t parent, uint8_t event) {
    if (states->count == states->room) {
        make_room(states, 2 * states->room);
    }
    uint32_t *slot = slot_of(states, state);
    if (*slot != 0) {
        return 0;
    }
    memcpy(&states->bytes[states->count * states->size], state, states->size);
    states->ways[states->count] = (states_way_t){parent, event};
    *slot = ++states->count;
    return 1;
}

const void *states_at(const states_t *states, uint32_t index) {
    return &states->bytes[index * states->size];
}
