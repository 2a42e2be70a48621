"""`python -m nrem` is the command line."""

from nrem.runtime.commands.main import main

main()
