"""``python -m proxy`` is ``rerank-proxy``."""

import sys

from proxy.cli import main

sys.exit(main())
