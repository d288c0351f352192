"""The model zoo: cards, weights fetched and verified, networks loaded from them.

Nothing here imports torch or opens a socket until weights are really needed.
"""
