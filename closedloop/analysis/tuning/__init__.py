"""`closedloop tune`: which setting of a detector, judged on what it was not chosen by.

grid          settings to try
material      recordings and virtual animals, cut into what is fitted on and what is scored
thresholds    those to try where none are asked for
choice        every setting on every part, and the one that is chosen
report, figure
"""
