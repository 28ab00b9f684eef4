"""The command: hyperkube up to 1.16, kubelet from 1.17 on, and how each version ends."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from hollow_common.errors import Exit, Failure, Fatal, Panic, Refusal
from hollow_common.facts import FACTS, since, version
from hollow_common.go import quote
from hollow_common.libc import libc
from hollow_common.log import complain, log, structured
from hollow_common.machine import architecture

from hollow_kubelet.configuration import Configuration
from hollow_kubelet.feature_gates import set_feature_gates
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.kubelet import Kubelet
from hollow_kubelet.validation import check_configuration, check_flags, check_logging

PR_SET_NAME = 15
HYPERKUBE_USAGE = """\
This is a hollow hyperkube. Of its servers there is but one, and that runs no containers.

Usage

  hyperkube <server> [flags]

Servers

  kubelet
    Stands in for the kubelet of {version}.

Call 'hyperkube <server> --help' for help on a specific server.
"""
KUBELET_HELP = """\
The kubelet is the primary "node agent" that runs on each
node. This one is hollow: it runs no containers.
"""


def print_version(value: str) -> None:
    """Print the version as --version or --version=raw ask for it."""
    if value != "raw":
        print(f"Kubernetes {version()}")
        return
    major, minor, _ = FACTS["git_version"].lstrip("v").split(".", 2)
    fields = {
        "Major": major,
        "Minor": minor + "+" * ("+" in FACTS["git_version"]),
        "GitVersion": version(),
        "GitCommit": "",
        "GitTreeState": "",
        "BuildDate": "",
        "GoVersion": "",
        "Compiler": "",
        "Platform": f"linux/{architecture()}",
    }
    print("version.Info{" + ", ".join(f'{name}:"{text}"' for name, text in fields.items()) + "}")


STEPS = {
    "parse": ("Failed to parse kubelet flag", "failed to parse kubelet flag: {}"),
    "gates": (
        "Failed to set feature gates from initial flags-based config",
        "failed to set feature gates from initial flags-based config: {}",
    ),
    "flags": ("Failed to validate kubelet flags", "failed to validate kubelet flags: {}"),
    "folder": ("", "{}"),
    "file": ("Failed to load kubelet config file", "failed to load kubelet config file, {}"),
    "logging": ("Failed to initialize logging", "initialize logging: {}"),
    "configuration": (
        "Failed to validate kubelet configuration",
        "failed to validate kubelet configuration, error: {}, path: "
        "&TypeMeta{{Kind:,APIVersion:,}}",
    ),
    "dependencies": (
        "Failed to construct kubelet dependencies",
        "failed to construct kubelet dependencies: {}",
    ),
    "run": ("Failed to run kubelet", "{}"),
}
"""Messages for the failure of each step from 1.21 on, and from 1.24 on with the failure in it."""


def main(argv: list[str]) -> int:
    """Run as hyperkube or, called by that name, as kubelet: cmd/hyperkube."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    name, words = os.path.basename(argv[0]), argv[1:]
    if since(17):
        return command("kubelet", words)
    if not since(10):
        return server(name, words)
    if name in ("hyperkube", "hyperkube.py"):
        return cobra(words)
    return command("kubelet", words) if name == "kubelet" else cobra([name, *words])


def server(name: str, words: list[str]) -> int:
    """Run as hyperkube until 1.9: cmd/hyperkube/hyperkube.go."""
    called = name
    if name in ("hyperkube", "hyperkube.py"):
        base = FlagSet("library", "hyperkube")
        try:
            words = base.parse(words, interspersed=False)
        except Failure as error:
            return refuse(str(error), "", hyperkube_usage())
        if base["help"]:
            complain(hyperkube_usage())
            return 0
        if base["version"] != "false":
            print_version(base["version"])
            return 0
        if not words or not words[0]:
            return refuse("no server specified", "\n", hyperkube_usage())
        name, words = words[0], words[1:]
    if name != "kubelet":
        return refuse(f"Server not found: {name}", "\n", hyperkube_usage())
    flags = FlagSet()
    usage = "Usage:\n  kubelet [flags]\n\nAvailable Flags:\n" + flags.usage()
    try:
        flags.parse(words)
    except Failure as error:
        return refuse(str(error), "\n", usage)
    if flags["help"]:
        complain(usage)
        return 0
    if flags["version"] != "false":
        print_version(flags["version"])
        return 0
    configuration = Configuration()
    configuration.take_flags(flags)
    try:
        start(Kubelet(flags, configuration), called)
    except Failure as error:
        # In 1.7, main prints the error of the server once more.
        return refuse(f"failed to run Kubelet: {error}", "", "")


def cobra(words: list[str]) -> int:
    """Run as hyperkube from 1.10 to 1.16: cmd/hyperkube/main.go."""
    base = FlagSet("library", "hyperkube")
    try:
        rest = base.parse(words, interspersed=False)
    except Failure as error:
        complain(f"Error: {error}\n{hyperkube_usage()}\n{error}")
        return 1
    if not rest:
        print(hyperkube_usage())
        return 0 if base["help"] else 1
    if rest[0] != "kubelet":
        problem = f'unknown command {quote(rest[0])} for "hyperkube"'
        complain(f"Error: {problem}\nRun 'hyperkube --help' for usage.\n{problem}")
        return 1
    return command("hyperkube kubelet", rest[1:])


