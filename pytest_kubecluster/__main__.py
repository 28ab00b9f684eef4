"""Run the kubecluster command: ``python -m pytest_kubecluster``."""

import sys

from pytest_kubecluster.cli import main

sys.exit(main())
