"""The bundled suite: proves of any cluster, node by node, that it is what its spec says.

    pytest --kube-cluster --pyargs pytest_kubecluster.conformance

One item per node and check. Each module's first line says which evidence its checks rest on.
"""
