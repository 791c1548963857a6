"""`python -m rec_gym.cli` is `rec-gym`."""

from rec_gym.cli import main

main()
