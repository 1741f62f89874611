"""What can be judged of the playbooks without a host; `make lint` makes what this needs."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from acekeeper.doctor import podman

from .role import Role

ROOT = Path(__file__).parent.parent
BIN = ROOT / ".venv-ansible/bin"

pytestmark = [
    pytest.mark.skipif(
        not BIN.with_name("ready").exists(), reason="needs .venv-ansible (`make lint` makes it)"
    ),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("book", ["deploy.yml", "uninstall.yml"])
def test_ansible_can_read_it(book: str, tmp_path: Path) -> None:
    command = ("ansible-playbook", "-i", "ansible/inventory.example.yml", "--syntax-check")
    read = run(tmp_path, *command, f"ansible/{book}")
    assert read.returncode == 0, read.stdout + read.stderr


def test_viewers_begin_again_only_once_what_was_restarted_is_ready() -> None:
    undrain = (ROOT / "ansible/roles/acekeeper/tasks/undrain.yml").read_text("utf-8")
    assert -1 < undrain.find("wait_until_ready.py") < undrain.find("--undo")


def test_nothing_is_skipped_by_the_linter() -> None:
    for path in (ROOT / "ansible").rglob("*.yml"):
        text = path.read_text("utf-8")
        assert "noqa" not in text, path
        assert "skip_ansible_lint" not in text, path
    assert not list(ROOT.glob(".ansible-lint*"))


def test_what_runs_with_older_files_is_restarted_in_the_order_in_which_it_was_found(
    tmp_path: Path,
) -> None:
    """The gateway's socket first: a service that starts before goes on with the old one."""
    timers = [f"acekeeper-sweep@{kind}.timer" for kind in ("health", "streams", "scale")]
    found = ["acekeeper-gateway.socket", "acekeeper.service", *timers, "acexy.service"]
    known = {"__acekeeper_stale": {"stdout_lines": found}}
    assert said_of("__acekeeper_restart", tmp_path, known) == found


