from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.spec import catalog
from tests.make_rules import SHAPES, read_rules, read_zeros

VALIDATION = """\
package validation

func ValidateKubeletConfiguration(kc *kubeletconfig.KubeletConfiguration) error {
	allErrors := []error{}
	localFeatureGate := featureGate.DeepCopy()
	if errs := localFeatureGate.Validate(); len(errs) > 0 {
		allErrors = append(allErrors, errs...)
	}
STATEMENTS
	return utilerrors.NewAggregate(allErrors)
}
"""


@pytest.mark.parametrize(
    ("statements", "rule"),
    [
        (
            'if kc.MaxPods < 0 {\n allErrors = append(allErrors, fmt.Errorf("maxPods %v", kc.MaxPods))\n}',
            [["<", ["field", "maxPods"], 0], "maxPods %v", ["field", "maxPods"]],
        ),
        (
            'if kc.ReadOnlyPort != 0 && utilvalidation.IsValidPortNum(int(kc.ReadOnlyPort)) != nil {\n allErrors = append(allErrors, fmt.Errorf("port"))\n}',
            [["&&", ["!=", ["field", "readOnlyPort"], 0], ["!", ["in range", ["field", "readOnlyPort"], 1, 65535]]], "port"],
        ),
        (
            'switch kc.HairpinMode {\ncase "a":\ncase "b":\ndefault:\n allErrors = append(allErrors, fmt.Errorf("mode %q",\n  kc.HairpinMode))\n}',
            [["!", ["one of", ["field", "hairpinMode"], "a", "b"]], "mode %q", ["field", "hairpinMode"]],
        ),
        (
            'if localFeatureGate.Enabled(features.NodeSwap) {\n if kc.ShutdownGracePeriod.Duration > 2*time.Second {\n  allErrors = append(allErrors, fmt.Errorf("swap"))\n }\n}',
            [["&&", ["gate", "NodeSwap"], [">", ["field", "shutdownGracePeriod"], 2 * 10**9]], "swap"],
        ),
        ("allErrors = append(allErrors, validateReservedMemoryConfiguration(kc)...)", "reservedMemory"),
        ("for _, taint := range kc.RegisterWithTaints {\n allErrors = append(allErrors, x)\n}", "registerWithTaints"),
    ],
)  # fmt: skip
def test_rules_are_read_from_go(tmp_path: Path, statements: str, rule: Any) -> None:
    folder = tmp_path / "pkg/kubelet/apis/config/validation"
    folder.mkdir(parents=True)
    (folder / "validation.go").write_text(VALIDATION.replace("STATEMENTS", statements))
    assert list(read_rules(tmp_path, catalog.fields("1.36"))) == [rule]


def test_zeros_are_read_from_the_defaulting(tmp_path: Path) -> None:
    folder = tmp_path / "pkg/kubelet/apis/config/v1beta1"
    folder.mkdir(parents=True)
    (folder / "defaults.go").write_text(
        "\tif obj.MaxPods == 0 {\n\tif obj.SyncFrequency == zeroDuration {\n\tif obj.Address == \"\" {\n"
        "\tif obj.RegistryPullQPS == nil {\n"
    )  # fmt: skip
    found = set(read_zeros(tmp_path, catalog.fields("1.36")))
    assert found == {
        "maxPods",
        "syncFrequency",
        "address",
        "logging.format",
        "logging.flushFrequency",
    }


@pytest.mark.parametrize("minor", catalog.MINORS[3:])
def test_fields_that_hold_objects_have_a_shape(minor: str) -> None:
    for path, field in catalog.fields(minor).items():
        assert (field.type == "any") == (field.shape is not None), path
        assert field.shape == (SHAPES[path] if field.shape else None)
