from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml

from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.artifacts.render import render_node, systemd_word, write_files
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.catalog import MINORS
from pytest_kubecluster.spec.model import ClusterSpec
from tests.make_golden import ARTICLE_NETWORK, GOLDEN, golden_files, layout_files

ARTICLE = Path(__file__).parents[3] / "examples" / "article"
ARTICLE_ROLE = ARTICLE / "provisioning" / "roles" / "kubelet"
ARTICLE_UNIT = ARTICLE_ROLE / "templates" / "kubelet.service.j2"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def article() -> ClusterSpec:
    return cluster_spec(network=ARTICLE_NETWORK)


def unit(spec: ClusterSpec, node: str, pki: Pki) -> str:
    return render_node(spec, spec[node], pki)["kubelet.service"].decode()


@pytest.mark.parametrize("minor", MINORS)
def test_files_are_the_golden_ones(minor: str) -> None:
    rendered = dict(golden_files(minor))
    there = (path for path in (GOLDEN / minor).iterdir() if path.is_file())
    assert rendered == {path: path.read_bytes() for path in there}


@pytest.mark.parametrize("minor", MINORS)
def test_files_of_the_other_layouts_are_the_golden_ones(minor: str) -> None:
    there = (
        path for path in (GOLDEN / minor).rglob("*") if len(path.relative_to(GOLDEN).parts) > 2
    )
    assert dict(layout_files(minor)) == {
        path: path.read_bytes() for path in there if path.is_file()
    }


@pytest.mark.parametrize("node", ["master01", "master02", "master03", "worker01"])
def test_unit_is_what_the_articles_own_template_makes(
    node: str, article: ClusterSpec, pki: Pki
) -> None:
    spec = article[node]
    variables = {
        "inventory_hostname": node,
        "hostvars": {node: {"role": spec.role, "private_ipv4": str(spec.address)}},
    }
    # Ansible's own settings: trim_blocks, and the last newline kept.
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string(ARTICLE_UNIT.read_text())
    assert unit(article, node, pki) == template.render(variables)


def test_kubeconfig_is_the_golden_one(article: ClusterSpec, tmp_path: Path) -> None:
    pki = Pki(tmp_path, b"the CA\n", b"", b"the certificate\n", b"the key\n")
    rendered = render_node(article, article["worker01"], pki)["kubeconfig"].decode()
    assert rendered == (GOLDEN / "kubeconfig").read_text()


def test_kubeconfig_holds_the_certificates(article: ClusterSpec, pki: Pki) -> None:
    config = yaml.safe_load(render_node(article, article["master01"], pki)["kubeconfig"])
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    assert base64.b64decode(cluster["certificate-authority-data"]) == pki.ca_cert
    assert base64.b64decode(user["client-certificate-data"]) == pki.kubelet_cert
    assert base64.b64decode(user["client-key-data"]) == pki.kubelet_key


def test_kubectl_accepts_the_kubeconfig(article: ClusterSpec, pki: Pki, tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed (Debian: kubernetes-client)")
    path = tmp_path / "kubeconfig"
    path.write_bytes(render_node(article, article["master01"], pki)["kubeconfig"])
    argv = ["kubectl", "config", "view", f"--kubeconfig={path}", "--output=json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    view = yaml.safe_load(done.stdout)
    assert view["clusters"][0]["cluster"]["server"] == "https://172.17.5.103:443"
    assert view["contexts"][0]["context"] == {"cluster": "vagrant", "user": "kubelet"}


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    units = []
    for path in GOLDEN.glob("*/*.service"):
        units.append(tmp_path / f"kubelet-{path.parent.name}-{path.name}")
        units[-1].write_bytes(path.read_bytes())
    assert len(units) == 2 * len(MINORS)
    argv = ["systemd-analyze", "verify", "--man=no", *map(str, units)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # A host need not have what only nodes have.
    missing = re.compile(r"Command \S+ is not executable|Unit systemd-resolved.service not found")
    said = [line for line in done.stderr.splitlines() if "kubelet" in line]
    assert [line for line in said if not missing.search(line)] == []


def test_changed_flags_are_in_the_unit(article: ClusterSpec, pki: Pki) -> None:
    changed = article.with_flags({"v": "4", "allow-privileged": None}, node="master02")
    rendered = unit(changed, "master02", pki)
    assert rendered.rstrip().splitlines()[-6].strip() == "--v=4"
    assert "--allow-privileged" not in rendered
    assert unit(changed, "master01", pki) == unit(article, "master01", pki)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("--cluster-domain=cluster.local", "--cluster-domain=cluster.local"),
        ("--eviction-hard=memory.available<100Mi", '"--eviction-hard=memory.available<100Mi"'),
        ("--node-labels=a=b c", '"--node-labels=a=b c"'),
        ("--a=100%", "--a=100%%"),
        ("--a=$HOME", "--a=$$HOME"),
        ('--a="x"', r'"--a=\"x\""'),
        ("--a=x\\y", r'"--a=x\\y"'),
        ("--a=x;y", '"--a=x;y"'),
    ],
)
def test_words_are_quoted_for_systemd(word: str, written: str) -> None:
    assert systemd_word(word) == written


def test_files_are_written_as_rendered(article: ClusterSpec, pki: Pki, tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        paths = write_files(article, pki, tmp_path / "files")
    finally:
        os.umask(mask)
    assert list(paths) == ["master01", "master02", "master03", "worker01"]
    for name, files in paths.items():
        contents = render_node(article, article[name], pki)
        assert {file: path.read_bytes() for file, path in files.items()} == contents
        for file, path in files.items():
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o600 if file in ("ca.key", "kubeconfig") else 0o644), file
    assert stat.S_IMODE((tmp_path / "files" / "master01").stat().st_mode) == 0o700


def test_what_a_template_lacks_is_an_error(article: ClusterSpec, pki: Pki) -> None:
    from pytest_kubecluster.artifacts.render import _environment

    with pytest.raises(jinja2.UndefinedError):
        _environment().from_string("{{ cluster.no_such_thing }}").render(cluster=article)
