"""``python -m pqstore``: the same as the ``pqstore`` command."""

import sys

from pqstore.cli import main

sys.exit(main())
