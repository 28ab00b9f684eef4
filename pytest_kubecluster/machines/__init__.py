import logging

# python-vagrant logs that Vagrant is missing when it is imported, also where none is needed.
logging.getLogger("vagrant").addHandler(logging.NullHandler())
