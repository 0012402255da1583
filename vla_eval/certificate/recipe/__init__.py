"""Certificates about recipes: a difference over training seeds, initial states and repeats.

A certificate of two checkpoints says nothing about the way in which they were trained. A protocol with a
table ``analysis.recipe`` asks about that, and its runs get this certificate, by themselves: the claim was
chosen with the protocol, so no option of the command line may change or forget it.
"""
