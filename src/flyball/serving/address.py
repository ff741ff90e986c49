"""What an address means: this machine alone, or whoever can reach it. Standard library only."""

from __future__ import annotations

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the addresses that mean all of a machine's
"""An address that stands for every one of this machine's → the one by which this machine itself asks."""


def is_loopback(address: str) -> bool:
    """Whether only this machine's own processes reach a (numeric) address."""
    return address == "::1" or address.startswith("127.")


def loopback_names(address: str) -> tuple[str, ...]:
    """The names by which a caller may mean a loopback address; none for another address, which has names that nobody knows here."""
    return ("localhost", "127.0.0.1", "[::1]", address) if is_loopback(address) else ()


def url_of(address: str, port: int) -> str:
    """The URL by which this machine asks what listens there."""
    host = EVERYWHERE.get(address, address)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def reach(address: str, port: int) -> str:
    """Who but this machine reaches what listens on a (numeric) address, as a sentence; empty where nobody does."""
    if is_loopback(address):
        return ""
    where = f"every address of this one ({address})" if address in EVERYWHERE else address
    return f"other machines reach it on port {port} of {where}; every caller needs a token"


def host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()
