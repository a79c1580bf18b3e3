/* Every state that the interlock can reach at scaled constants, by any order of any number of calls per tick.
 *
 * Breadth first from start-up over the compiled interlock itself. A state is the bytes of the interlock and of the
 * independent monitor; each call is judged by the monitor. The first broken property ends the search with the shortest
 * way to it. Usage: search [most states]; exit 1 if a property is broken, 2 if the states are too many.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "monitor.h"
#include "scaled.h"
#include "states.h"

typedef struct {
    interlock_t il;
    monitor_t monitor;
} node_t;

enum kind { PASS, LIMITS, ARM, HEARTBEAT, DISARM, INPUT, GATE, GRANT, RISE, FALL, END };

static const char *const NAMES[] = {"pass", "limits", "arm",  "heartbeat", "disarm", "interlock",
                                    "gate", "grant",  "rise", "fall",      "end"};

#define T TICK_US
#define MOST UINT32_MAX
static const wire_limits_t WANTED[] = {
    {MOST, 0, 0, MOST, 0, MOST, UINT16_MAX, UINT16_MAX, UINT16_MAX},            /* looser than the ceiling throughout */
    {(ON_TICKS - 1) * T, 0, MOST, SHORT_ON_TICKS - 1, MOST, LONG_ON_TICKS, MOST_TRAINS, 1, 1},
#ifdef MORE_LIMITS
    {MOST, (OFF_TICKS + 1) * T, MOST, SHORT_ON_TICKS, MOST, LONG_ON_TICKS - 1, MOST_TRAINS - 1, UINT16_MAX, UINT16_MAX},
    {MOST, 0, 0, MOST, 0, MOST, UINT16_MAX, 0, UINT16_MAX},                     /* no lease at all */
#endif
};

static const interlock_train_t TRAINS[] = {
    {1 * T, 0, 0, 1, 1},
    {1 * T, 0, 0, 2, 1},
    {1 * T, 1 * T, 0, 1, MOST_LEVEL},
    {1 * T, 0, 0, 3, MOST_LEVEL},
    {1 * T, 1 * T, 0, 2, 1},
    {ON_TICKS * T, 0, OFF_TICKS * T, 1, 1},
    {(ON_TICKS + 1) * T, 0, 0, 1, 1},
    {1 * T, ON_TICKS * T, 0, 1, 1},
    {1 * T, 0, 0, 1, MOST_LEVEL + 1},
    {1 * T, 0, 0, 1, 0},
    {1 * T, 0, 0, 0, 1},
    {0, 1 * T, 0, 1, 1},
    {1 * T, 0, 0, UINT16_MAX, 1},
    {1 * T, MOST, 0, 1, 1},
    {MOST, 1 * T + 1, 0, 1, 1},
    {MOST, MOST, MOST, UINT16_MAX, UINT16_MAX},
};

#define COUNT(array) ((uint8_t)(sizeof(array) / sizeof(array)[0]))

typedef struct {
    uint8_t kind;
    uint8_t which;
} event_t;

static event_t events[64];
static uint8_t event_count;

static void list(enum kind kind, uint8_t first, uint8_t end) {
    for (uint8_t which = first; which < end; which++) {
        events[event_count++] = (event_t){(uint8_t)kind, which};
    }
}

static void list_all(void) {
    list(PASS, 1, 2);
    list(PASS, 2 * BUCKET_TICKS + 1, 2 * BUCKET_TICKS + 2);
    list(LIMITS, 0, COUNT(WANTED));
    list(INPUT, 0, 2);
    list(GATE, 0, 2);
    list(GRANT, 0, COUNT(TRAINS));
    list(ARM, 0, 1);
    list(HEARTBEAT, 0, 1);
    list(DISARM, 0, 1);
    list(RISE, 0, 1);
    list(FALL, 0, 1);
    list(END, 0, 1);
}

static const char *change(node_t *n, event_t e) {
    interlock_t *il = &n->il;
    monitor_t *m = &n->monitor;
    wire_limits_t said;
    switch (e.kind) {
        case PASS:
            interlock_pass(il, e.which * TICK_US);
            return monitor_pass(m, e.which);
        case LIMITS:
            said = interlock_set_limits(il, &WANTED[e.which]);
            return monitor_limits(m, &WANTED[e.which], &said);
        case ARM:
            return monitor_arm(m, interlock_arm(il));
        case HEARTBEAT:
            interlock_heartbeat(il);
            return monitor_heartbeat(m);
        case DISARM:
            interlock_disarm(il);
            return monitor_disarm(m);
        case INPUT:
            interlock_input(il, e.which);
            return monitor_input(m, e.which);
        case GATE:
            interlock_gate(il, e.which);
            return monitor_gate(m, e.which);
        case GRANT:
            return monitor_grant(m, &TRAINS[e.which], interlock_grant(il, &TRAINS[e.which]));
        case RISE:
            return monitor_rise(m, interlock_rise(il));
        case FALL:
            interlock_fall(il);
            return monitor_fall(m);
        default:
            interlock_end(il);
            return monitor_end(m);
    }
}

static const char *step(node_t *n, event_t e) {
    const char *broken = change(n, e);
    return broken != NULL ? broken : monitor_agrees(&n->monitor, &n->il);
}

static void print_way(const states_t *states, uint32_t index) {
    if (index == 0) {
        printf("  start");
        return;
    }
    print_way(states, states->ways[index].parent);
    event_t e = events[states->ways[index].event];
    printf(", %s %d", NAMES[e.kind], e.which);
}

static int report_broken(const states_t *states, uint32_t index, event_t e, const char *broken) {
    printf("BROKEN at scale %d: %s\n", SCALE, broken);
    print_way(states, index);
    printf(", %s %d\n", NAMES[e.kind], e.which);
    return 1;
}

static void start(states_t *states) {
    node_t first;
    memset(&first, 0, sizeof first);
    interlock_init(&first.il);
    monitor_init(&first.monitor);
    states_init(states, sizeof first);
    states_add(states, &first, 0, 0);
}

static void print_figures(const states_t *states, uint64_t transitions, clock_t began) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("scale %d: %" PRIu32 " states, %" PRIu64 " transitions, %.1f s, %ld MB: every property holds\n", SCALE,
           states->count, transitions, (double)(clock() - began) / CLOCKS_PER_SEC, usage.ru_maxrss / 1024);
}

int main(int argc, char **argv) {
    uint32_t most = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20000000U;
    clock_t began = clock();
    uint64_t transitions = 0;
    states_t states;
    list_all();
    start(&states);
    for (uint32_t index = 0; index < states.count; index++) {
        for (uint8_t which = 0; which < event_count; which++) {
            node_t node;
            memcpy(&node, states_at(&states, index), sizeof node);
            if (events[which].kind == PASS && events[which].which > monitor_patience(&node.monitor)) {
                continue;
            }
            const char *broken = step(&node, events[which]);
            if (broken != NULL) {
                return report_broken(&states, index, events[which], broken);
            }
            transitions++;
            states_add(&states, &node, index, which);
        }
        if (states.count > most) {
            printf("scale %d: more than %" PRIu32 " states: not finished\n", SCALE, most);
            return 2;
        }
    }
    print_figures(&states, transitions, began);
    return 0;
}
