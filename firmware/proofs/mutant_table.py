"""The mutants: one small mistake each, as it might be made. What is never caught says why it does no harm."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One mistake: `old` occurs in the file (once, or `nth` counts from 0) and becomes `new`.

    `harmless` is the reason why nothing can see it; such a mutant must indeed survive.
    """

    file: str
    old: str
    new: str
    nth: int = 0
    harmless: str = ""


IL, TR = "interlock.c", "train.c"

MUTANTS = (
    # Who may light at all.
    Mutant(IL, "uint8_t may = il->state == STATE_ARMED && il->closed", "uint8_t may = il->closed",
           harmless="a grant is outstanding while armed alone: every way out of ARMED takes it back"),
    Mutant(IL, "il->state == STATE_ARMED && il->closed && il->gate_open", "il->state == STATE_ARMED && il->gate_open",
           harmless="armed means closed: opening trips"),
    Mutant(IL, "il->closed && il->gate_open && il->granted_us", "il->closed && il->granted_us",
           harmless="shutting the gate takes the grant back"),
    Mutant(IL, "il->gate_open && il->granted_us > 0 && !il->lit", "il->gate_open && !il->lit"),
    Mutant(IL, "il->granted_us > 0 && !il->lit &&", "il->granted_us > 0 &&"),
    Mutant(IL, "il->rested_us >= il->limits.off_us;", "1;"),
    Mutant(IL, "il->rested_us >= il->limits.off_us;", "il->rested_us + 1000 >= il->limits.off_us;"),
    Mutant(IL, "il->on_left_us = il->limits.on_us;\n    return 1;",
           "il->on_left_us = 2 * il->limits.on_us;\n    return 1;"),
    # Ways into ARMED, and out of it.
    Mutant(IL, "if (!il->closed) {\n        return REASON_INTERLOCK_OPEN;\n    }\n    il->state", "il->state"),
    Mutant(IL, "!il->limits_set || il->limits.lease_us == 0", "il->limits.lease_us == 0"),
    Mutant(IL, "!il->limits_set || il->limits.lease_us == 0", "!il->limits_set"),
    Mutant(IL, "if (il->state == STATE_ARMED) {\n        il->lease_left_us = il->limits.lease_us;",
           "if (1) {\n        il->lease_left_us = il->limits.lease_us;",
           harmless="the lease is read while armed alone, and arming sets it; prove sees it"),
    Mutant(IL, "if (il->state == STATE_ARMED) {\n        il->lease_left_us = il->limits.lease_us;",
           "if (1) {\n        il->state = STATE_ARMED;\n        il->lease_left_us = il->limits.lease_us;"),
    Mutant(IL, "il->lease_left_us = il->limits.lease_us;", "il->lease_left_us += il->limits.lease_us;", nth=1),
    Mutant(IL, "il->lease_left_us = less(il->lease_left_us, us);", ""),
    Mutant(IL, "        if (il->lease_left_us == 0) {\n            trip", "        if (0) {\n            trip"),
    Mutant(IL, "trip(il, REASON_LEASE_EXPIRED);", "il->state = STATE_TRIPPED;"),
    Mutant(IL, "uint8_t opens = il->closed && !closed;", "uint8_t opens = il->closed && !closed && il->lit;"),
    Mutant(IL, "if (opens) {\n        trip(il, REASON_INTERLOCK_OPEN);", "if (opens) {\n        interlock_end(il);"),
    Mutant(IL, "il->closed = closed != 0;", "il->closed = 1;"),
    Mutant(IL, "    if (opens) {\n        trip", "    if (closed && il->state == STATE_TRIPPED) {\n        "
           "il->state = STATE_DISARMED;\n    }\n    if (opens) {\n        trip"),
    Mutant(IL, "    interlock_end(il);\n    il->lease_left_us = 0;\n    if (il->state == STATE_ARMED) {",
           "    il->lease_left_us = 0;\n    if (il->state == STATE_ARMED) {"),
    Mutant(IL, "    if (il->state == STATE_ARMED) {\n        il->state = STATE_DISARMED;",
           "    if (1) {\n        il->state = STATE_DISARMED;"),
    Mutant(IL, "if (!open) {\n        interlock_end(il);", "if (!open) {\n        interlock_fall(il);"),
    Mutant(IL, "if (!open) {\n        interlock_end(il);", "if (0) {\n        interlock_end(il);"),
    Mutant(IL, "if (il->state != STATE_TRIPPED) {\n        il->trip_reason", "if (1) {\n        il->trip_reason"),
    # How long light lasts, and darkness.
    Mutant(IL, "    il->on_left_us = less(il->on_left_us, us);\n", ""),
    Mutant(IL, "if (il->on_left_us == 0 || il->granted_us == 0)", "if (il->granted_us == 0)"),
    Mutant(IL, "if (il->on_left_us == 0 || il->granted_us == 0)", "if (il->on_left_us == 0)"),
    Mutant(IL, "    il->granted_us = less(il->granted_us, us);\n", ""),
    Mutant(IL, "    if (il->lit) {\n        il->rested_us = 0;\n    }\n", ""),
    Mutant(IL, "    il->lit = 0;\n    il->on_left_us = 0;\n}", "    il->on_left_us = 0;\n}"),
    Mutant(IL, "il->rested_us += least(us, missing);", "il->rested_us += missing;"),
    Mutant(IL, "il->rested_us += least(us, missing);", "il->rested_us += us;"),
    Mutant(IL, "    interlock_fall(il);\n    il->granted_us = 0;", "    interlock_fall(il);"),
    # Limits.
    Mutant(IL, "least(wanted->on_us, CEILING_ON_US)", "wanted->on_us"),
    Mutant(IL, "wanted->off_us > CEILING_OFF_US ? wanted->off_us : CEILING_OFF_US", "wanted->off_us"),
    Mutant(IL, "least(wanted->short_on_ms, CEILING_SHORT_ON_MS) * 1000", "CEILING_SHORT_ON_MS * 1000"),
    Mutant(IL, "least(wanted->long_on_ms, CEILING_LONG_ON_MS) * 1000", "CEILING_LONG_ON_MS * 1000"),
    Mutant(IL, "least16(wanted->trains_per_minute, CEILING_TRAINS_PER_MINUTE)", "wanted->trains_per_minute"),
    Mutant(IL, "least(wanted->lease_ms, CEILING_LEASE_MS) * 1000", "wanted->lease_ms * 1000U"),
    Mutant(IL, "least16(wanted->level, CEILING_LEVEL)", "wanted->level"),
    Mutant(IL, "if (il->state != STATE_ARMED) {\n        limits->on_us", "if (1) {\n        limits->on_us"),
    # What is granted.
    Mutant(IL, "return il->granted_us > 0 ? REASON_BUSY : REASON_NONE;", "return REASON_NONE;"),
    Mutant(IL, "train->on_us > limits->on_us || train->ramp_off_us > limits->on_us - train->on_us",
           "train->on_us > limits->on_us"),
    Mutant(IL, "train->on_us > limits->on_us || train->ramp_off_us > limits->on_us - train->on_us",
           "train->on_us + train->ramp_off_us > limits->on_us"),
    Mutant(IL, "> train->wait_us) {\n        return REASON_OFF_TIME",
           "> train->wait_us + 1000) {\n        return REASON_OFF_TIME"),
    Mutant(IL, "train->level > limits->level", "train->level > CEILING_LEVEL"),
    Mutant(IL, "light > less(limits->short_us, il->ledger.short_sum_us)", "light > limits->short_us"),
    Mutant(IL, "light > less(limits->long_us, il->ledger.long_sum_us)", "light > limits->long_us"),
    Mutant(IL, "light > less(limits->short_us, il->ledger.short_sum_us)",
           "light > limits->short_us - il->ledger.short_sum_us"),
    Mutant(IL, "il->ledger.trains_sum >= limits->trains", "il->ledger.trains_sum > limits->trains"),
    Mutant(IL, "return train->on_us * train->pulses + train->ramp_off_us;", "return train->on_us * train->pulses;"),
    Mutant(IL, "return train->on_us * train->pulses + train->ramp_off_us;",
           "return train->on_us + train->ramp_off_us;"),
    Mutant(IL, "if (train->on_us > CEILING_LONG_ON_MS * 1000 / train->pulses) {", "if (0) {",
           harmless="at this size no product that fits the limits wraps; at real size prove sees it"),
    Mutant(IL, "    il->counted = 0;\n    return REASON_NONE;", "    return REASON_NONE;"),
    # The ledger.
    Mutant(IL, "    ledger->short_us[ledger->at] += us;\n", ""),
    Mutant(IL, "    ledger->short_sum_us += us;\n", ""),
    Mutant(IL, "    ledger->long_sum_us += us;\n", ""),
    Mutant(IL, "    ledger->short_us[ledger->at] = 0;\n    ledger->trains_sum", "    ledger->trains_sum"),
    Mutant(IL, "ledger->at + 1 < INTERLOCK_BUCKETS ?", "ledger->at + 2 < INTERLOCK_BUCKETS ?"),
    Mutant(IL, "ledger->long_at + 1 < INTERLOCK_LONG_BUCKETS ?", "ledger->long_at + 2 < INTERLOCK_LONG_BUCKETS ?"),
    Mutant(IL, "ledger->until_long = INTERLOCK_LONG_EVERY;\n    ledger->long_at = (uint8_t)(",
           "ledger->until_long = 1;\n    ledger->long_at = (uint8_t)("),
    Mutant(IL, "        if (lit) {\n            ledger_spend(ledger, part);\n        }\n", ""),
    Mutant(IL, "    if (lit) {\n        ledger_spend(ledger, us);\n    }\n", ""),
    Mutant(IL, "    ledger->left_us -= us;\n", ""),
    Mutant(IL, "while (us >= ledger->left_us) {", "while (us > ledger->left_us) {"),
    Mutant(IL, "il->ledger.trains_sum++;", ""),
    Mutant(IL, "il->ledger.trains[il->ledger.at]++;", ""),
    Mutant(IL, "il->counted = 1;", ""),
    # The plan of a train.
    Mutant(TR, "on_us < TRAIN_SHORTEST_ON_US || pulses == 0", "pulses == 0"),
    Mutant(TR, "on_us < TRAIN_SHORTEST_ON_US || pulses == 0", "on_us < TRAIN_SHORTEST_ON_US"),
    Mutant(TR, "period_us > on_us && period_us - on_us >= off_us", "period_us - on_us >= off_us"),
    Mutant(TR, "period_us - on_us >= off_us", "period_us - on_us > off_us"),
    Mutant(TR, "lasts_no_longer(period_us, pulses);", "period_us * pulses <= TRAIN_LONGEST_US;"),
    Mutant(TR, "+ (low >> 16);", ";"),
    Mutant(TR, " && (low & 0xFFFFU) == 0", ""),
    Mutant(TR, "high < (TRAIN_LONGEST_US >> 16) ||", "high <= (TRAIN_LONGEST_US >> 16) ||"),
    Mutant(TR, "return level > 0 ? level : 1;", "return level;"),
    Mutant(TR, "if (step >= train->ramp_steps) {", "if (step > train->ramp_steps) {"),
    Mutant(TR, "train->pulses_left--;", ""),
    Mutant(TR, "train->period_us - train->on_us", "train->period_us"),
    Mutant(TR, "train->ramp_steps > 1 ? TRAIN_RAMP_STEP_US : train->ramp_off_us", "TRAIN_RAMP_STEP_US"),
    Mutant(TR, "(train->ramp_off_us + TRAIN_RAMP_STEP_US - 1)", "train->ramp_off_us"),
    Mutant(TR, "(uint32_t)train->full * (uint16_t)", "(uint16_t)(train->full * 2) / 2 * (uint16_t)"),
    Mutant(TR, "    train->ramp_step = 0;\n    train->due_us = is_last", "    train->due_us = is_last"),
    Mutant(TR, "return is_last_pulse(train);\n}", "return 1;\n}", nth=0),
)  # fmt: skip
