"""Whether a second run of the playbook changes nothing.

    pytest --kube-cluster --pyargs pytest_kubecluster.idempotence

Not every playbook is meant to be idempotent, so this is no part of the bundled suite.
"""
