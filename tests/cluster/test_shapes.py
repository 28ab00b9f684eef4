"""Nodes as other projects set them up: no false alarm on a healthy one, and faults named on each.

The shapes are written after the documentation of kubeadm, kubespray, Kubernetes The Hard Way, EKS,
AKS and Typhoon. Nothing is stated of them but the version.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.layouts.found import found_kubelet
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.pin import pin_node
from pytest_kubecluster.nodes.verdict import NothingToCheck, checks, compare

pytestmark = pytest.mark.kube_disruptive

HEALTHY_SECONDS = 90
FIRST_MINOR = 30
"""The first version whose kubelet reads --config-dir without an environment variable."""

KUBELET = "/usr/local/bin/kubelet"
UNIT = "/etc/systemd/system/kubelet.service"
CONFIG = "/var/lib/kubelet/config.yaml"
CONFIG_FLAG = f"--config={CONFIG}"
KUBECONFIG = "/var/lib/kubelet/kubeconfig"
CLIENT = "/var/lib/kubelet/pki/kubelet-client-2026.pem"
CA = "/etc/kubernetes/pki/ca.crt"

CLEAN = f"""
for unit in kubelet.path kubelet.service kubelet-container.service second.service; do
  # A fault stops the process with a signal; systemd would wait 90 s for its end.
  systemctl kill --signal=KILL $unit 2>/dev/null || true
  systemctl stop $unit 2>/dev/null || true
  systemctl disable --quiet $unit 2>/dev/null || true
