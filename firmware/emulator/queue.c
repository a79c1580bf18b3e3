/* Queues that grow, and the event log. Nothing is ever dropped from either. */
#include <stdlib.h>

#include "emulator.h"

static void grow(queue_t *queue) {
    uint32_t capacity = queue->capacity ? queue->capacity * 2 : 256;
    item_t *items = malloc(capacity * sizeof *items);
    if (!items) abort();
    for (uint32_t i = 0; i < queue->count; i++) items[i] = queue->items[(queue->start + i) & (queue->capacity - 1)];
    free(queue->items);
    *queue = (queue_t){.items = items, .start = 0, .count = queue->count, .capacity = capacity};
}

void queue_push(queue_t *queue, uint64_t cycle, uint32_t what, uint32_t value) {
    if (queue->count == queue->capacity) grow(queue);
    queue->items[(queue->start + queue->count) & (queue->capacity - 1)] = (item_t){cycle, what, value};
    queue->count++;
}

item_t *queue_first(queue_t *queue) { return queue->count ? &queue->items[queue->start] : 0; }

void queue_pop(queue_t *queue) {
    queue->start = (queue->start + 1) & (queue->capacity - 1);
    queue->count--;
}

void board_log(board_t *board, uint32_t kind, uint32_t value) {
    queue_push(&board->events, board->avr->cycle, kind, value);
}
