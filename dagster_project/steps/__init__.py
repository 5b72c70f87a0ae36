"""The five verbs, one file each: what they have in common for all kinds of sources, and where they differ.

What belongs here: joining a stage's pure functions to the lake. What does not: the stages themselves (`landing`,
`shaping`, `model`, `audit`, `lake`, `views`) and the order of the verbs (`pipeline.py`).
"""