done
rm -rf /etc/systemd/system/kubelet.* /usr/lib/systemd/system/kubelet.* /etc/kubernetes
rm -rf /etc/systemd/system/service.d /etc/default/kubelet /opt/start /opt/kubelet
# A real kubelet makes a mount of its folder.
mkdir -p /var/lib/kubelet; find /var/lib/kubelet -mindepth 1 -delete
rm -f {KUBELET} /usr/local/bin/podman /var/run/lock/kubelet.lock /var/log/started
systemctl daemon-reload; systemctl reset-failed
"""


def shell(node: Node, script: str, stdin: bytes = b"") -> None:
    done = node.run("sh", "-euc", script, stdin=stdin)
    assert done.rc == 0, done.stderr


@dataclass(frozen=True)
class Fault:
    script: str
    check: str
    """The check that fails of it."""


def stopped() -> Fault:
    return Fault("systemctl stop kubelet", "kubelet_runs")


def disabled() -> Fault:
    return Fault("systemctl disable --quiet kubelet", "service_is_enabled")


def not_reloaded(path: str = UNIT) -> Fault:
    return Fault(f"sleep 1; touch {path}", "unit_is_loaded_from_its_file")


def readable(path: str) -> Fault:
    return Fault(f"chmod 644 {path}", "kubeconfig_is_readable_by_root_only")


def without_context(path: str = KUBECONFIG) -> Fault:
    script = f"sed -i 's/current-context: .*/current-context: nowhere/' {path}"
    return Fault(script, "kubeconfig_names_a_cluster_and_a_user")


def not_restarted(path: str, old: str, new: str) -> Fault:
    script = f"sed -i 's#{old}#{new}#' {path}; systemctl daemon-reload"
    return Fault(script, "command_line_is_that_of_the_unit")


def edited_configuration(path: str = CONFIG, name: str = "cluster.local") -> Fault:
    script = f"sed -i s/{name}/example.org/ {path}"
    return Fault(script, "configz_agrees_with_flags_and_files")


def broken_configuration(path: str = CONFIG) -> Fault:
    return Fault(f"echo '[' >>{path}", "configuration_can_be_read")


def ca_of_another(path: str = CA) -> Fault:
    script = f"cp /run/another-ca.crt {path}"
    return Fault(script, "client_certificate_chains_to_the_ca_on_disk")


def second_kubelet() -> Fault:
    script = "cp /bin/sleep /opt/kubelet; systemd-run --unit=second --quiet /opt/kubelet 600"
    return Fault(script, "only_one_kubelet_runs")


def failed_unit() -> Fault:
    script = "systemd-run --unit=broken --quiet false; sleep 0.5"
    return Fault(script, "no_unit_failed")


def without_name_server() -> Fault:
    return Fault("echo >/etc/resolv.conf", "resolv_conf_names_a_server")


def writable_program() -> Fault:
    return Fault(f"chmod 757 {KUBELET}", "program_is_owned_by_root")


def writable_unit() -> Fault:
    return Fault(f"chmod 666 {UNIT}", "unit_is_owned_by_root")


@dataclass
class Shape:
    """The files of a node by path, what starts it, and three faults."""

    files: dict[str, tuple[str, int]]
    faults: tuple[Fault, Fault, Fault]
    links: Mapping[str, str] = field(default_factory=dict)
    start: str = "systemctl enable --quiet --now kubelet"


@dataclass(frozen=True)
class Parts:
    """What the files of a shape are made of."""

    name: str
    address: str
    ca: str
    certificate: str
    key: str

    def kubeconfig(self, user: Mapping[str, Any] | None = None, ca: str = CA) -> str:
        """Return a kubeconfig; without ``user``, certificate and key are in it."""
        embedded = {"client-certificate-data": self.certificate, "client-key-data": self.key}
        data = {key: base64.b64encode(pem.encode()).decode() for key, pem in embedded.items()}
        server = {"server": "https://192.0.2.1:6443", "certificate-authority": ca}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "other", "cluster": {"server": "https://192.0.2.9:6443"}},
                {"name": "default", "cluster": server},
            ],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "node"}}],
            "current-context": "default",
            "users": [{"name": "node", "user": user or data}],
        }
        return yaml.safe_dump(document)

    def configuration(self, ca: str = CA, **more: Any) -> str:
        """Return a KubeletConfiguration that authorizes every authenticated client."""
        authentication = {"anonymous": {"enabled": False}, "webhook": {"enabled": False}}
        document = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {**authentication, "x509": {"clientCAFile": ca}},
            "authorization": {"mode": "AlwaysAllow"},
            "clusterDomain": "cluster.local",
            "clusterDNS": ["10.96.0.10"],
            "staticPodPath": "/etc/kubernetes/manifests",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "rotateCertificates": True,
            **more,
        }
        return yaml.safe_dump(document)

    def base(self, unit: str, **more: Any) -> dict[str, tuple[str, int]]:
        """Return the files of a node whose kubelet has the usual paths."""
        return {
            UNIT: (unit, 0o644),
            KUBECONFIG: (self.kubeconfig(), 0o600),
            CONFIG: (self.configuration(**more), 0o644),
            CA: (self.ca, 0o644),
        }


def unit(command: str, *lines: str, wanted: bool = True) -> str:
    install = "[Install]\nWantedBy=multi-user.target\n" if wanted else ""
    service = "\n".join(["[Service]", *lines, f"ExecStart={command}", "Restart=always"])
    return f"[Unit]\nDescription=kubelet\n\n{service}\nRestartSec=5\n\n{install}"


USUAL = f"{KUBELET} {CONFIG_FLAG} --kubeconfig={KUBECONFIG}"


def kubeadm(parts: Parts) -> Shape:
    current = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    drop_in = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
    plain = "/usr/lib/systemd/system/kubelet.service"
    webhook = {"anonymous": {"enabled": False}, "webhook": {"enabled": True}}
    arguments = (
        '[Service]\nEnvironment="KUBELET_KUBECONFIG_ARGS='
        "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf "
        '--kubeconfig=/etc/kubernetes/kubelet.conf"\n'
        f'Environment="KUBELET_CONFIG_ARGS={CONFIG_FLAG}"\n'
        "EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\n"
        "EnvironmentFile=-/etc/default/kubelet\nExecStart=\n"
        f"ExecStart={KUBELET} $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS "
        "$KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n"
    )
    flags = 'KUBELET_KUBEADM_ARGS="--pod-infra-container-image=registry.k8s.io/pause:3.9"\n'
    user = {"client-certificate": current, "client-key": current}
    configuration = parts.configuration(
        authentication={**webhook, "x509": {"clientCAFile": CA}},
        authorization={"mode": "Webhook"},
    )
    return Shape(
        {
            plain: (unit(KUBELET), 0o644),
            drop_in: (arguments, 0o644),
            "/var/lib/kubelet/kubeadm-flags.env": (flags, 0o644),
            "/etc/kubernetes/kubelet.conf": (parts.kubeconfig(user), 0o600),
            CLIENT: (parts.certificate + parts.key, 0o600),
            CONFIG: (configuration, 0o644),
            CA: (parts.ca, 0o644),
        },
        (
            readable(CLIENT),
            not_restarted("/var/lib/kubelet/kubeadm-flags.env", "pause:3.9", "pause:3.10"),
            ca_of_another(),
        ),
        links={current: CLIENT},
    )


def kubespray(parts: Parts) -> Shape:
    environment = (
        'KUBELET_ADDRESS="--node-ip={0}"\nKUBELET_HOSTNAME="--hostname-override={1}"\n'
        f'KUBELET_ARGS="{CONFIG_FLAG} \\\n--kubeconfig={KUBECONFIG} \\\n--v=2"\nKUBELET_CLOUDPROVIDER=""\n'
    ).format(parts.address, parts.name)
    command = f"{KUBELET} $KUBELET_ARGS $KUBELET_ADDRESS $KUBELET_HOSTNAME $KUBELET_CLOUDPROVIDER"
    files = parts.base(unit(command, "EnvironmentFile=-/etc/kubernetes/kubelet.env"))
    files["/etc/kubernetes/kubelet.env"] = (environment, 0o600)
    return Shape(
        files,
        (
            not_restarted("/etc/kubernetes/kubelet.env", "--v=2", "--v=4"),
            without_context(),
            second_kubelet(),
        ),
    )


def the_hard_way(parts: Parts) -> Shape:
    folder = "/var/lib/kubelet"
    user = {
        "client-certificate": f"{folder}/kubelet.crt",
        "client-key": f"{folder}/kubelet.key",
    }
    ca = f"{folder}/ca.crt"
    command = f"{KUBELET} \\\n  {CONFIG_FLAG} \\\n  --kubeconfig={KUBECONFIG} \\\n  --v=2"
    return Shape(
        {
            UNIT: (unit(command), 0o644),
            KUBECONFIG: (parts.kubeconfig(user, "ca.crt"), 0o600),
            CONFIG: (
                parts.configuration(ca, registerNode=True, runtimeRequestTimeout="15m"),
                0o644,
            ),
            ca: (parts.ca, 0o644),
            f"{folder}/kubelet.crt": (parts.certificate, 0o644),
            f"{folder}/kubelet.key": (parts.key, 0o600),
        },
        (readable(f"{folder}/kubelet.key"), not_reloaded(), ca_of_another(ca)),
    )


def eks(parts: Parts) -> Shape:
    path = "/etc/kubernetes/kubelet/kubelet-config.json"
    configuration = json.dumps(yaml.safe_load(parts.configuration()), indent=2)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "/bin/true",
        "args": ["eks", "get-token", "--cluster-name", "one"],
    }
    command = f"{KUBELET} --config {path} --kubeconfig {KUBECONFIG} --node-ip {parts.address}"
    files = parts.base(unit(command))
    del files[CONFIG]
    files[path] = (configuration, 0o644)
    files[KUBECONFIG] = (parts.kubeconfig({"exec": plugin}), 0o600)
    return Shape(files, (broken_configuration(path), disabled(), failed_unit()))


def container(parts: Parts) -> Shape:
    podman = (
        '#!/bin/sh\nuntil [ "${1#*kubelet:}" != "$1" ]; do shift; done; shift\n'
        f'systemd-run --quiet --unit=kubelet-container {KUBELET} "$@"\n'
        "while :; do sleep 60; done\n"
    )
    image = "registry.example.org/kubelet:v1.30.4"
    command = "/usr/local/bin/podman run --name kubelet --privileged --pid host "
    command += f"{image} {CONFIG_FLAG} --kubeconfig={KUBECONFIG}"
    files = parts.base(unit(command))
    files["/usr/local/bin/podman"] = (podman, 0o755)
    return Shape(files, (edited_configuration(), readable(KUBECONFIG), writable_program()))


def start_script(parts: Parts) -> Shape:
    script = f"#!/bin/bash\necho started >>/var/log/started\n{USUAL} $KUBELET_FLAGS\n"
    files = parts.base(unit("/opt/start/kubelet.sh", "Environment=KUBELET_FLAGS=--v=2"))
    files["/opt/start/kubelet.sh"] = (script, 0o755)
    return Shape(files, (second_kubelet(), without_name_server(), stopped()))


def path_unit(parts: Parts) -> Shape:
    files = parts.base(unit(USUAL))
    path = f"[Path]\nPathExists={KUBECONFIG}\n[Install]\nWantedBy=multi-user.target\n"
    files["/etc/systemd/system/kubelet.path"] = (path, 0o644)
    return Shape(
        files,
        (
            writable_unit(),
            Fault("systemctl disable --quiet --now kubelet.path", "service_is_enabled"),
            stopped(),
        ),
        start="systemctl enable --quiet --now kubelet.path",
    )


def healthz_elsewhere(parts: Parts) -> Shape:
    files = parts.base(unit(USUAL), healthzPort=10258)
    broken = Fault("systemctl kill --signal=STOP kubelet", "healthz_is_ok")
    return Shape(files, (not_reloaded(), edited_configuration(), broken))


def healthz_off(parts: Parts) -> Shape:
    files = parts.base(unit(f"{USUAL} --v 2"), healthzPort=0)
    return Shape(files, (not_restarted(UNIT, "--v 2", "--v 4"), disabled(), broken_configuration()))


def global_drop_in(parts: Parts) -> Shape:
    files = parts.base(unit(USUAL))
    text = "[Service]\nTimeoutStopFailureMode=abort\n"
    files["/etc/systemd/system/service.d/10-timeout-abort.conf"] = (text, 0o644)
    return Shape(files, (disabled(), readable(KUBECONFIG), without_context()))


def config_dir(parts: Parts) -> Shape:
    folder = "/etc/kubernetes/kubelet.conf.d"
    files = parts.base(unit(f"{USUAL} --config-dir={folder}"))
    site = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "clusterDomain": "k8s.example.net",
    }
    files[f"{folder}/20-site.conf"] = (yaml.safe_dump(site), 0o644)
    drop_in = f"{folder}/20-site.conf"
    return Shape(
        files,
        (
            edited_configuration(drop_in, "k8s.example.net"),
            broken_configuration(drop_in),
            failed_unit(),
        ),
    )


def dual_stack(parts: Parts) -> Shape:
    files = parts.base(unit(f"{USUAL} --node-ip={parts.address},fd00:17::5"))
    enable = "sysctl -qw net.ipv6.conf.all.disable_ipv6=0; ip addr replace fd00:17::5/64 dev lo; "
    gone = Fault("ip addr del fd00:17::5/64 dev lo", "node_ip_is_on_an_interface")
    start = enable + "systemctl enable --quiet --now kubelet"
    return Shape(files, (gone, second_kubelet(), disabled()), start=start)


def hostname_override(parts: Parts) -> Shape:
    files = parts.base(unit(f"{USUAL} --hostname-override=Another.example.org"))
    user = Fault(
        "sed -i 's/another.example.org/x/I' /etc/systemd/system/kubelet.service; "
        "systemctl daemon-reload; systemctl restart kubelet",
        "client_certificate_names_its_user",
    )
    return Shape(files, (not_reloaded(), user, readable(KUBECONFIG)))


def without_resolver(parts: Parts) -> Shape:
    files = parts.base(unit(USUAL))
    start = "systemctl stop systemd-resolved; systemctl enable --quiet --now kubelet"
    return Shape(files, (without_name_server(), ca_of_another(), without_context()), start=start)


def token(parts: Parts) -> Shape:
    files = parts.base(unit(USUAL))
    files[KUBECONFIG] = (parts.kubeconfig({"tokenFile": "/etc/kubernetes/token"}), 0o644)
    files["/etc/kubernetes/token"] = ("abcdef.0123456789abcdef", 0o600)
    return Shape(files, (readable("/etc/kubernetes/token"), writable_program(), failed_unit()))


def around_the_kubelet(parts: Parts) -> Shape:
    """A program that starts the kubelet, specifiers, and environment files by a pattern."""
    command = f"-/usr/bin/nice -n 2 {KUBELET} $FILES --hostname-override=%H --v=${{LEVEL}}"
    environment = ("Environment=LEVEL=9", "EnvironmentFile=/etc/kubernetes/env.d/*.env")
    files = parts.base(unit(command, *environment))
    # Go reads the first document of a file, and takes tabs for space between tokens.
    text = files[CONFIG][0].replace("clusterDomain: ", "clusterDomain:\t")
    files[CONFIG] = (f"# managed\n---\n{text}---\nkind: Other\n", 0o644)
    quoted = f"FILES='{CONFIG_FLAG} '\"--kubeconfig={KUBECONFIG}\"\n"
    files["/etc/kubernetes/env.d/10-files.env"] = (quoted, 0o644)
    files["/etc/kubernetes/env.d/20-level.env"] = ("# level\nLEVEL=3\n", 0o644)
    level = "/etc/kubernetes/env.d/20-level.env"
    return Shape(
        files,
        (not_restarted(level, "LEVEL=3", "LEVEL=4"), edited_configuration(), second_kubelet()),
    )


def left_to_a_runtime(parts: Parts) -> Shape:
    """A unit that has ended once the container is started."""
    files = container(parts).files
    podman, mode = files["/usr/local/bin/podman"]
    files["/usr/local/bin/podman"] = (podman.replace("while :; do sleep 60; done\n", ""), mode)
    once = files[UNIT][0].replace("Restart=always", "Type=oneshot\nRemainAfterExit=yes")
    files[UNIT] = (once, 0o644)
    gone = Fault("systemctl stop kubelet-container", "kubelet_runs")
    return Shape(files, (edited_configuration(), readable(KUBECONFIG), gone))


SHAPES: tuple[Callable[[Parts], Shape], ...] = (
    kubeadm,
    kubespray,
    the_hard_way,
    eks,
    container,
    start_script,
    path_unit,
    healthz_elsewhere,
    healthz_off,
    global_drop_in,
    config_dir,
    dual_stack,
    hostname_override,
    without_resolver,
    token,
    around_the_kubelet,
    left_to_a_runtime,
)


@pytest.fixture(scope="module")
def machine(
    kube_nodes: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """A node that takes one shape after another, and is the bundled layout's again in the end."""
    node = kube_nodes[-1]
    if node.spec.kubelet.version.minor < FIRST_MINOR:
        pytest.skip(f"these are shapes of kubelets from 1.{FIRST_MINOR} on")
    unit_path = node.spec.kubelet.unit_path
    save = f"tar -cPf /root/whole.tar {unit_path} /etc/kubernetes; cp /etc/resolv.conf /root/"
    other = ensure_pki(tmp_path_factory.mktemp("other"))
    shell(node, f"{save}; cat >/run/another-ca.crt", other.ca_cert)
    yield node
    shell(
        node,
        f"{CLEAN} tar -xPpf /root/whole.tar; systemctl daemon-reload; "
        "systemctl enable --quiet --now kubelet; rm /root/whole.tar",
    )
    node.wait_until_healthy(HEALTHY_SECONDS)
    assert node.refresh() == node.spec.kubelet


