"""What a setting takes, and what is said of one that it cannot have."""

from __future__ import annotations

import pytest

from flyball.errors import DeclarationError
from flyball.settings import read_settings

ADDRESS = "postgresql://u:hunter2@h/db"


@pytest.mark.parametrize("around", ["\r", "\r\n", " ", "\t"])
def test_the_space_around_an_address_is_not_part_of_it(around: str) -> None:
    assert read_settings({}, {"FLYBALL_DATABASE_URL": f"{around}{ADDRESS}{around}"}).database_url == ADDRESS


@pytest.mark.parametrize("value", [f"{ADDRESS}\x00x", "postgresql://u:hunter2\r@h/db", [ADDRESS]])
@pytest.mark.parametrize("name", ["database_url", "anchor_url"])
def test_an_address_that_is_refused_is_not_shown(name: str, value: object) -> None:
    with pytest.raises(DeclarationError, match=f"the setting {name} is") as caught:
        read_settings({name: value}, {})
    assert "hunter2" not in f"{caught.value} {caught.value.why} {caught.value.fix}"


def test_another_text_that_is_refused_is_shown() -> None:
    with pytest.raises(DeclarationError, match="the setting host is 5"):
        read_settings({"host": 5}, {})


@pytest.mark.parametrize(
    ("variable", "fix"),
    [
        ("FLYBALL_PORTT", "did you mean FLYBALL_PORT?"),
        ("FLYBALL_TOKN", "did you mean FLYBALL_TOKEN?"),
        ("FLYBALL_XYZQ", "unset it; settings: "),
    ],
)
def test_a_variable_that_nothing_would_read_is_refused(variable: str, fix: str) -> None:
    with pytest.raises(DeclarationError, match=f"{variable} is not a setting") as caught:
        read_settings({}, {variable: "3"})
    assert fix in caught.value.fix
    assert "3" not in f"{caught.value}".replace(variable, ""), "it may be a secret"


def test_variables_that_are_no_settings_are_known() -> None:
    others = {"FLYBALL_TOKEN": "fb_x", "FLYBALL_TEST_DATA": "/data", "PORT": "3", "FLYBALLPORT": "3"}
    assert read_settings({}, {**others, "FLYBALL_PORT": "7200"}).port == 7200


@pytest.mark.parametrize("variable", ["FLYBALL_XYZQ", "FLYBALL_TEST_DAT"])
def test_only_what_is_of_use_to_a_user_is_shown_as_a_setting(variable: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_settings({}, {variable: "3"})
    assert "FLYBALL_TEST_DATA" not in caught.value.fix


@pytest.mark.parametrize("service", ["FLYBALL", "FLYBALL_GATEWAY", "FLYBALL_2"])
def test_what_kubernetes_says_of_a_service_of_our_name_is_no_setting(service: str) -> None:
    address = "tcp://10.0.0.1:7117"
    links = {"SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "7117", "SERVICE_PORT_HTTP": "7117", "PORT": address}
    links |= {"PORT_7117_TCP": address, "PORT_7117_TCP_PROTO": "tcp", "PORT_7117_TCP_PORT": "7117", "PORT_7117_TCP_ADDR": "10.0.0.1"}
    given = {f"{service}_{name}": value for name, value in links.items()}
    assert read_settings({"gateways": 3}, given) == read_settings({"gateways": 3}, {})
    assert read_settings({"port": 7200}, given).port == 7200


@pytest.mark.parametrize("variable", ["FLYBALL_GATEWAY_PORT", "FLYBALL_SERVICE", "FLYBALL_HOST_PORT", "FLYBALL_PORT_TCP"])
def test_what_only_looks_like_it_is_refused(variable: str) -> None:
    with pytest.raises(DeclarationError, match=f"{variable} is not a setting"):
        read_settings({}, {variable: "7117"})