@pytest.mark.parametrize(
    ("version", "chosen"),
    [("1.0", ["1.0+a"]), ("1.0+a", ["1.0+a"]), ("2", []), ("1.1", ["1.1+b", "1.1+c"])],
)
def test_a_kept_release_is_chosen_by_its_name_or_its_version(
    version: str, chosen: list[str], tmp_path: Path
) -> None:
    for name in ("1.0+a", "1.1+b", "1.1+c"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    given = {"acekeeper_release_dir": f"{tmp_path}/release", "acekeeper_version": version}
    assert said_of("__acekeeper_chosen", tmp_path, given) == chosen


def test_settings_are_shown_as_they_were_and_will_be_but_for_keys(tmp_path: Path) -> None:
    lines = {
        "__acekeeper_old_lines": ['A="1"', 'API_KEY="old"', 'SAME="1"'],
        "__acekeeper_new_lines": ['A="2"', 'API_KEY="new"', 'SAME="1"', 'B="3"'],
    }
    shown = ["A: 1 -> 2", "API_KEY: not shown -> not shown", "B: unset -> 3"]
    assert said_of("__acekeeper_changes", tmp_path, lines) == shown


def test_settings_of_a_host_come_beside_those_of_its_group(tmp_path: Path) -> None:
    given = {
        "acekeeper_settings": {"MIN_REPLICAS": 2, "MAX_REPLICAS": 20},
        "acekeeper_host_settings": {"MAX_REPLICAS": 40},
    }
    assert said_of("__acekeeper_given", tmp_path, given) == {"MIN_REPLICAS": 2, "MAX_REPLICAS": 40}


HOME = "/var/lib/acekeeper"
LOGIN = '{"auths": {"registry.example": {"auth": "eDp5"}}}'


@pytest.mark.parametrize(
    ("proxy", "login"),
    [("http://proxy.example:3128", LOGIN), ('http://a:"\\@proxy', ""), ("", LOGIN)],
)
def test_pulls_are_given_a_proxy_and_a_login_where_the_doctor_has_them_too(
    proxy: str, login: str, tmp_path: Path
) -> None:
    given = {"acekeeper_image_proxy": proxy, "acekeeper_registry_auth": login}
    kept: Any = said_of("__acekeeper_for_pulls", tmp_path, given)
    texts = {Path(file["path"]): file["text"] for file in kept if file["text"]}
    assert len(texts) == bool(proxy) + bool(login)
    for path, text in texts.items():
        there = tmp_path / path.relative_to(HOME)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CONFIG_HOME", f"{tmp_path}/.config")
        by_doctor = [word.replace(str(tmp_path), HOME) for word in podman._pull("IMAGE")]
    by_playbook: Any = said_of("__acekeeper_pull_command", tmp_path, given)
    assert [*by_playbook, "IMAGE"] == by_doctor
    for word in by_doctor:
        option, _, name = word.partition("=")
        if option == "--authfile":
            assert texts.pop(Path(name)) == login
        elif option == "--module":
            env = tomllib.loads(texts.pop(Path(name)))["engine"]["env"]
            assert {f"HTTPS_PROXY={proxy}", f"HTTP_PROXY={proxy}"} < {*env}
    assert not texts


@pytest.mark.parametrize(
    ("host", "api", "gateway"),
    [
        ({}, "127.0.0.1", "127.0.0.1"),
        ({"APP_HOST": "::1", "GATEWAY_HOST": "127.0.0.1, 192.0.2.1"}, "[::1]", "192.0.2.1"),
        ({"APP_HOST": "0.0.0.0", "GATEWAY_HOST": "0.0.0.0"}, "media-1", "media-1"),
    ],
)
def test_what_listens_everywhere_is_named_by_an_address_that_can_be_typed(
    host: Mapping[str, str], api: str, gateway: str, tmp_path: Path
) -> None:
    given = {"acekeeper_settings": host, "acekeeper_host_settings": {}, "ansible_host": "media-1"}
    assert said_of("__acekeeper_api_address", tmp_path, given) == api
    assert said_of("__acekeeper_gateway_address", tmp_path, given) == gateway


def test_a_release_that_cannot_say_its_ports_to_peers_is_deployed_all_the_same(
    tmp_path: Path,
) -> None:
    role = Role(tmp_path, {"peers"})
    role.install("2+new")
    played = role.play(tasks_from="peers", failing=["acekeeper settings --firewall"])
    assert played.returncode == 0, played.stdout


def test_a_proxy_is_neither_shown_nor_an_argument(tmp_path: Path) -> None:
    proxy = "http://user:a-password@proxy.example.org:3128"
    role = Role(tmp_path, {"bring", "image"})
    acexy = {"acekeeper_acexy": True, "acekeeper_acexy_image": "another"}
    known = {"acekeeper_image_proxy": proxy, "__acekeeper_architecture": "", **acexy}
    absent = ["podman image exists"]
    played = role.play("-vvv", tasks_from="image", failing=absent, **known)
    assert played.returncode == 0, played.stdout
    first, second = (words.split() for words in role.called() if " pull " in words)
    assert (first[-1], second[-1]) == ("an-image", "another")
    [module] = [word for word in first if word.startswith("--module=")]
    kept = Path(module.removeprefix("--module="))
    assert kept.stat().st_mode & 0o777 == 0o600
    assert proxy in kept.read_text()
    assert "a-password" not in " ".join(role.called())
    _, shown = played.stdout.split("TASK [", 1)  # the proxy was given by `-e` here
    assert "a-password" not in shown


VPNS: dict[str, Any] = {
    "acekeeper_vpn_api_key": 'a "key"',
    "acekeeper_vpn_image": f"sha256:{'ab' * 32}",
    "acekeeper_vpns": [
        {
            "name": "de",
            "environment": {
                "SERVER_COUNTRIES": 'New "Z" \\',
                "PORT": 5,
                "ON": True,
                "ALL": "100%$",
                "LINES": "a\nb",
            },
            "secrets": {"wireguard_private_key": "not-to-be-seen=", "wg0.conf": "not-to-be-seen"},
        },
        {"name": "ch"},
    ],
}
GENERAL: dict[str, object] = {f"acekeeper_{name}": {} for name in ("settings", "host_settings")} | {
    f"acekeeper_{name}": "" for name in ("profile", "image", "api_key", "api_key_previous")
}


def test_the_settings_name_the_vpns_and_their_key(tmp_path: Path) -> None:
    given = {**GENERAL, "acekeeper_api_key_read": ""}
    settings: Any = said_of("__acekeeper_all_settings", tmp_path, given | VPNS)
    assert (settings["VPNS"], settings["VPN_API_KEY"]) == ("de,ch", 'a "key"')
    settings = said_of("__acekeeper_all_settings", tmp_path, given | {"acekeeper_vpns": []})
    assert not {"VPNS", "VPN_API_KEY"} & {*settings}


def test_a_secret_of_a_vpn_has_another_name_when_it_or_the_key_changes(tmp_path: Path) -> None:
    secrets: Any = said_of("__acekeeper_vpn_secrets", tmp_path, VPNS)
    of_de = {s["target"]: s for s in secrets if s["vpn"] == "de"}
    auth = "/gluetun/auth/config.toml"
    assert {*of_de} == {auth, "wireguard_private_key", "wg0.conf"}
    assert [s["target"] for s in secrets if s["vpn"] == "ch"] == [auth]
    (role,) = tomllib.loads(of_de[auth]["text"])["roles"]
    assert (role["auth"], role["apikey"]) == ("apikey", 'a "key"')
    assert all(route.startswith("GET /v1/") for route in role["routes"])

    names = {s["name"] for s in secrets}
    assert len(names) == len(secrets)
    assert not any("not-to-be-seen" in name for name in names)
    other: Any = said_of("__acekeeper_vpn_secrets", tmp_path, VPNS | {"acekeeper_vpn_api_key": "b"})
    assert not names & {s["name"] for s in other}
    vpns = [VPNS["acekeeper_vpns"][0] | {"secrets": {"wg0.conf": "new"}}]
    other = said_of("__acekeeper_vpn_secrets", tmp_path, VPNS | {"acekeeper_vpns": vpns})
    assert {s["target"] for s in other if s["name"] in names} == {auth}


def test_what_a_vpn_has_of_its_own_is_said_to_podman_without_its_secrets(tmp_path: Path) -> None:
    template = "lookup('ansible.builtin.template', 'ansible/roles/acekeeper/templates/vpn.conf.j2')"
    text = str(said_of(template, tmp_path, VPNS | {"item": "de", "ansible_managed": "x"}))
    assert "not-to-be-seen" not in text
    assert "key\\" not in text
    lines = text.splitlines()
    assert f"Environment=VPN_IMAGE={'ab' * 32}" in lines
    assert [line for line in lines if line.startswith('Environment="')] == [
        'Environment="ALL=100%%$$"',
        r'Environment="LINES=a\nb"',
        'Environment="ON=true"',
        'Environment="PORT=5"',
        r'Environment="SERVER_COUNTRIES=New \"Z\" \\"',
    ]
    secrets: Any = said_of("__acekeeper_vpn_secrets", tmp_path, VPNS)
    assert [line for line in lines if line.startswith("Secret=")] == [
        f"Secret={s['name']},type=mount,target={s['target']},mode=0400"
        for s in secrets
        if s["vpn"] == "de"
    ]
    text = str(said_of(template, tmp_path, VPNS | {"item": "ch", "ansible_managed": "x"}))
    assert "Environment=VPN_IMAGE=" in text


def test_no_vpn_has_a_secret_in_its_environment_nor_what_its_unit_relies_on(tmp_path: Path) -> None:
    secret = ["OPENVPN_PASSWORD", "WIREGUARD_PRESHARED_KEY", "WIREGUARD_PRIVATE_KEY"]
    fixed = ["FIREWALL_ENABLED_DISABLING_IT_SHOOTS_YOU_IN_YOUR_FOOT", "HEALTH_SERVER_ADDRESS"]
    fixed += ["HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE", "PGID", "PUID", "VPN_INTERFACE"]
    well = ["FIREWALL_OUTBOUND_SUBNETS", "TZ", "VPN_TYPE", "WIREGUARD_PUBLIC_KEY"]
    given = {
        "acekeeper_vpns": [{"name": "de", "environment": dict.fromkeys(secret + fixed + well)}]
    }
    given["acekeeper_vpns"] += [{"name": "ch"}]
    both = "[__acekeeper_secret_variables, __acekeeper_fixed_variables]"
    assert said_of(both, tmp_path, given) == [secret, fixed]


def test_no_task_shows_a_secret_of_a_vpn_nor_goes_round_with_it() -> None:
    tasks = (ROOT / "ansible/roles/acekeeper/tasks").glob("*.yml")
    text = "\n".join(path.read_text("utf-8") for path in tasks)
    for task in text.split("- name: "):
        uses = "item.text }}" in task or "acekeeper_vpn_api_key }}" in task
        assert not uses or "no_log: true" in task, task
        assert "{{ acekeeper_vpns }}" not in task, task


def said_of(variable: str, home: Path, given: Mapping[str, object]) -> object:
    asked = run(
        home,
        *("ansible", "localhost", "-m", "debug", "-a", f"msg={{{{ {variable} | to_json }}}}"),
        *("-e", "@ansible/roles/acekeeper/vars/main.yml", "-e", json.dumps(given)),
    )
    [said] = re.findall(r'"msg": (.*)', asked.stdout)
    return json.loads(json.loads(said))


@pytest.mark.parametrize("role", ["acekeeper", "monitoring"])
def test_a_default_is_the_one_its_specification_names(role: str, tmp_path: Path) -> None:
    read = f"""
import sys, yaml
role = "ansible/roles/{role}"
specs = yaml.safe_load(open(role + "/meta/argument_specs.yml"))["argument_specs"]
options = [option for spec in specs.values() for option in spec["options"].items()]
named = dict((name, o["default"]) for name, o in options if "default" in o)
assert named == yaml.safe_load(open(role + "/defaults/main.yml")), named
"""
    compared = run(tmp_path, "python", "-c", read)
    assert compared.returncode == 0, compared.stderr


@pytest.mark.parametrize("role", ["acekeeper", "fleet", "monitoring", "packages"])
def test_each_variable_is_read(role: str, tmp_path: Path) -> None:
    read = f"""
import pathlib, re, yaml
role = pathlib.Path("ansible/roles/{role}")
specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
named = set(name for spec in specs.values() for name in spec["options"])
files = [path for part in ("tasks", "templates", "vars") for path in role.glob(part + "/*")]
files += [pathlib.Path("ansible/deploy.yml")]
said = set(re.findall(r"\\w+", " ".join(path.read_text() for path in files)))
assert named and named <= said, named - said
"""
    compared = run(tmp_path, "python", "-c", read)
    assert compared.returncode == 0, compared.stderr


def run(home: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "NO_COLOR": "1"}
    return subprocess.run(
        [BIN / program, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
