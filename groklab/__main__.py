"""``python -m groklab`` is the command line."""

import sys

from groklab.cli import main

if __name__ == "__main__":
    sys.exit(main())
