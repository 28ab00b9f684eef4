from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hollow_common.errors import Failure
from hollow_kubelet.static_pods import StaticPods

from tests.unit.kubelet.hollow.support import Kubelet, Start, eventually

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web   # a comment
  labels: {app: web}
spec:
  containers:
  - name: nginx
    image: "nginx:1.7"
"""


def pod_names(kubelet: Kubelet) -> list[str]:
    items = json.loads(kubelet.plain("/pods")[1])["items"] or []
    return [item["metadata"]["name"] for item in items]


def test_static_pods_are_followed(start: Start, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "web.yaml").write_text(POD)
    (manifests / ".hidden").write_text(POD)
    kubelet = start(f"--pod-manifest-path={manifests}").wait_healthy()
    eventually("the pod", lambda: pod_names(kubelet) == ["web-node1"])
    pod = json.loads(kubelet.plain("/pods")[1])["items"][0]
    assert pod["metadata"]["namespace"] == "default"
    assert pod["metadata"]["selfLink"] == "/api/v1/namespaces/default/pods/web-node1"
    assert pod["metadata"]["labels"] == {"app": "web"}
    assert pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    assert len(pod["metadata"]["uid"]) == 32
    assert pod["spec"]["nodeName"] == "node1"
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert pod["status"]["phase"] == "Pending"

    (manifests / "other.json").write_text(json.dumps(yaml.safe_load(POD.replace("web", "db"))))
    eventually("the second pod", lambda: pod_names(kubelet) == ["db-node1", "web-node1"])
    (manifests / "bad.yaml").write_text("kind: Pod\napiVersion: v1\nmetadata: {name: x}\n")
    kubelet.wait_logged(
        r"^E.*file_linux\.go:114\] can't process config file .*invalid pod: "
        r"\[spec\.containers: Required value\]$"
    )
    (manifests / "web.yaml").unlink()
    eventually("the pod to go", lambda: pod_names(kubelet) == ["db-node1"])
    assert json.loads(kubelet.get("/runningpods/")[1])["items"] is None, "hollow"


def test_a_manifest_path_that_is_created_later(start: Start, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    kubelet = start(f"--pod-manifest-path={manifests}", "--file-check-frequency=50ms")
    kubelet.wait_logged(rf'unable to read config path "{manifests}": path does not exist, ignoring')
    kubelet.wait_healthy()
    manifests.mkdir()
    (manifests / "web.yaml").write_text(POD)
    eventually("the pod", lambda: pod_names(kubelet) == ["web-node1"])


@pytest.mark.parametrize(
    "change",
    [{"annotations": [1]}, {"image": 1}, {"tolerations": 5}, {"containers": [1]}, {"metadata": 1}, {"kind": 1}],
)  # fmt: skip
def test_no_manifest_ends_in_a_traceback(tmp_path: Path, change: dict[str, Any]) -> None:
    pod = yaml.safe_load(POD)
    ((name, value),) = change.items()
    places = {"annotations": pod["metadata"], "image": pod["spec"]["containers"][0]}
    places |= {"tolerations": pod["spec"], "containers": pod["spec"]}
    place: Any = places.get(name, pod)
    place[name] = value
    path = tmp_path / "pod.yaml"
    path.write_text(yaml.safe_dump(pod))
    with pytest.raises(Failure):
        StaticPods(str(tmp_path), 1, "node1").read(str(path))
