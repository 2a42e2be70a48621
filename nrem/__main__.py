"""`python -m nrem` is the command line."""

import sys

try:
    from nrem.runtime.commands.main import main

    main()
except KeyboardInterrupt:  # while the command line itself was loading
    print("nrem: interrupted", file=sys.stderr)
    sys.exit(130)
