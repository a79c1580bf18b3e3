"""Emulated boards: the real firmware on emulated processors, in virtual time.

Nothing here is part of the program or its releases: it links libsimavr (GPL-3) and exists for tests alone.
"""
