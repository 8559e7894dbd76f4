# SPDX-License-Identifier: MIT OR Apache-2.0
"""The bed of the VPN's tests by itself (openvpn.py), with the distribution's own client: what
is hidden is reached through the tunnel and in no other way."""
import os
import subprocess

import pytest

import openvpn


@pytest.fixture
def bed(tmp_path):
    why = openvpn.usable()
    if why:
        pytest.skip(why)
    with openvpn.Vpn(tmp_path) as vpn:
        yield vpn


@pytest.mark.parametrize("percent", [0, 10])
def test_the_hidden_host_is_behind_the_tunnel(bed, tmp_path, percent):
    assert bed.fetch(timeout=1) is None
    remote = "127.0.0.1 %d" % bed.lossy(percent) if percent else None
    (tmp_path / "c.ovpn").write_text(bed.profile(remote))
    client = bed.run("openvpn", "--config", str(tmp_path / "c.ovpn"), stdout=subprocess.PIPE)
    try:
        assert any(b"Sequence Completed" in line for line in client.stdout)
        assert bed.fetch(timeout=30) == "from 10.8.0.2\n"
    finally:
        client.kill()
        client.wait()


def test_it_leaves_nothing(tmp_path):
    why = openvpn.usable()
    if why:
        pytest.skip(why)
    with openvpn.Vpn(tmp_path) as vpn:
        names = {vpn.near, vpn.far}
    assert not names & set(os.listdir("/run/netns"))