def client_of(pki: Pki, name: str) -> tuple[str, str]:
    """Return a certificate and a key for ``system:node:NAME``, as kubeadm requests them."""
    ca = x509.load_pem_x509_certificate(pki.ca_cert)
    ca_key = serialization.load_pem_private_key(pki.ca_key, None)
    key = serialization.load_pem_private_key(pki.kubelet_key, None)
    now = datetime.now(timezone.utc)
    subject = [(NameOID.ORGANIZATION_NAME, "system:nodes"), (NameOID.COMMON_NAME, name)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, text) for oid, text in subject]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .sign(ca_key, hashes.SHA256())  # type: ignore[arg-type]
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return pem, pki.kubelet_key.decode()


def install(node: Node, shape: Shape) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, (text, mode) in shape.files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), mode
            archive.addfile(entry, io.BytesIO(text.encode()))
    links = "".join(f"ln -sf {target} {path}; " for path, target in shape.links.items())
    script = (
        f"{CLEAN} cp -L /opt/bin/kubelet {KUBELET}; cat /root/resolv.conf >/etc/resolv.conf; "
        f"tar -xf - -C / --no-same-owner -p; mkdir -p /etc/kubernetes/manifests; {links}"
        f"systemctl start systemd-resolved; systemctl daemon-reload; {shape.start}"
    )
    shell(node, script, content.getvalue())


