"""What a spec file can state of a node, and what it refuses."""

from __future__ import annotations

import re
import textwrap
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec, spec_of
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.model import ClusterSpec, SpecError
from pytest_kubecluster.spec.parts import FileStatement, HostStatement
from pytest_kubecluster.spec.provenance import describe, explain_flag
from pytest_kubecluster.spec.specfile import SpecFileError, find_spec_file
from pytest_kubecluster.spec.statements import Statements, statements_of
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion

V30 = KubeVersion.parse("1.30.4")


def of_machines(text: str, folder: Path, layout: LayoutName = "found") -> ClusterSpec:
    """Return the spec that a file makes of one master and one worker among existing machines."""
    (folder / "kubecluster.toml").write_text(textwrap.dedent(text))
    machines = [
        Machine("cp-1", "master", ip_address("10.20.0.11")),
        Machine("w-1", "worker", ip_address("10.20.0.21")),
    ]
    spec = spec_of(machines, None, V30, layout=layout)
    *_, (_, spec) = find_spec_file(folder).steps(spec)
    spec.check()
    return spec


def stated(text: str, folder: Path, node: str = "w-1") -> Statements:
    return statements_of(of_machines(text, folder)[node])


def test_a_file_can_state_everything_of_a_node(tmp_path: Path) -> None:
    text = """
        api_server = "https://api.k8s.example.org:6443"

        [[files]]
        path = "/etc/kubernetes/pki/ca.crt"
        owner = "root"
        group = "root"
        mode = "0644"
        digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"

        [unit]
        path = "/usr/lib/systemd/system/kubelet.service"
        drop_ins = ["/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"]
        environment_files = ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet"]

        [host]
        resolver = false
        no_failed_units = true

        [kubelet]
        cluster_dns = ["10.96.0.10", "fd00::a"]
        kubeconfig = "/etc/kubernetes/kubelet.conf"

        [kubelet.settings]
        max-pods = 110
        authorization.mode = "Webhook"
        evictionHard = { "memory.available" = "100Mi" }

        [role.worker]
        node_ip = ["10.20.0.21", "fd00::21"]
        labels = { zone = "a" }
        taints = []
        unset = ["rotate-certificates"]

        [[role.worker.files]]
        path = "/etc/kubernetes/pki/ca.key"
        absent = true

        [node.w-1]
        hostname = "worker-one"
        api_server = "https://10.20.0.5:6443"
        identity = { user = "system:node:worker-one", groups = ["system:nodes"] }
    """
    one = stated(text, tmp_path)
    assert {name: setting.value for name, setting in one.settings.items()} == {
        "clusterDNS": ("10.96.0.10", "fd00::a"),
        "maxPods": 110,
        "authorization.mode": "Webhook",
        "evictionHard": {"memory.available": "100Mi"},
    }
    assert one.settings["maxPods"].said_in == "kubecluster.toml [kubelet]"
    assert one.absent_settings == {"rotateCertificates": "kubecluster.toml [role.worker]"}
    assert one.addresses == (ip_address("10.20.0.21"), ip_address("fd00::21"))
    assert (one.labels, one.taints) == ({"zone": "a"}, ())
    assert {file.path: file for file in one.files} == {
        "/etc/kubernetes/pki/ca.crt": FileStatement(
            "/etc/kubernetes/pki/ca.crt", "root", "root", 0o644, "0123456789abcdef" * 4
        ),
        "/etc/kubernetes/pki/ca.key": FileStatement("/etc/kubernetes/pki/ca.key", absent=True),
    }
    assert one.unit.path == "/usr/lib/systemd/system/kubelet.service"
    assert one.unit.drop_ins == ("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",)
    assert one.unit.environment_files is not None
    assert len(one.unit.environment_files) == 2
    assert one.identity.user == "system:node:worker-one"
    assert one.identity.groups == ("system:nodes",)
    assert one.identity.kubeconfig == "/etc/kubernetes/kubelet.conf"
    assert one.server == "https://10.20.0.5:6443"
    assert one.hostname == "worker-one"
    assert one.host == HostStatement(resolver=False, no_failed_units=True)
    master = statements_of(of_machines(text, tmp_path)["cp-1"])
    assert master.server == "https://api.k8s.example.org:6443"
    assert (master.addresses, master.labels, master.taints, master.hostname) == (
        None,
        {},
        None,
        None,
    )


