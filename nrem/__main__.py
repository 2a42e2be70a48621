"""`python -m nrem` is the command line."""

from nrem.runtime.cli import main

main()
