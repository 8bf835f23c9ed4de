"""What a run needs of devices that are not there: compiled, not guessed."""
