"""A hollow kubelet: the program that provisioning installs in place of hyperkube or the kubelet.

It behaves as the kubelet of the version it was packed for, 1.7 to 1.36, in everything that the
checks of a node look at: flags accepted and refused, configuration file, lock file, kubeconfig,
certificates, ports and who may use them, /configz, static pods, registration with the API server,
log lines and exit statuses. Up to 1.16 it is ``hyperkube kubelet``, from then on ``kubelet``. It
runs no containers and needs no container runtime, the one deliberate difference, and it never
pretends: ``--version`` and the Node's kubeletVersion end in ``+hollow``.

It needs Python 3.9 or newer, its standard library, and the modules of PyYAML that are packed with
it. It calls ``openssl`` where it has to sign its own serving certificate. It shares no code with
pytest_kubecluster, which judges it.

What it imitates was read in the Kubernetes trees of all these minors and compared with real
kubelets. Paths and source positions in the log are those of v1.7.5 unless a comment names another
version. Messages of Go's own libraries are those of the Go that built a release.
"""
