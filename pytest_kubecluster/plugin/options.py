"""The options: each one once, for the command line and for the ini file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import pytest

from pytest_kubecluster.cluster.sources import PROVIDERS
from pytest_kubecluster.plugin import parsing
from pytest_kubecluster.plugin.parsing import Choice, Parser, optional
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS, DEFAULT_NETWORK, DEFAULT_VERSION
from pytest_kubecluster.spec.version import KNOWN
from pytest_kubecluster.util.paths import user_path

T = TypeVar("T")

CLUSTER = "--kube-cluster"
CLUSTER_HELP = "Boot the cluster for this session"


@dataclass(frozen=True)
class Option(Generic[T]):
    """An option and its ini key, whose values ``parse`` reads."""

    name: str
    help: str
    parse: Parser[T]
    metavar: str
    default: str = ""
    """The text that is parsed if the option is not given."""
    shown_default: str = ""
    """The default as the help shows it, if ``default`` does not express it."""
    bare: str | None = None
    """The value of the option without one, for an option whose value is optional."""
    ini_type: Literal["string", "bool"] = "string"
    is_list: bool = False
    """Whether a TOML file may have a list of values."""

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--kube-" + self.name

    @property
    def ini(self) -> str:
        """The key in the ini file."""
        return "kube_" + self.name.replace("-", "_")

    @property
    def full_help(self) -> str:
        """The help with the default and the ini key."""
        default = self.shown_default or self.default
        shown = f"default: {default}; " if default else ""
        return f"{self.help} ({shown}ini: {self.ini})"


def _one_of(*choices: Choice) -> Parser[Choice]:
    return lambda text, folder: parsing.choice(text, choices)


PROVIDER = Option(
    "provider",
    "Vagrant provider that boots the machines",
    _one_of(*PROVIDERS),
    "|".join(PROVIDERS),
    "docker",
)
BOX = Option(
    "box",
    "Docker image or Vagrant box to boot from instead of the bundled one",
    parsing.plain,
    "NAME|FILE|URL",
)
BOX_CHECKSUM = Option(
    "box-checksum", "Checksum of a box file or URL", optional(parsing.checksum), "sha256:HEX"
)
PYTHON = Option(
    "python",
    "Tarball with a Python to install on nodes that have none, such as an install_only archive of "
    "python-build-standalone",
    parsing.plain,
    "FILE|URL",
)
PYTHON_CHECKSUM = Option(
    "python-checksum",
    "Checksum of the Python tarball; required for a URL",
    optional(parsing.checksum),
    "sha256:HEX",
)
MASTERS = Option("masters", "Number of masters", parsing.node_count, "N", "3")
WORKERS = Option("workers", "Number of workers", parsing.node_count, "N", "1")
HYPERKUBE = Option(
    "hyperkube",
    f"Kubelet version: a number or an image tag, {KNOWN}",
    parsing.kube_version,
    "VERSION",
    str(DEFAULT_VERSION),
)
LAYOUT = Option(
    "layout",
    "Where a node has what: as in the article, as kubeadm leaves it, or hardened as CIS asks",
    _one_of(*BUNDLED_LAYOUTS),
    "|".join(BUNDLED_LAYOUTS),
    BUNDLED_LAYOUTS[0],
)
KUBELET = Option(
    "kubelet",
    "Kubelet to run: the bundled stand-in, the official release, or a binary ({version} in its "
    "path is replaced)",
    parsing.kubelet,
    "hollow|download|PATH",
    "hollow",
)
CONTROL_PLANE = Option(
    "control-plane",
    "Control plane to run on the masters, on etcd: the bundled stand-in of an API server, the "
    "official release, or a hyperkube or folder of binaries ({version} in its path is replaced)",
    parsing.control_plane,
    "none|hollow|download|PATH",
    "none",
)
MIRROR = Option(
    "mirror",
    "Where to download Kubernetes binaries from instead of dl.k8s.io/release",
    optional(parsing.mirror),
    "URL|DIR",
)
TOLERATE = Option(
    "tolerate",
    "Host features to allow although the kubelet refuses them by default",
    parsing.tolerated,
    "cgroup-v1,swap",
    is_list=True,
)
NETWORK = Option(
    "network",
    "IPv4 subnet of the nodes",
    optional(parsing.network),
    "CIDR",
    shown_default=f"{DEFAULT_NETWORK}, or the next one that is free",
)
PLAYBOOK = Option(
    "playbook",
    "Ansible playbook to run instead of the bundled one",
    optional(parsing.playbook),
    "FILE",
)
VAGRANTFILE = Option(
    "vagrantfile",
    "Folder of an existing Vagrantfile; its machines are booted if necessary",
    optional(user_path),
    "DIR",
)
INVENTORY = Option(
    "inventory",
    "Ansible inventory of existing machines, reached over ssh",
    optional(user_path),
    "FILE",
)
KUBECONFIG = Option(
    "kubeconfig",
    "Kubeconfig of a cluster that runs, whose nodes are judged through its API server: alone "
    "without ssh, or in addition with existing machines",
    optional(user_path),
    "FILE",
)
PROVISION = Option(
    "provision",
    "Provision existing machines",
    optional(parsing.boolean),
    "yes|no",
    shown_default="no for an inventory",
    bare="yes",
    ini_type="bool",
)
ROLES = Option(
    "roles",
    "Roles of existing machines by patterns of their groups and names, tried before the usual "
    "ones; none leaves machines out",
    parsing.roles,
    "PATTERN=ROLE",
    is_list=True,
)
FORKS = Option(
    "forks",
    "Number of existing machines to work on at the same time",
    parsing.fork_count,
    "N",
    "10",
)
SUDO_PASSWORD = Option(
    "sudo-password",
    "Password for sudo on existing machines: prompt for it, or read the first line of a file",
    parsing.password,
    "ask|FILE",
)
DISTURB = Option(
    "disturb",
    "Run disruptive tests on machines that this run did not boot",
    parsing.boolean,
    "yes|no",
    "no",
    bare="yes",
    ini_type="bool",
)
TIMEOUT = Option(
    "timeout",
    "Time for booting and provisioning, in seconds",
    optional(parsing.seconds),
    "SECONDS",
    shown_default="300; virtual machines: 1800",
)
REPORT = Option(
    "report",
    "Write a report to open in a browser, and diagnostics and logs if the run fails",
    optional(user_path),
    "DIR",
)
KEEP = Option(
    "keep",
    "Keep the cluster afterwards",
    optional(_one_of("never", "failed", "always")),
    "never|failed|always",
    shown_default="never; always if it was reused",
)
REUSE = Option(
    "reuse",
    "Use a kept cluster and the options that made it: by its name, or the last one of this project",
    parsing.cluster_name,
    "NAME",
    bare="",
)

OPTIONS: tuple[Option[Any], ...] = (
    PROVIDER,
    BOX,
    BOX_CHECKSUM,
    PYTHON,
    PYTHON_CHECKSUM,
    MASTERS,
    WORKERS,
    HYPERKUBE,
    LAYOUT,
    KUBELET,
    CONTROL_PLANE,
    MIRROR,
    TOLERATE,
    NETWORK,
    PLAYBOOK,
    VAGRANTFILE,
    INVENTORY,
    KUBECONFIG,
    PROVISION,
    ROLES,
    FORKS,
    SUDO_PASSWORD,
    DISTURB,
    TIMEOUT,
    REPORT,
    KEEP,
    REUSE,
)


def add_options(parser: pytest.Parser) -> None:
    """Declare every option twice: on the command line and as an ini key."""
    group = parser.getgroup("kubecluster", "Kubernetes node cluster")
    group.addoption(CLUSTER, action="store_true", help=CLUSTER_HELP)
    for option in OPTIONS:
        optional_value = {} if option.bare is None else {"nargs": "?", "const": option.bare}
        group.addoption(
            option.flag, metavar=option.metavar, help=option.full_help, **optional_value
        )
        parser.addini(option.ini, f"Default for {option.flag}", type=option.ini_type, default=None)


def given_options(config: pytest.Config) -> tuple[str, ...]:
    """Return the options of the command line that say what a cluster must be.

    Paths are absolute: the options mean the same in every folder.
    """
    elsewhere = (REPORT, KEEP, REUSE, SUDO_PASSWORD)
    here = config.invocation_params.dir
    given = (
        (option, config.getoption(option.flag)) for option in OPTIONS if option not in elsewhere
    )
    return tuple(
        f"{option.flag}={_anywhere(option, text, here)}"
        for option, text in given
        if text is not None
    )


def _anywhere(option: Option[Any], text: str, folder: Path) -> str:
    """Return the text of an option with an absolute path, if it is a path."""
    value = option.parse(text, folder)
    if isinstance(value, Path):
        return str(value)
    # A box or a tarball may be a URL or a name, too.
    is_file = "FILE" in option.metavar and (folder / text).exists()
    return str(folder / text) if is_file else text


def add_given_options(config: pytest.Config, given: Iterable[str]) -> None:
    """Give each of the options in ``given`` that the command line does not have."""
    for word in given:
        flag, _, text = word.partition("=")
        option = next((one for one in OPTIONS if one.flag == flag), None)
        if option is not None and config.getoption(flag) is None:
            setattr(config.option, option.ini, text)


def bind_bare_options(args: list[str]) -> bool:
    """Give each option whose value is optional its default value, in place.

    An optional value is written behind ``=``: argparse alone would take the next argument, such
    as the path of a test, for the value. Returns whether ``args`` changed.
    """
    end = args.index("--") if "--" in args else len(args)
    bare = {option.flag: option.bare for option in OPTIONS if option.bare is not None}
    bound = [f"{arg}={bare[arg]}" if arg in bare else arg for arg in args[:end]]
    changed = bound != args[:end]
    args[:end] = bound
    return changed
