"""Which role an existing machine has, by the names of its groups or by its own name.

The group names are those of kubespray (``kube_control_plane``, ``kube_node``, formerly
``kube-master``), of the k3s and RKE2 roles (``server``, ``agent``, ``rke2_servers``), of roles
around kubeadm (``masters``, ``control_plane``, ``workers``) and of the article (``role=master``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from pytest_kubecluster.spec.model import Role

_ROLES: tuple[Role, ...] = ("master", "worker")
Choice = Role | Literal["none"]
_CHOICES: tuple[Choice, ...] = (*_ROLES, "none")

_DISTRIBUTION = "(kube|k8s|kubernetes|k3s|rke2?|rancher|openshift|okd)"
_MASTER_GROUP = re.compile(
    rf"(role=)?({_DISTRIBUTION}_?)?(masters?|control_?planes?|controllers?)(_nodes?)?"
)
_WORKER_GROUP = re.compile(rf"(role=)?({_DISTRIBUTION}_?)?(workers?|nodes?|minions?)(_nodes?)?")
_ALL_NODES = re.compile(rf"({_DISTRIBUTION}_?)?nodes")
"""Some inventories list control plane nodes here as well; their names then decide."""
_LIGHTWEIGHT = re.compile(r"(^|_)(k3s|rke2?)(_|$)")
"""What k3s and RKE2 call server and agent are masters and workers, but only with them."""
_SERVER_GROUP = re.compile(r"((k3s|rke2?)_?)?servers?")
_AGENT_GROUP = re.compile(r"((k3s|rke2?)_?)?agents?")

_MASTER_WORD = re.compile(r"(masters?|controlplanes?|controllers?|cp)\d*[a-z]?")
_CONTROL_WORD = re.compile(r"control\d*[a-z]?")
"""Names a control plane node, but as a group the host that Ansible runs on."""
_WORKER_WORD = re.compile(r"(workers?|nodes?|minions?)\d*[a-z]?")
_OTHER_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        airflow alertmanager ansible archive artifactory aurora backup backups bastion
        bastions bind build builder builders buildkite calico cassandra celery ceph chrony
        ci clickhouse cockroach cockroachdb concourse consul couchbase couchdb db dbs
        database databases dask deploy dns docker drone druid elastic elasticsearch elk es
        etcd etcds exporter exporters flink flower galera gateway gateways git gitea github
        gitlab gluster glusterfs grafana graylog hadoop haproxy harbor hazelcast hbase hdfs
        hive icinga influx influxdb ingress jenkins jmeter jump jumphost jumphosts kafka
        keepalived keycloak kibana lb lbs ldap loadbalancer loadbalancers balancer balancers
        locust logging loki logstash longhorn mail maria mariadb memcached mesos metrics
        minio mongo mongodb monitor monitoring mysql nagios nats neo4j nexus nfs nginx nomad
        ntp openldap opensearch patroni percona pg pgsql pgpool postgres postgresql prefect
        presto prometheus proxies proxy proxysql proxmox pulsar puppet pve quay rabbit
        rabbitmq ray redis registries registry router routers rr runner runners salt
        saltstack sentinel selenium slurm solr spark splunk sql squid storage swarm teamcity
        temporal tempo thanos tomcat traefik trino vault vip vpn web webservers yarn zabbix
        zk zookeeper
        """,
    )
)
"""Other software, and hosts near a cluster: their masters, workers and nodes are not Kubernetes'.

``redis_master``, ``jenkins_workers``, ``prometheus-node``, ``node_exporter``.
"""


@dataclass(frozen=True)
class RolePatterns:
    """The user's shell patterns and their roles, which are tried before everything else."""

    pairs: tuple[tuple[str, Choice], ...] = ()

    @classmethod
    def parse(cls, text: str) -> RolePatterns:
        """Parse words such as ``cp*=master``, separated by blanks or commas. Raises ValueError."""
        pairs = []
        for word in text.replace(",", " ").split():
            pattern, _, role = word.rpartition("=")
            choice = next((choice for choice in _CHOICES if choice == role), None)
            if not pattern or choice is None:
                raise ValueError(
                    f"invalid pattern {word!r}: must be PATTERN=ROLE with one of the roles "
                    f"{', '.join(_CHOICES)}"
                )
            pairs.append((pattern, choice))
        return cls(tuple(pairs))

    def role_of(self, name: str, groups: Sequence[str] = ()) -> Choice | None:
        """Return the role of the machine ``name`` in ``groups``, or None if it has none.

        After the user's patterns come the usual names of groups, then words in the names of groups,
        and last words in the machine's name.
        """
        chosen = self.chosen(name, groups)
        return chosen or _by_group(name, [_normalized(group) for group in groups])

    def chosen(self, name: str, groups: Sequence[str] = ()) -> Choice | None:
        """Return the role of the user's first pattern that matches the name or a group."""
        for pattern, role in self.pairs:
            if any(fnmatchcase(known, pattern) for known in (*groups, name)):
                return role
        return None


def _by_group(name: str, groups: Sequence[str]) -> Role | None:
    if _any(_MASTER_GROUP, groups):
        return "master"
    lightweight = any(_LIGHTWEIGHT.search(group) for group in groups)
    if lightweight and _any(_SERVER_GROUP, groups):
        return "master"
    if lightweight and _any(_AGENT_GROUP, groups):
        return "worker"
    by_name = _by_words(_words(_normalized(name.partition(".")[0])), is_group=False)
    workers = [group for group in groups if _WORKER_GROUP.fullmatch(group)]
    if workers:
        listed_with_all = all(_ALL_NODES.fullmatch(group) for group in workers)
        return "master" if listed_with_all and by_name == "master" else "worker"
    roles = {_by_words(_words(group), is_group=True) for group in groups}
    if found := next((role for role in _ROLES if role in roles), None):
        return found
    beside = any(_OTHER_WORDS.intersection(_words(group)) for group in groups)
    return None if beside else by_name


def _by_words(words: Sequence[str], *, is_group: bool) -> Role | None:
    if _OTHER_WORDS.intersection(words):
        return None
    controls = _any(_CONTROL_WORD, words) and not (is_group and len(words) == 1)
    if controls or _any(_MASTER_WORD, words):
        return "master"
    return "worker" if _any(_WORKER_WORD, words) else None


def _any(pattern: re.Pattern[str], texts: Iterable[str]) -> bool:
    return any(pattern.fullmatch(text) for text in texts)


def _normalized(name: str) -> str:
    return re.sub(r"[^a-z0-9=]+", "_", name.lower())


def _words(normalized: str) -> list[str]:
    return [word for word in re.split(r"[_=]", normalized) if word]
