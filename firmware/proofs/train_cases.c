/* Every train of a grid of lengths, edge by edge, against the plain list of its edges. Usage: train_cases; exit 1 if not.
 *
 * The grid holds each limit, one below and one above it. The reference is written in absolute times with 64 bits, so
 * it shares no arithmetic with train.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "train.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define EACH(variable, array) for (size_t variable = 0; variable < COUNT(array); variable++)

static const uint32_t ON_US[] = {50, 51, 999, 1000, 1001, 2500, 1000000};
static const uint32_t REST_US[] = {0, 1, 2000, 2001, 100000};
static const uint16_t PULSES[] = {1, 2, 3, 40};
static const uint32_t RAMP_US[] = {0, 1, 999, 1000, 1001, 1999, 2000, 2001, 3500, 60000, 1000000};
static const uint16_t LEVELS[] = {1, 2, 3, 999, 65535};
static const uint32_t WAIT_US[] = {1, 65, 10000000};

typedef struct {
    uint32_t on_us, period_us, ramp_us, wait_us;
    uint16_t pulses, level;
} case_t;

static uint64_t edges_seen;

static void fail(const case_t *c, const char *what, uint64_t edge) {
    printf("BROKEN: %s at edge %" PRIu64 " of on %" PRIu32 " period %" PRIu32 " pulses %u ramp %" PRIu32
           " level %u wait %" PRIu32 "\n",
           what, edge, c->on_us, c->period_us, c->pulses, c->ramp_us, c->level, c->wait_us);
    exit(1);
}

static uint64_t steps_of(const case_t *c) {
    return c->ramp_us == 0 ? 1 : ((uint64_t)c->ramp_us + 999) / 1000;
}

/* When the edge of this number happens, and the level after it: two per pulse, and the last fall in steps. */
static void expected(const case_t *c, uint64_t edge, uint64_t *at_us, uint16_t *level) {
    uint64_t pulse = edge / 2 < c->pulses ? edge / 2 : c->pulses - 1U;
    uint64_t step = edge - 2 * pulse; /* 0: the rise; 1 and up: the fall */
    uint64_t rise_us = c->wait_us + pulse * c->period_us;
    uint64_t steps = pulse + 1 == c->pulses ? steps_of(c) : 1;
    uint64_t ramp_us = pulse + 1 == c->pulses ? c->ramp_us : 0;
    if (step == 0) {
        *at_us = rise_us;
        *level = c->level;
        return;
    }
    *at_us = rise_us + c->on_us + (step < steps ? step * 1000 : ramp_us);
    uint64_t part = (uint64_t)c->level * (steps - step) / steps;
    *level = (uint16_t)(step == steps ? 0 : part > 0 ? part : 1);
}

static void walk(const case_t *c) {
    train_t train;
    train_init(&train);
    train.on_us = c->on_us;
    train.period_us = c->period_us;
    train.ramp_off_us = c->ramp_us;
    train.pulses_left = c->pulses;
    train.full = c->level;
    train_begin(&train, c->wait_us);
    uint64_t edges = 2ULL * c->pulses + steps_of(c) - 1;
    uint64_t now_us = 0, lit_us = 0;
    for (uint64_t edge = 0; edge < edges; edge++) {
        uint64_t at_us;
        uint16_t level;
        expected(c, edge, &at_us, &level);
        if (now_us + train.due_us != at_us) {
            fail(c, "an edge at another time", edge);
        }
        lit_us += train.level > 0 ? train.due_us : 0;
        now_us = at_us;
        train_pass(&train, train.due_us / 2);
        train_pass(&train, train.due_us);
        if (train_take_edge(&train) != (edge + 1 == edges) || train.level != level) {
            fail(c, "another level, or another end", edge);
        }
        edges_seen++;
    }
    if (train.due_us != TRAIN_NEVER || lit_us != (uint64_t)c->on_us * c->pulses + c->ramp_us) {
        fail(c, "not the light that was asked for, or no end", edges);
    }
}

static void check_soundness(const case_t *c, uint32_t off_us) {
    uint64_t whole_us = (uint64_t)c->period_us * c->pulses;
    uint8_t sound = c->on_us >= 50 && c->pulses >= 1;
    if (c->pulses > 1) {
        sound = sound && c->period_us > c->on_us && (uint64_t)c->on_us + off_us <= c->period_us &&
                whole_us <= 0x80000000ULL;
    }
    if (train_is_sound(c->on_us, c->period_us, c->pulses, off_us) != sound) {
        fail(c, "found sound, or not, against the rules", off_us);
    }
}

static void check_requests(void) {
    static const uint32_t us[] = {0, 1, 49, 50, 51, 2000, 32768, 2000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    static const uint16_t pulses[] = {0, 1, 2, 3, 1000, 65535};
    EACH(on, us) EACH(period, us) EACH(count, pulses) EACH(off, us) {
        case_t c = {us[on], us[period], 0, 0, pulses[count], 1};
        check_soundness(&c, us[off]);
    }
    for (uint32_t count = 2; count <= UINT16_MAX; count++) { /* the longest train, and one that is a little longer */
        for (uint32_t more = 0; more < 2; more++) {
            case_t c = {50, 0x80000000U / count + more, 0, 0, (uint16_t)count, 1};
            check_soundness(&c, 2000);
        }
    }
}

int main(void) {
    clock_t began = clock();
    uint64_t trains = 0;
    check_requests();
    EACH(on, ON_US) EACH(rest, REST_US) EACH(pulses, PULSES) EACH(ramp, RAMP_US) EACH(level, LEVELS) EACH(wait, WAIT_US) {
        case_t c = {ON_US[on], ON_US[on] + REST_US[rest], RAMP_US[ramp], WAIT_US[wait], PULSES[pulses], LEVELS[level]};
        if (REST_US[rest] > 0) {
            walk(&c);
            trains++;
        }
    }
    printf("trains: %" PRIu64 " trains, %" PRIu64 " edges, %.1f s: every edge as asked\n", trains, edges_seen,
           (double)(clock() - began) / CLOCKS_PER_SEC);
    return 0;
}
