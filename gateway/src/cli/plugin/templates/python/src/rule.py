"""The decision, without WebAssembly and without a host, so that plain tests reach all of it."""

import json
import re
from dataclasses import dataclass
from typing import Optional, Sequence


@dataclass(frozen=True)
class Config:
    """The plugin's configuration."""

    prefix: str = "/"
    scope: str = ""

    @classmethod
    def parse(cls, text: str) -> "Config":
        """Reads a configuration; a ValueError says what is wrong with it."""
        given = json.loads(text) if text else {}
        strange = set(given) - {"prefix", "scope"}
        if strange:
            raise ValueError(f"unknown key `{min(strange)}`")
        config = cls(**given)
        if not isinstance(config.prefix, str) or not config.prefix.startswith("/"):
            raise ValueError("prefix: must be a path")
        if not isinstance(config.scope, str) or not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", config.scope):
            raise ValueError("scope: must be one scope")
        return config


@dataclass(frozen=True)
class Refusal:
    """An answer for the client."""

    status: int
    problem: str
    detail: str


def decide(config: Config, path: str, scopes: Optional[Sequence[str]]) -> Optional[Refusal]:
    """May somebody with these scopes ask for this path? None for `scopes`: somebody who is not known."""
    if not path.startswith(config.prefix):
        return None
    if scopes is None:
        return Refusal(401, "missing-credentials", "this path needs an access token")
    if config.scope not in scopes:
        return Refusal(403, "forbidden", f"this path needs the scope {config.scope}")
    return None
