"""`closedloop randomise`: animals to arms, sides and orders, once; the key is sealed, and no arm is printed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from closedloop.commands import show
from closedloop.errors import ConfigError


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser("randomise", help="allocate a study's animals to arms and orders, once, sealed")
    one = parser.add_argument
    one("study", metavar="STUDY.yaml", type=Path)
    one("--seed", metavar="N", type=int, help="draw again what was drawn before (default: drawn, and sealed)")
    one("--again", action="store_true", help="in place of an allocation that nothing was run with")
    one("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(command=_randomise)


def _randomise(options: argparse.Namespace) -> int:
    from closedloop import terminal_table
    from closedloop.studies import allocation, audit, files, making
    from closedloop.study import load_study

    if options.seed is not None and not 0 <= options.seed <= 2**53:
        raise ConfigError(f"--seed: must be from 0 to 2^53 (got {options.seed})")
    study = load_study(options.study)
    there = files.Files(options.study)
    _refuse_again(there, study, options)
    audit.read(there.audit)  # refused before anything is written
    public, key, drawn = making.make(study, options.study, options.seed)
    audit.append(
        there.audit,
        "randomise again" if there.allocation.exists() else "randomise",
        study_sha256=public.study_sha256,
        commitment=public.commitment,
    )
    making.write(there, public, key)
    balance = dict(allocation.balance(study, drawn))
    written = {"allocation": str(there.allocation), "key": str(there.key), "audit": str(there.audit)}
    result = {"study": study.name, "animals": public.model_dump(mode="json")["animals"], "balance": balance}
    lines = [*terminal_table.lines(_table(public)), *terminal_table.lines(_balance(balance)), *written.values()]
    show(result | {"commitment": public.commitment, "files": written}, lines, as_json=options.json)
    return 0


def _refuse_again(there: Any, study: Any, options: argparse.Namespace) -> None:
    """Raises ConfigError where there is an allocation, unless nothing was run and it is asked for."""
    from closedloop.studies.sessions import ran

    if not there.allocation.exists() and not there.key.exists():
        return
    sessions, _ = ran(study, there.data(study))
    if sessions:
        said = f"is there already, and {len(sessions)} sessions were run with it, such as {sessions[0].folder}"
        raise ConfigError(f"{there.allocation}: {said}; an allocation that was used stays as it is")
    if not options.again:
        path = there.allocation if there.allocation.exists() else there.key
        raise ConfigError(f"{path}: is there already; if nothing was run and it must be drawn anew, add --again")


def _table(public: Any) -> Any:
    from rich.table import Table

    table = Table("order", "animal", "code", "drawn", "conditions")
    for one in sorted(public.animals, key=lambda placed: placed.rank):
        drawn = ", ".join(f"{name} {level}" for name, level in one.drawn.items())
        orders = "\n".join(f"{phase}: {', '.join(order)}" for phase, order in one.orders.items())
        table.add_row(str(one.rank), one.id, one.code, drawn or "-", orders or "-")
    return table


def _balance(balance: dict[str, dict[str, int]]) -> Any:
    from rich.table import Table

    table = Table("balance", "how many")
    for name, counts in balance.items():
        table.add_row(name, ", ".join(f"{level} {count}" for level, count in counts.items()))
    return table