def test_a_description_of_existing_machines_has_what_is_stated(tmp_path: Path) -> None:
    text = """
        api_server = "https://api.k8s.example.org:6443"
        [[files]]
        path = "/etc/kubernetes/ca.key"
        absent = true
        [kubelet]
        node_ip = false
        taints = []
        [kubelet.settings]
        max-pods = 110
        tracing = { endpoint = "h:1" }
    """
    spec = of_machines(text, tmp_path)
    assert describe(spec)["nodes"]["w-1"]["states"] == {
        "settings": {"maxPods": 110, "tracing": {"endpoint": "h:1"}},
        "taints": [],
        "node_ip": [],
        "api_server": "https://api.k8s.example.org:6443",
        "files": [{"path": "/etc/kubernetes/ca.key", "absent": True}],
        "unit": {"name": "kubelet.service"},
    }
    assert spec["w-1"].kubelet.flags["max-pods"] == "110"
    *_, place = explain_flag([("kubecluster.toml", spec)], "w-1", "max-pods")
    assert place == "the node may set it by a flag or by a configuration file"


def test_an_api_server_for_all_a_role_or_one(tmp_path: Path) -> None:
    spec = of_machines("", tmp_path).with_api_server("https://a")
    spec = spec.with_api_server("https://b", role="worker")
    assert [statements_of(node).server for node in spec] == ["https://a", "https://b"]
    assert spec.api_server == "https://a"


def test_what_a_file_does_not_state_is_not_stated(tmp_path: Path) -> None:
    assert stated("version = '1.30.4'", tmp_path) == Statements(version=V30, labels={})


def test_a_particular_table_wins_over_a_general_one_in_other_words(tmp_path: Path) -> None:
    text = """
        [kubelet]
        cluster_domain = "a"
        flags = { max-pods = 1 }
        [role.worker.settings]
        clusterDomain = "b"
        maxPods = 2
        [node.w-1]
        cluster_domain = "c"
    """
    assert {n: s.value for n, s in stated(text, tmp_path).settings.items()} == {
        "clusterDomain": "c",
        "maxPods": 2,
    }


def test_a_node_without_node_ip(tmp_path: Path) -> None:
    assert stated("[kubelet]\nnode_ip = false", tmp_path).addresses == ()
    one = stated("[kubelet]\nremove_flags = ['node-ip']", tmp_path)
    assert set(one.absent_settings) == {"node-ip"}
    classic = of_machines("[kubelet]\nremove_flags = ['node-ip']", tmp_path, "classic")["w-1"]
    assert statements_of(classic).addresses == ()
    assert "node-ip" not in classic.kubelet.flags


def test_a_node_without_the_ca_key(tmp_path: Path) -> None:
    text = "[[role.worker.files]]\npath = '/etc/kubernetes/ca.key'\nabsent = true"
    for layout in ("classic", "found"):
        spec = of_machines(text, tmp_path, layout)
        by_path = {file.path: file for file in statements_of(spec["w-1"]).files}
        assert by_path["/etc/kubernetes/ca.key"].absent


def test_webhook_in_the_configuration_is_rendered_there(tmp_path: Path) -> None:
    text = "[kubelet.settings]\nauthorization.mode = 'Webhook'"
    kubelet = of_machines(text, tmp_path, "classic")["w-1"].kubelet
    assert kubelet.configuration["authorization"] == {"mode": "Webhook"}
    assert "authorization-mode" not in kubelet.flags


def test_a_statement_about_a_rendered_file_changes_only_what_it_states(tmp_path: Path) -> None:
    text = "[[files]]\npath = '/etc/kubernetes/kubeconfig'\nmode = '0640'\ngroup = 'kube'"
    spec = of_machines(text, tmp_path, "classic")
    rendered = {"/etc/kubernetes/kubeconfig": b"secret"}
    files = {file.path: file for file in statements_of(spec["w-1"], rendered).files}
    kubeconfig = files["/etc/kubernetes/kubeconfig"]
    assert (kubeconfig.owner, kubeconfig.group, kubeconfig.mode) == ("root", "kube", 0o640)
    assert kubeconfig.digest


def test_modes_of_files_whose_paths_are_stated(tmp_path: Path) -> None:
    text = "[kubelet]\nkubeconfig = '/var/lib/kubelet/kubeconfig'\nmodes = { kubeconfig = '0640' }"
    assert stated(text, tmp_path).files == (
        FileStatement("/var/lib/kubelet/kubeconfig", mode=0o640),
    )
    with pytest.raises(SpecError, match=r"cp-1: modes: the path of ca\.key is not stated"):
        stated("[kubelet]\nmodes = { 'ca.key' = '0640' }", tmp_path)


