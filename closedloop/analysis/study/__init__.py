"""`closedloop study report`: level, rate and gain over animals and phases, each by itself.

reference     what an animal is compared with: its anchor, or its baseline sessions
verdict       what a difference says, and when nothing is said
table         sessions, animals and phases as rows
figure        and as three panels
"""