def command(name: str, words: list[str]) -> int:
    """Run as the kubelet from 1.10 on: NewKubeletCommand in cmd/kubelet/app/server.go."""
    flags = FlagSet()
    usage = f"Usage:\n  {name} [flags]\n\nFlags:\n{flags.usage()}"
    try:
        try:
            others = flags.parse(words)
        except Failure as error:
            raise Refusal("parse", str(error)) from None
        if others and since(11):
            raise Refusal("words", others[0])
        if flags["help"]:
            print(f"{KUBELET_HELP}\n{usage}")
            return 0
        if flags["version"] != "false":
            print_version(flags["version"])
            return 0
        kubelet = Kubelet(flags, prepare(flags, words))
        try:
            kubelet.secure()
        except Failure as error:
            raise Refusal("dependencies", str(error)) from None
        try:
            start(kubelet, name.split()[0])
        except Failure as error:
            raise Refusal("run", f"failed to run Kubelet: {error}") from None
    except Refusal as refusal:
        return give_up(refusal, usage, flags["config"])


def prepare(flags: FlagSet, words: list[str]) -> Configuration:
    """Return the configuration that flags and file make, checked as the command does."""
    configuration = Configuration()
    try:
        set_feature_gates(flags["feature-gates"])
    except Failure as error:
        raise Refusal("gates", str(error)) from None
    check_flags(flags)
    if flags["config"] or flags["config-dir"]:
        if flags["config"]:
            configuration.load(flags["config"])
        else:
            configuration.take_flags(FlagSet())
        if flags["config-dir"]:
            configuration.load_folder(flags["config-dir"])
        configuration.derive()
        if not since(27):
            warn_again(words)
        configuration.take_flags(flags, only_changed=True)
        configuration.give_flags(flags)
        try:
            set_feature_gates(flags["feature-gates"])
        except Failure as error:
            raise Refusal("gates", str(error)) from None
    else:
        configuration.take_flags(flags)
        configuration.derive()
    if since(25):
        try:
            check_logging(configuration.values)
        except Failure as error:
            raise Refusal("logging", str(error)) from None
    if since(11):
        try:
            check_configuration(flags, configuration.values)
        except Failure as error:
            raise Refusal("configuration", str(error)) from None
    return configuration


def warn_again(words: list[str]) -> None:
    """Read the flags again, as kubelets do until 1.26, which repeats their warnings."""
    flags = FlagSet()
    for flag in flags.flags.values():
        if flag.origin == "library":
            flag.deprecated = None
    flags.parse(words)


def start(kubelet: Kubelet, called: str) -> NoReturn:
    """Run the kubelet under the name it was called by."""
    log.verbosity = kubelet.flags["v"]
    libc.prctl(PR_SET_NAME, called.partition(".")[0].encode())
    kubelet.run()


def give_up(refusal: Refusal, usage: str, path: str) -> int:
    """End as the version does: with a fatal log line, also with the usage, or with an error."""
    text, step = str(refusal), refusal.step
    if not since(21):
        if step in ("parse", "words"):
            complain(usage)
        raise Fatal("server.go:145", f"unknown command: {text}" if step == "words" else text)
    if not since(24):
        if step == "words":
            log("E", "server.go:165", structured("Unknown command", command=text))
        else:
            where = {"path": path} if step == "file" else {}
            log("E", "server.go:158", structured(STEPS[step][0], err=text, **where))
        if step in ("parse", "words"):
            complain(usage)
        return 1
    if step == "words":
        text = f"unknown command {text}"
    elif step == "file":
        text = f"error: {text}, path: {path}" if not since(28) else f"path: {path}, error: {text}"
    text = text if step == "words" else STEPS[step][1].format(text)
    if since(25):
        log("E", "run.go:74", structured("command failed", err=text))
    else:
        complain(f"Error: {text}\n{usage}")
    return 1


def hyperkube_usage() -> str:
    """Return the list of servers."""
    return HYPERKUBE_USAGE.format(version=FACTS["git_version"])


def refuse(problem: str, gap: str, usage: str) -> int:
    """Print an error as hyperkube does, in 1.7 also after the usage; return the exit status."""
    last = "" if since(8) else f"Error: {problem}"
    complain(f"Error: {problem}\n{gap}{usage}{last}".rstrip("\n"))
    return 1


def run(argv: list[str]) -> int:
    """Run and return the exit status, whatever way the program ends."""
    try:
        return main(argv)
    except Fatal as error:
        log("F", error.where, str(error))
        return 255
    except Exit as error:
        log("E", error.where, str(error))
        return 1
    except Panic as error:
        complain(f"panic: {error}\n\ngoroutine 1 [running]:")
        return 2
