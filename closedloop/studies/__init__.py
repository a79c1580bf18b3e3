"""A study as it is carried out: who is in which arm, what is due, what was run. Its file is `closedloop.study`."""
