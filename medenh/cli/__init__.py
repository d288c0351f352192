"""The command line: one file a verb, no work done here, heavy imports inside verbs."""
