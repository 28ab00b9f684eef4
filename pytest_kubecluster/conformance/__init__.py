"""The bundled suite: proves of any cluster, node by node, that it matches its spec.

    pytest --kube-cluster --pyargs pytest_kubecluster.conformance

One item per node and check. Each module's first line names the evidence its checks rest on.
"""
