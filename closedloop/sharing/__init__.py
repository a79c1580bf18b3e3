"""What a lab may see of its rigs from other programs and computers. Read only: nothing from outside is ever obeyed.

All of it is a process of its own that follows recordings as they grow. The engine does not know of it: it can be begun
beside any session, killed and begun again, and the session loses nothing. It has outlets and no inlet.
"""

from __future__ import annotations


def one_line(text: object, most: int = 300) -> str:
    """Text from a recording or from the network, for a terminal or another program: one short line, nothing unseen.

    A control character could move a terminal's cursor or colour a warning away; each becomes a space.
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in str(text)[: 4 * most])
    return " ".join(shown.split())[:most]
