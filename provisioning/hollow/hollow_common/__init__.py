"""What the hollow programs share: Go's words, flags, the log, TLS and HTTP.

Like the programs, it needs Python 3.9 or newer, its standard library, and the modules of PyYAML
that are packed with it.
"""
