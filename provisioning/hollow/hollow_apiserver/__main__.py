"""Runs the API server when the archive that is made of this package is executed."""

import sys

from hollow_common.facts import load

from hollow_apiserver.program import run

load()
sys.exit(run(sys.argv))
