"""The first look at existing machines: the user there, its Python, its addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from tomlkit.items import SingleKey

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import BROUGHT, USUAL, Access
from pytest_kubecluster.machines.existing.addresses import (
    InterfaceAddress,
    choose_address,
    node_addresses,
    parse_address,
)
from pytest_kubecluster.machines.ssh import Ssh, SshOptions
from pytest_kubecluster.spec.parts import NO_ADDRESS, IPAddress
from pytest_kubecluster.util.parallel import each_in_parallel

_SECONDS = 60.0
_PYTHONS = (
    USUAL,
    BROUGHT,
    "/opt/bin/python",
    "/usr/local/bin/python3",
    *(f"python3.{minor}" for minor in range(14, 8, -1)),
    "python3",
)
"""Where a Python is looked for, by path or on the PATH. Ansible has such a list as well."""
# A shell and iproute2 are what every machine has.
_SCRIPT = b"""\
echo "user $(id -u)"
echo "connection $SSH_CONNECTION"
command -v sudo >/dev/null && echo "sudo installed"
if said=$(LC_ALL=C sudo -n true </dev/null 2>&1); then
    echo "sudo free"
else
    echo "sudo-says $(echo "$said" | tail -n 1)"
fi
for name do
    path=$(command -v "$name") || continue
    if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 9))' </dev/null 2>/dev/null; then
        echo "python $path"
        break
    fi
    echo "unusable $path"
done
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\000' '\\n' |
    sed -n -e 's/^--node-ip=/node-ip /p' -e '/^--node-ip$/{n;s/^/node-ip /p;}'
for family in -4 -6; do
    ip $family -o route show default | sed 's/^/route /'
    ip $family -o address show scope global | sed 's/^/address /'
done
"""


@dataclass(frozen=True)
class Reach:
    """How an existing machine is reached, before the first contact."""

    ssh_options: SshOptions
    reboot: tuple[str, ...] = ()
    """The command of this host that reboots it; empty if it reboots itself."""
    python: str = ""
    """The Python that the inventory names."""
    sudo_password: str = field(default="", repr=False)
    presumed: IPAddress | None = None
    """The address that ssh connects to, if the inventory names no address of the node's own."""
    by_vagrant: bool = False
    """Whether ssh reaches it through an interface of Vagrant's own."""
    hint: str = ""
    """What to add to the error if the login fails."""


@dataclass(frozen=True)
class Survey:
    """What a machine reported about itself, or why it cannot be used."""

    is_root: bool = False
    sudo_is_installed: bool = False
    sudo_is_free: bool = False
    sudo_says: str = ""
    """Why sudo does not run a command without a password."""
    """Whether sudo needs no password."""
    sudo_password: str = field(default="", repr=False)
    """The password for sudo, if it needs one."""
    python: str = ""
    """The path of a usable Python, if there is one."""
    unusable_pythons: tuple[str, ...] = ()
    addresses: tuple[InterfaceAddress, ...] = ()
    default_interface: str = ""
    server: IPAddress | None = None
    """The machine's end of the ssh connection."""
    node_ip: IPAddress | None = None
    """What a running kubelet has as ``--node-ip``."""
    address: IPAddress | None = None
    """The node's own address, if it can be determined."""
    address_problem: str = ""
    """Why it cannot."""
    problem: str = ""
    """Why the machine cannot be used at all."""

    def access(self, access: Access) -> Access:
        """Return ``access`` with what was learned about the machine."""
        return replace(
            access,
            is_root=self.is_root,
            sudo_password=self.sudo_password,
            python=self.python or access.python,
            problem=self.problem,
        )


def survey_machines(
    ssh: Ssh,
    reach: Mapping[str, Reach],
    *,
    sudo_password: str = "",
    forks: int,
    keep_connections: bool = True,
) -> Mapping[str, Survey]:
    """Survey machines, up to ``forks`` at the same time; a machine's failure is its own.

    ``sudo_password`` is for machines that have none of their own. The connections stay open for
    what comes next, unless ``keep_connections`` is false.
    """

    def survey(name: str) -> Survey:
        try:
            return survey_machine(ssh, name, reach[name], sudo_password=sudo_password)
        finally:
            if not keep_connections:
                ssh.disconnect(name)

    return dict(zip(reach, each_in_parallel(survey, reach, limit=forks), strict=True))


def survey_machine(ssh: Ssh, name: str, reach: Reach, *, sudo_password: str = "") -> Survey:
    """Log in to a machine, and return what it reports; ``problem`` is why it cannot be used."""
    try:
        ssh.connect_now(name)
    except KubeClusterError as error:
        return Survey(problem=f"{error}{reach.hint}")
    try:
        seen = ask_machine(ssh, name, reach.python)
        password = _sudo_password(ssh, name, seen, reach.sudo_password or sudo_password)
        return _with_address(replace(seen, sudo_password=password), ssh, name, reach)
    except KubeClusterError as error:
        return Survey(problem=str(error))


