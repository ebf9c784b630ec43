"""The alert rules, made to fire by Prometheus's own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import nodepool_ng

RULES = Path(nodepool_ng.__file__).parent.parent / "etc" / "prometheus" / "nodepool.rules.yaml"
PROMTOOL = shutil.which("promtool")


def described(told: dict[str, str], labels: dict[str, str]) -> dict[str, str]:
    """Return annotations with the labels filled in."""
    filled = {}
    for name, text in told.items():
        for label in ("instance", "provider", "image"):
            text = text.replace(f"{{{{ $labels.{label} }}}}", labels.get(label, ""))
        filled[name] = text
    return filled


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool")
def test_each_alert_fires_for_its_cause_and_for_nothing_else(tmp_path: Path) -> None:
    rules = {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    cases = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
    cases["rule_files"] = [str(RULES)]
    expected = cases["tests"][0]["alert_rule_test"]
    assert {case["alertname"] for case in expected if case["exp_alerts"]} == set(rules)
    for case in expected:
        for alert in case["exp_alerts"]:
            alert["exp_annotations"] = described(rules[case["alertname"]]["annotations"], alert["exp_labels"])
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump(cases))
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