def test_ipv6_machines() -> None:
    machines = [Machine("a", "master", ip_address("fd00::1"))]
    spec = spec_of(machines, None, V30)
    spec.check()
    assert spec.api_server == "https://[fd00::1]:443"
    assert spec["a"].kubelet.flags["node-ip"] == "fd00::1"


def test_existing_workers_alone_need_no_master(tmp_path: Path) -> None:
    machines = [Machine("w-1", "worker", ip_address("10.0.0.1"))]
    spec_of(machines, None, V30, layout="found").check()
    with pytest.raises(SpecError, match="needs a master"):
        spec_of(machines, None, V30).check()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kubelet.settings]\nmax-pods = 'abc'", r"kubelet: settings: max-pods: invalid value 'abc' \(must be a number from 0 to 2147483647\)"),
        ("[kubelet]\nflags = { max-pods = 'abc' }", "kubelet: flags: max-pods: invalid value 'abc'"),
        ("[kubelet.settings]\nallow-privileged = true", r"no flag --allow-privileged; it was removed in 1\.15"),
        ("[kubelet.settings]\nmaxPod = 1", r"no configuration field maxPod; did you mean maxPods\?"),
        ("[kubelet.settings]\nauthorization.mod = 'x'", r"no configuration field authorization\.mod; did you mean authorization\.mode\?"),
        ("[kubelet.settings]\ncrashLoopBackOff.maxContainerRestartPeriod = '10s'", r"no configuration field crashLoopBackOff.*"),
        ("[kubelet]\ncluster_domain = 'a'\nsettings = { clusterDomain = 'b' }", "cluster_domain and settings.clusterDomain contradict each other: keep one of them"),
        ("[kubelet]\nflags = { max-pods = 1 }\nsettings = { maxPods = 2 }", "flags.max-pods and settings.maxPods contradict each other"),
        ("[kubelet]\nflags = { max-pods = 1 }\nremove_flags = ['max-pods']", "flags.max-pods and remove_flags contradict each other"),
        ("[kubelet]\nflags = { max-pods = 1 }\nunset = ['maxPods']", "flags.max-pods and unset contradict each other"),
        ("[kubelet]\nlabels = { a = 'b' }\nflags = { node-labels = 'c=d' }", "labels and flags.node-labels contradict each other"),
        ("[kubelet]\nnode_ip = '10.0.0.1'\nflags = { node-ip = '10.0.0.2' }", "node_ip and flags.node-ip contradict each other"),
        ("[[files]]\npath = '/a'\n[[files]]\npath = '/a'", "files: /a is stated twice"),
        ("[[files]]\npath = '/a'\nabsent = true\nmode = '0600'", "files: /a: absent cannot be combined with mode"),
        ("[[files]]\nmode = '0600'", "files: path is missing"),
        ("[[files]]\npath = 'a'", "files: path: invalid value 'a' .must be an absolute path"),
        ("[[files]]\npath = '/a'\ndigest = 'abc'", "files: digest: invalid digest 'abc'"),
        ("[[files]]\npath = '/a'\nmode = 640", "files: mode: invalid mode 640; write it as '0640'"),
        ("[[files]]\npath = '/a'\nsha = 'abc'", "files: unknown key sha; known are path, owner"),
        ("files = 3", "files: invalid value 3 .must be a list of tables"),
        ("[unit]\nfile = '/a'", "unit: unknown key file; known are name, path, drop_ins"),
        ("[unit]\ndrop_ins = '/a'", "unit: drop_ins: invalid value '/a' .must be a list of paths"),
        ("[unit]\nname = 'a'\n[kubelet.unit]\nname = 'b'", r"\[unit\] and \[kubelet\.unit\]: keep one of them"),
        ("[kubelet]\nsettings = ['a']", "kubelet.settings: invalid value .* .must be a table of settings"),
        ("kubelet = ['a']", "kubelet must be a table, not"),
        ("[kubelet.settings]\nmax-pods = 1979-05-27", "max-pods: invalid value 1979-05-27"),
        ("[kubelet.settings]\nmemoryThrottlingFactor = nan", "must be a finite number"),
        ("[kubelet]\nnode_ip = true", "kubelet.node_ip: invalid value True"),
        ("[node.cp-1.k8s.example.org]\naddress = '10.20.0.11'", r'if cp-1\.k8s\.example\.org is the node\'s name, quote it: \[node\."cp-1\.k8s\.example\.org"\]'),
    ],
)  # fmt: skip
def test_invalid_options_are_refused_before_anything_boots(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecFileError, match=rf"kubecluster\.toml: [\s\S]*{message}"):
        of_machines(text, tmp_path)