def address_missing(name: str, survey: Survey, reach: Reach, address: IPAddress) -> str:
    """Return why ``address`` cannot be the node's and how to set it, or nothing if it may be.

    An address that the inventory or the spec states is not questioned; one that was only taken from
    what ssh connects to has to be the machine's.
    """
    on_machine = {known.value.ip for known in survey.addresses}
    if address == NO_ADDRESS:
        problem = survey.address_problem or "its address is unknown"
    elif address == reach.presumed and on_machine and address not in on_machine:
        there = ", ".join(map(str, node_addresses(survey.addresses)))
        problem = f"{address}, which ssh connects to, is not an address of the machine: {there}"
    else:
        return ""
    stated = "" if reach.by_vagrant else "set private_ipv4 in the inventory, or "
    return (
        f"{name}: {problem}\n  {stated}write in kubecluster.toml:\n"
        f"{address_advice(name, survey.address)}"
    )


def address_advice(name: str, address: IPAddress | None = None) -> str:
    """Return the indented lines of kubecluster.toml that set a node's address."""
    return f'  [node.{SingleKey(name).as_string()}]\n  address = "{address or "ADDRESS"}"'


def python_missing(name: str, survey: Survey, *, provisions: bool) -> str:
    """Return the message about a machine without a usable Python."""
    unusable = ", ".join(survey.unusable_pythons)
    found = f"; {unusable} cannot be used" if unusable else ""
    bring = ", or bring one with --kube-python=TARBALL" if provisions else ""
    return (
        f"{name}: no Python 3.9 or newer was found on the machine{found}\n  install one, set "
        f"ansible_python_interpreter in the inventory{bring}"
    )


def ask_machine(ssh: Ssh, name: str, python: str = "") -> Survey:
    """Return what a connected machine reports; ``python`` is tried before others.

    Raises KubeClusterError if it does not answer.
    """
    command = ["/bin/sh", "-s", "--", *filter(None, [python]), *_PYTHONS]
    done = ssh.run(name, command, timeout=_SECONDS, stdin=_SCRIPT)
    seen = parse_survey(done.stdout.decode(errors="replace"))
    if seen is None:
        raise KubeClusterError(
            f"{name}: the login shell of {ssh.user(name)} does not run commands: "
            f"{(done.stderr or done.stdout).decode(errors='replace').strip()[-400:]}"
        )
    return seen


def parse_survey(text: str) -> Survey | None:
    """Parse the lines that a machine printed; return None if they are not those of the script."""
    lines = [line.split() for line in text.splitlines() if line.strip()]

    def words(kind: str) -> Iterator[list[str]]:
        return (line[1:] for line in lines if line[0] == kind)

    if not any(words("user")):
        return None
    routes = [route[route.index("dev") + 1] for route in words("route") if "dev" in route]
    connection = next(words("connection"), [])
    return Survey(
        is_root=["0"] in words("user"),
        sudo_is_installed=["installed"] in words("sudo"),
        sudo_is_free=["free"] in words("sudo"),
        sudo_says=" ".join(next(words("sudo-says"), ())),
        python=next((path for (path,) in words("python")), ""),
        unusable_pythons=tuple(dict.fromkeys(path for (path,) in words("unusable"))),
        addresses=tuple(
            parse_address(line) for line in words("address") if {"inet", "inet6"} & {*line}
        ),
        default_interface=next(iter(routes), ""),
        server=_address(connection[2:3]),
        node_ip=_address(text for said in words("node-ip") for text in ",".join(said).split(",")),
    )


def _address(texts: Iterable[str]) -> IPAddress | None:
    """Return the first of ``texts`` that is an address."""
    for text in texts:
        try:
            return ip_address(text.partition("%")[0])
        except ValueError:
            continue
    return None


def _with_address(seen: Survey, ssh: Ssh, name: str, reach: Reach) -> Survey:
    through_nat = reach.by_vagrant or _is_loopback(ssh.hostname(name))
    try:
        address = choose_address(
            seen.addresses,
            default_interface=seen.default_interface,
            reached=None if through_nat else seen.server,
            node_ip=seen.node_ip,
        )
    except ValueError as error:
        return replace(seen, address_problem=str(error))
    return replace(seen, address=address)


def _is_loopback(host: str) -> bool:
    address = _address([host])
    return host == "localhost" if address is None else address.is_loopback


def _sudo_password(ssh: Ssh, name: str, seen: Survey, password: str) -> str:
    """Return the password that sudo takes on a machine, or nothing if it needs none.

    Raises KubeClusterError if it is missing or wrong.
    """
    if seen.is_root or seen.sudo_is_free:
        return ""
    if not seen.sudo_is_installed:
        raise KubeClusterError(
            f"{name}: {ssh.user(name)} is not root and sudo is not installed; log in as root "
            "(ansible_user=root), or install sudo"
        )
    if seen.sudo_says and "password" not in seen.sudo_says:
        # Sorry, a terminal is required; or the user is not in the sudoers file.
        raise KubeClusterError(f"{name}: sudo does not run: {seen.sudo_says[:200]}")
    if not password:
        raise KubeClusterError(
            f"{name}: sudo asks for a password; set ansible_become_password in the inventory, or "
            "use --kube-sudo-password"
        )
    command = ["sudo", "-k", "-S", "-p", "", "true"]
    done = ssh.run(name, command, timeout=_SECONDS, stdin=f"{password}\n".encode())
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise KubeClusterError(
            f"{name}: sudo refuses the password: {lines[-1] if lines else 'no reason was given'}"
        )
    return password
