"""`python -m moe_keras`, where the command is not on the path."""

from moe_keras.cli import main

main()
