"""`python -m pytest_kubecluster` is the kubecluster command."""

import sys

from pytest_kubecluster.cli import main

sys.exit(main())