def failing(node: Node) -> dict[str, list[Any]]:
    node.refresh()
    case, found = node.case(), {}
    for name, check in checks().items():
        try:
            if differences := list(check(case)):
                found[name] = differences
        except NothingToCheck:
            continue
    return found


@pytest.mark.parametrize("make", SHAPES, ids=lambda make: make.__name__)
def test_shape(machine: Node, kube_pki: Pki, make: Callable[[Parts], Shape]) -> None:
    name = "another.example.org" if make is hostname_override else machine.name
    certificate, key = client_of(kube_pki, f"system:node:{name}")
    ca = kube_pki.ca_cert.decode()
    parts = Parts(machine.name, str(machine.address), ca, certificate, key)
    kubelet = found_kubelet(machine.spec.kubelet.version)
    node = Node(replace(machine.spec, kubelet=kubelet), machine.access)
    shape = make(parts)
    install(node, shape)
    node.wait_until_healthy(HEALTHY_SECONDS, restarts=None)
    assert failing(node) == {}
    assert node.kubelet == kubelet
    for minimal in (False, True):
        pin = pin_node(node.name, node.spec.role, node.access, "found", minimal=minimal)
        assert pin.differences == (), pin.text
    for fault in shape.faults:
        shell(node, fault.script)
        assert fault.check in failing(node), fault
        assert compare(node.kubelet, kubelet)
    if make is start_script:
        # Looks started nothing.
        assert node.run("cat", "/var/log/started").stdout == "started\n"
