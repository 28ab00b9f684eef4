"""A hollow API server: the program that a hollow control plane runs on each master.

It keeps its objects in a real etcd, under the keys of the real API server, so that several of
them serve the same cluster. It answers what kubelets and people ask of a cluster without
workloads: nodes, leases, events, pods, namespaces, secrets, config maps, certificate signing
requests, access rules and reviews, with Go's words, Status objects and tables. It has no scheduler
and no controllers but two: it marks nodes that fell silent, and it signs the certificates of nodes.
It never pretends: ``/version`` ends in ``+hollow``.

It answers in JSON, and reads JSON, YAML, and what kubelets send in protobuf.

It needs Python 3.9 or newer, its standard library, the modules of PyYAML that are packed with it,
``openssl`` to sign certificates, and etcd 3.4 or newer with its JSON gateway.
"""
