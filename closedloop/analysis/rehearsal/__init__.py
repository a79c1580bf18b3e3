"""A study tried on virtual animals, in virtual time, through the very loop that a session runs. No port, no clock.

What comes out says how a design behaves under assumptions: doses, their match between arms, how often the detector
triggers, how many animals a contrast would take IF light did what is assumed. Nothing here is a finding.

    light       trains as a stimulator would give them, and their mean over each reading
    order       one session to be rehearsed, and its loop
    driver      that session: animal, arena and loop, closed over the light
    animals     virtual animals drawn around the rig's
    script      a study with its protocols and a simulated rig
    partners    rehearsed trains as a file for yoked arms
    whole       every animal, phase and arm of a study
    power       simulated studies made of those animals, and how many show a difference
    report      numbers and JSON; tables writes CSV, figure draws
"""