def test_same_statement_in_two_spellings_is_accepted(tmp_path: Path) -> None:
    text = "[kubelet]\ncluster_domain = 'a'\nflags = { cluster-domain = 'a' }"
    assert stated(text, tmp_path).settings["clusterDomain"].value == "a"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("masters = " + "9" * 5000, id="decimal"),
        pytest.param("masters = 0x" + "f" * 5000, id="hexadecimal"),
        pytest.param("[kubelet]\nflags = { v = 0x" + "f" * 5000 + " }", id="flag"),
        pytest.param("[kubelet.settings]\nmax-pods = 0x" + "f" * 5000, id="setting"),
        pytest.param("a = " + "[" * 5000 + "]" * 5000, id="lists"),
        pytest.param("[kubelet]\nsettings = " + "{a=" * 3000 + "1" + "}" * 3000, id="tables"),
        pytest.param("[kubelet.settings." + ".".join("a" * 3000) + "]\nb = 1", id="dotted"),
        pytest.param("[node." + ".".join("a" * 3000) + "]\nb = 1", id="node"),
    ],
)
def test_monsters_are_refused_with_a_message(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpecFileError, match=r"kubecluster\.toml: ") as refused:
        of_machines(text, tmp_path)
    assert len(str(refused.value)) < 10_000


def test_a_file_above_the_folder_is_found(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "kubecluster.toml").write_text("workers = 7")
    assert find_spec_file(below).topology.workers == 7
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1")
    assert find_spec_file(below).topology.workers == 7
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.kubecluster]\nworkers = 8")
    assert find_spec_file(below).topology.workers == 8
    (below / "kubecluster.toml").write_text("workers = 9")
    assert find_spec_file(below).topology.workers == 9


def test_a_foreign_pyproject_above_need_not_be_valid(tmp_path: Path) -> None:
    below = tmp_path / "a"
    below.mkdir()
    (tmp_path / "pyproject.toml").write_text("not toml")
    assert find_spec_file(below).path is None
    (tmp_path / "pyproject.toml").write_text("tool = 'kubecluster'")
    assert find_spec_file(below).path is None


def test_python_can_state_the_same() -> None:
    spec = cluster_spec(1, 1, IPv4Network("10.17.5.0/24"), V30)
    spec = spec.with_settings({"authorization.mode": "Webhook", "max-pods": 50}, role="worker")
    spec = spec.with_kubelets(
        lambda one: (
            one.with_files(FileStatement("/etc/kubernetes/ca.key", absent=True))
            .with_labels({"zone": "a"})
            .with_taints("a=b:NoExecute")
        ),
        node="worker01",
    )
    spec.check()
    one = statements_of(spec["worker01"])
    assert one.settings["maxPods"].value == 50
    assert one.labels == {"zone": "a"}
    assert [str(taint) for taint in one.taints or ()] == ["a=b:NoExecute"]
    assert "maxPods" not in statements_of(spec["master01"]).settings
    with pytest.raises(SpecError, match="worker01: max-pods: invalid value 'x'"):
        spec.with_settings({"max-pods": "x"}, node="worker01").check()
    with pytest.raises(SpecError, match=r"master01: kubelet 1\.30\.4 has no flag --max-pots"):
        spec.with_settings({"max-pots": 1}).check()


ROOT = Path(__file__).parents[3]
SPEC_FILES = [
    *(
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
        for number, block in enumerate(
            re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
        )
        if "tool." not in block
    ),
    *(
        pytest.param(path.read_text(), id=str(path.relative_to(ROOT)))
        for path in sorted((ROOT / "examples").rglob("kubecluster.toml"))
    ),
]


@pytest.mark.parametrize("text", SPEC_FILES)
def test_spec_files_that_are_shown_are_right(text: str, tmp_path: Path) -> None:
    (tmp_path / "kubecluster.toml").write_text(text)
    file = find_spec_file(tmp_path)
    topology = file.topology
    spec = cluster_spec(
        topology.masters or 1, topology.workers or 2, version=topology.version or V30
    )
    *_, (_, spec) = file.steps(spec)
    spec.check()
    assert all(statements_of(node).complete for node in spec)


def test_examples_and_documentation_show_spec_files() -> None:
    assert len(SPEC_FILES) >= 4
