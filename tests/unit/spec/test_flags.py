from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import FlagError, Flags, parse_argv
from pytest_kubecluster.spec.settings import same_value
from pytest_kubecluster.spec.version import KubeVersion

MINOR = "1.7"


@pytest.mark.parametrize(
    ("argv", "launcher"),
    [
        (["/opt/x/hyperkube", "kubelet", "--v=2"], ("/opt/x/hyperkube", "kubelet")),
        (["/kubelet", "--v=2"], ("/kubelet",)),
        (
            ["python3", "/opt/x/hyperkube", "kubelet", "--v=2"],
            ("python3", "/opt/x/hyperkube", "kubelet"),
        ),
        (["kubelet"], ("kubelet",)),
        ([], ()),
    ],
)
def test_launcher_is_all_before_the_first_flag(argv: list[str], launcher: tuple[str, ...]) -> None:
    assert parse_argv(argv, MINOR).launcher == launcher


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--cluster-dns=10.3.0.10"], {"cluster-dns": "10.3.0.10"}),
        (["--cluster_dns=10.3.0.10"], {"cluster-dns": "10.3.0.10"}),
        (["--cluster-dns", "10.3.0.10"], {"cluster-dns": "10.3.0.10"}),
        (["--allow-privileged"], {"allow-privileged": "true"}),
        (["--allow-privileged", "false"], {"allow-privileged": "true"}),
        (["--allow-privileged=false"], {"allow-privileged": "false"}),
        (["--cluster-domain=a", "--cluster-domain=b"], {"cluster-domain": "b"}),
        (["--cluster-dns=1.1.1.1", "--cluster-dns=2.2.2.2"], {"cluster-dns": "1.1.1.1,2.2.2.2"}),
        (["--node-labels=a=1", "--node-labels=b=2"], {"node-labels": "a=1,b=2"}),
        (["--register-with-taints=a=:NoSchedule", "--register-with-taints=b=:NoExecute"],
         {"register-with-taints": "b=:NoExecute"}),
        (["--cluster-domain="], {"cluster-domain": ""}),
        (["--node-labels=a=b=c"], {"node-labels": "a=b=c"}),
        (["-v", "4"], {"v": "4"}),
        (["-v=4"], {"v": "4"}),
        (["-v4"], {"v": "4"}),
    ],
)  # fmt: skip
def test_flags_are_read_as_the_kubelet_reads_them(
    words: list[str], expected: dict[str, str]
) -> None:
    assert dict(parse_argv(["kubelet", *words], MINOR).flags) == expected


def test_words_that_belong_to_no_flag_are_kept_apart() -> None:
    argv = ["kubelet", "--allow-privileged", "false", "--v=1", "--", "--v=2"]
    line = parse_argv(argv, MINOR)
    assert line.extra == ("false", "--v=2")
    assert line.flags["v"] == "1"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--fail-swap-on", "unknown flag: --fail-swap-on"),
        ("--kubeconfig", "flag needs an argument: --kubeconfig"),
        ("-x", "unknown flag: --x"),
    ],
)
def test_configurations_that_the_kubelet_refuses(word: str, message: str) -> None:
    with pytest.raises(FlagError, match=message):
        parse_argv(["kubelet", word], MINOR)


VALUES = st.text(st.characters(codec="ascii", exclude_characters=",\n"), min_size=1)


@given(st.dictionaries(st.sampled_from(sorted(catalog.flags(MINOR))), VALUES))
def test_what_is_written_is_read_back(values: dict[str, str]) -> None:
    booleans = {name for name, flag in catalog.flags(MINOR).items() if flag.type == "bool"}
    flags = Flags({n: "false" if n in booleans else v for n, v in values.items() if v != "true"})
    assert parse_argv(["hyperkube", "kubelet", *flags.words()], MINOR).flags == flags


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("allow-privileged", "true", "1", True),
        ("allow-privileged", "true", "false", False),
        ("node-labels", "a=1,b=2", "b=2,a=1", True),
        ("node-labels", "a", "a=", True),
        ("cluster-dns", "1.1.1.1,2.2.2.2", "2.2.2.2,1.1.1.1", False),
        ("cluster-domain", "a", "a", True),
        ("cluster-domain", "a", None, False),
        ("cluster-domain", None, None, True),
    ],
)
def test_same_value(name: str, one: str | None, other: str | None, same: bool) -> None:
    assert same_value(KubeVersion.parse(MINOR), name, one, other) is same


def test_maps_that_were_plain_strings_once() -> None:
    words = ["kubelet", "--feature-gates=A=true", "--feature-gates=B=false"]
    assert parse_argv(words, "1.8").flags["feature-gates"] == "B=false"
    assert parse_argv(words, "1.10").flags["feature-gates"] == "A=true,B=false"
    one, other = (
        "memory.available<1Gi,nodefs.available<5%",
        "nodefs.available<5%,memory.available<1Gi",
    )
    version = KubeVersion.parse("1.10")
    assert same_value(version, "eviction-hard", one, other)
    assert not same_value(version, "eviction-hard", one, other.replace("5%", "6%"))


def test_flags_are_a_mapping_by_any_spelling() -> None:
    flags = Flags({"cluster_dns": "10.3.0.10", "--v": "2"})
    assert flags["cluster-dns"] == flags["--cluster_dns"] == "10.3.0.10"
    assert list(flags) == ["cluster-dns", "v"]
    assert hash(flags) == hash(Flags({"v": "2", "cluster-dns": "10.3.0.10"}))
    assert repr(flags) == "Flags('--cluster-dns=10.3.0.10 --v=2')"
    assert flags.changed({"v": None, "port": "1"}).words() == [
        "--cluster-dns=10.3.0.10",
        "--port=1",
    ]
