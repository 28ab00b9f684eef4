"""The worker-node checks of the CIS benchmark that belongs to the kubelet's version.

    pytest --kube-cluster --pyargs pytest_kubecluster.cis

One item per node and check, such as ``test_cis[worker01-4.2.1]``. A manual check that does not hold
is skipped with what was found; a waived one is an expected failure.
"""
