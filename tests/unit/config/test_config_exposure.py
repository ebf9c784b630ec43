"""Files that are open to everybody are named, with the remedy."""

from dataclasses import replace

import pytest

from nodepool_ng.config.exposure import exposed, secret_files
from nodepool_ng.model.settings import Settings, ZooKeeperAuth, ZooKeeperSettings


@pytest.mark.parametrize(("mode", "said"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)])
def test_a_secret_is_for_its_owner_and_group(tmp_path, mode, said):
    config, secret = tmp_path / "nodepool.yaml", tmp_path / "secure.yaml"
    for path in (config, secret):
        path.touch()
    secret.chmod(mode)
    config.chmod(0o644)
    sentences = exposed(str(config), [str(secret), str(secret), str(tmp_path / "none")])
    assert len(sentences) == said
    assert all(f"chmod o-rwx {secret}" in sentence for sentence in sentences)


def test_what_to_run_is_nobody_elses_to_write(tmp_path):
    config = tmp_path / "nodepool.yaml"
    config.touch()
    config.chmod(0o666)
    (sentence,) = exposed(str(config), [])
    assert f"chmod o-w {config}" in sentence


def test_secrets_are_in_the_secure_file_the_key_and_clouds_yaml():
    zookeeper = ZooKeeperSettings(hosts=("zk:2281",), tls_cert="c", tls_key="k", tls_ca="a")
    assert secret_files(Settings(zookeeper=zookeeper), "m", "s", ["clouds.yaml"]) == ("s", "k", "clouds.yaml")
    assert secret_files(Settings(), "m", None, []) == ()
    known = replace(zookeeper, auth=ZooKeeperAuth(user="us", password="p"))
    assert secret_files(Settings(zookeeper=known), "m", "s", []) == ("s", "k")
    assert secret_files(Settings(zookeeper=known), "m", None, []) == ("m", "k")
