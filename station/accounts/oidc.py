"""Log-in with the agency's own accounts: OpenID Connect, authorization code with PKCE.

It says who somebody is.  What they may do is the station's: without an account here nobody comes in.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from station.accounts.places import Places
from station.errors import AccountError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TIMEOUT_S = 10.0
_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA"]
"""None that signs with the client's own secret, and never ``none``."""
MAX_AT_ONCE = 8
"""Log-ins that wait for the service."""
_AWAY = "the agency's log-in service cannot be reached: try again later"
_NOBODY = "the agency's log-in service did not identify the person: try again"
_INVALID = (
    httpx.HTTPError, httpx.InvalidURL, OAuthError, JoseError, KeyError, ValueError, TypeError, AttributeError,
)  # fmt: skip
"""What our libraries raise: for JSON of other types than the protocol's they have no errors of their own."""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """The agency's service, and this station's registration there."""

    issuer: str
    client_id: str
    client_secret: str
    address: str
    """Address of this station's pages, as registered: ``{address}/oidc/callback``."""


class OidcClient:
    """Every method raises AccountError if the service cannot be reached or its answer is not valid."""

    def __init__(
        self, settings: OidcSettings, clock_us: Callable[[], int], transport: httpx.BaseTransport | None = None
    ) -> None:
        """``transport`` is for tests."""
        self._settings = settings
        self._clock_us = clock_us
        self._transport = transport
        self._places = Places(MAX_AT_ONCE)

    def begin(self) -> tuple[str, dict[str, str]]:
        """Begin a log-in; return where the browser goes, and what it keeps until it comes back."""
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        with self._places.take(), self._client() as client, _refused(_AWAY):
            found = self._discover(client)
            url, state = client.create_authorization_url(
                found["authorization_endpoint"], nonce=nonce, code_verifier=verifier
            )
        return url, {"state": state, "nonce": nonce, "verifier": verifier}

    def finish(self, code: str, nonce: str, verifier: str) -> str:
        """Exchange the code; return who the person is at the service."""
        with self._places.take(), self._client() as client:
            with _refused(_AWAY):
                found = self._discover(client)
            with _refused(_NOBODY):
                token = client.fetch_token(found["token_endpoint"], code=code, code_verifier=verifier)
                keys = KeySet.import_key_set(client.request("GET", found["jwks_uri"], withhold_token=True).json())
                claims = jwt.decode(token["id_token"], keys, algorithms=_ALGORITHMS).claims
                self._check(claims, nonce)
                return _subject_of(claims)

    def _check(self, claims: dict[str, Any], nonce: str) -> None:
        now_s = self._clock_us() // 1_000_000
        rules = jwt.JWTClaimsRegistry(
            now=now_s,
            leeway=60,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.client_id},
            nonce={"essential": True, "value": nonce},
            exp={"essential": True},
            sub={"essential": True},
        )
        rules.validate(claims)
        self._check_party(claims)

    def _check_party(self, claims: dict[str, Any]) -> None:
        """The token is for this station, not for another program that shares it (OpenID Connect Core, 3.1.3.7)."""
        audience, party = claims["aud"], claims.get("azp")
        is_shared = isinstance(audience, list) and len(set(audience)) > 1
        if (is_shared or party is not None) and party != self._settings.client_id:
            raise ValueError("the token was made for another program")

    def _client(self) -> OAuth2Client:
        own = self._settings
        return OAuth2Client(
            own.client_id,
            own.client_secret,
            scope="openid",
            redirect_uri=f"{own.address.rstrip('/')}/oidc/callback",
            code_challenge_method="S256",
            timeout=_TIMEOUT_S,
            transport=self._transport,
        )

    def _discover(self, client: OAuth2Client) -> dict[str, Any]:
        address = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = client.request("GET", address, withhold_token=True).raise_for_status().json()
        if found["issuer"] != self._settings.issuer:
            raise AccountError("the agency's log-in service has another name than its issuer")
        return dict(found)


def _subject_of(claims: dict[str, Any]) -> str:
    """Raises ValueError for a text that no account can have."""
    subject = str(claims["sub"])
    if not subject.isprintable():
        raise ValueError("the subject cannot be printed")
    return subject


@contextmanager
def _refused(message: str) -> Iterator[None]:
    """Whatever the service answers is refused with this message if it is not what the protocol has."""
    try:
        yield
    except AccountError:
        raise
    except _INVALID as error:
        raise AccountError(message) from error
