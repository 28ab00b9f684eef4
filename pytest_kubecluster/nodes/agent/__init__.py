"""The program that runs on a node as root and reports what it sees, as one JSON document.

`pytest_kubecluster.nodes.transport` zips this package together with PyYAML and sends it through
ssh; it is imported from memory, so nothing is written on the node. It needs Python 3.9 or newer,
and starts no kubelet. Private keys, tokens and passwords never leave the node.
"""
